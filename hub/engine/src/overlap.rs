//! Documents against clusters. In: a document, the others, the clusters with their labels. Out: problems and notes that
//! only the clusters can tell. It must not read what clusters run.

use std::collections::BTreeMap;

use crate::document::{FleetRollout, Problem};
use crate::name::ClusterName;
use crate::waves::plan_waves;

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
            // A wave by number or share takes what is free, and a named cluster belongs to the wave that names it.
            let named = document.waves.iter().any(|wave| wave.names.contains(name));
            if wave.take.is_some()
                || named
                || !wave
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

/// FleetRollouts over the same Rollout that could not but meet in a cluster, whatever clusters there will be (gate.md G12): one
/// selects every cluster that the other one does. Where they meet in one that is there, [`problems`] names it.
#[must_use]
pub fn rivals(document: &FleetRollout, others: &[FleetRollout], clusters: &Labels) -> Vec<Problem> {
    let own = &document.clusters;
    let rival = |other: &FleetRollout| {
        let theirs = &other.clusters;
        let which = match (theirs.covers(own), own.covers(theirs)) {
            (true, true) => "selects the same clusters",
            (true, false) => "selects every cluster that this one selects",
            (false, true) => "selects no cluster that this one does not select",
            (false, false) => return None,
        };
        let meet = |labels| own.selects(labels) && theirs.selects(labels);
        if clusters.values().any(meet) {
            return None;
        }
        Some(Problem {
            path: "spec.clusters".to_owned(),
            line: 0,
            message: format!(
                "FleetRollout {} over {} {which}; one FleetRollout governs one Rollout a cluster, so let each select its own \
                 values of a label",
                other.name, other.rollout
            ),
        })
    };
    let beside =
        |other: &&FleetRollout| other.name != document.name && other.rollout == document.rollout;
    others.iter().filter(beside).filter_map(rival).collect()
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
    let plan = plan_waves(document, clusters);
    clusters
        .iter()
        .filter(|(_, labels)| document.clusters.selects(labels))
        .filter(|(name, _)| !plan.waves.iter().any(|wave| wave.clusters.contains(name)))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Budgets that no number of failures can exceed, by the clusters of now.
#[must_use]
pub fn budgets(document: &FleetRollout, clusters: &Labels) -> Vec<Problem> {
    let plan = plan_waves(document, clusters);
    let mut problems = Vec::new();
    for (index, wave) in plan.waves.iter().enumerate() {
        let size = wave.clusters.len();
        if size > 0 && wave.max_failed.of(size) > size {
            problems.push(Problem {
                path: format!("spec.waves[{index}].budget.maxFailed"),
                line: 0,
                message: format!(
                    "{} failures are more than the {size} clusters of wave {}, so it could never fail",
                    wave.max_failed, wave.name
                ),
            });
        }
    }
    let all: usize = plan.waves.iter().map(|wave| wave.clusters.len()).sum();
    if let Some(most) = plan.max_failed
        && all > 0
        && most.of(all) > all
    {
        problems.push(Problem {
            path: "spec.budget.maxFailed".to_owned(),
            line: 0,
            message: format!("{most} failures are more than the {all} clusters of the release, so it could never fail"),
        });
    }
    problems
}

/// Clusters that a wave names and that the document does not select: they would wait for ever.
#[must_use]
pub fn strangers(document: &FleetRollout, clusters: &Labels) -> Vec<ClusterName> {
    let named = document.waves.iter().flat_map(|wave| &wave.names);
    named
        .filter(|name| {
            clusters
                .get(*name)
                .is_none_or(|labels| !document.clusters.selects(labels))
        })
        .cloned()
        .collect()
}
