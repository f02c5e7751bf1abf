//! Documents against clusters. In: a document, the others, the clusters with their labels. Out: problems and notes that
//! only the clusters can tell. It must not read what clusters run.

use std::collections::BTreeMap;

use crate::document::{FleetRollout, Problem};
use crate::name::ClusterName;

/// Labels by cluster.
pub type Labels = BTreeMap<ClusterName, BTreeMap<String, String>>;

/// What keeps a document from being stored beside the others (gate.md G12): a cluster that two of its waves select, a
/// cluster where another FleetRollout governs the same Rollout. `others` may hold the document's own earlier version.
#[must_use]
pub fn problems(
    document: &FleetRollout,
    others: &[FleetRollout],
    clusters: &Labels,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, labels) in clusters
        .iter()
        .filter(|(_, labels)| document.clusters.selects(labels))
    {
        let mut first: Option<&str> = None;
        for (index, wave) in document.waves.iter().enumerate() {
            if !wave
                .clusters
                .as_ref()
                .is_some_and(|selector| selector.selects(labels))
            {
                continue;
            }
            if let Some(first) = first {
                problems.push(Problem {
                    path: format!("spec.waves[{index}].clusters"),
                    line: 0,
                    message: format!(
                        "cluster {name} is in wave {first} already; a cluster is in one wave only"
                    ),
                });
            }
            first = first.or(Some(&wave.name));
        }
        for other in others {
            if other.name != document.name
                && other.rollout == document.rollout
                && other.clusters.selects(labels)
            {
                problems.push(Problem {
                    path: "spec.rollout".to_owned(),
                    line: 0,
                    message: format!(
                        "FleetRollout {} governs {} in cluster {name} already; one FleetRollout governs one Rollout a cluster",
                        other.name, document.rollout
                    ),
                });
            }
        }
    }
    problems
}

/// Clusters that the new version would no longer govern: refused without an explicit ungovern (gate.md G9).
#[must_use]
pub fn leavers(old: &FleetRollout, new: &FleetRollout, clusters: &Labels) -> Vec<ClusterName> {
    let moved = old.rollout != new.rollout;
    clusters
        .iter()
        .filter(|(_, labels)| {
            old.clusters.selects(labels) && (moved || !new.clusters.selects(labels))
        })
        .map(|(name, _)| name.clone())
        .collect()
}

/// Clusters that the document selects and none of its waves does: they are governed and never released to.
#[must_use]
pub fn without_wave(document: &FleetRollout, clusters: &Labels) -> Vec<ClusterName> {
    if document.waves.iter().any(|wave| wave.clusters.is_none()) {
        return Vec::new();
    }
    clusters
        .iter()
        .filter(|(_, labels)| document.clusters.selects(labels))
        .filter(|(_, labels)| {
            !document.waves.iter().any(|wave| {
                wave.clusters
                    .as_ref()
                    .is_some_and(|own| own.selects(labels))
            })
        })
        .map(|(name, _)| name.clone())
        .collect()
}
