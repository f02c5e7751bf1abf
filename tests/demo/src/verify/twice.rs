//! That a hub which dies repeats nothing. In: evidence. Out: what happened twice. The last version must have one ReplicaSet
//! and one life for each of its pods in every cluster. The hub's own history is heard here as well, and only here: a second
//! permit for the same target would be an offence even if an agent refused it.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Evidence, Seen};
use crate::scenario::{REPLICAS, VERSIONS, Version};

/// The kind of row by which the hub says that a target may start.
const GRANTED: &str = "PermitGranted";

/// Every good version once, and every permit once.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = permits(evidence);
    if let Some(last) = VERSIONS.into_iter().next_back() {
        wrong.extend(evidence.clusters.iter().flat_map(|seen| lives(seen, last)));
    }
    wrong
}

fn lives(seen: &Seen, version: Version) -> Vec<String> {
    let cluster = &seen.cluster;
    let image = format!("demo:{version}");
    let sets: BTreeSet<&str> = seen
        .sightings
        .iter()
        .filter(|sighting| sighting.kind == "ReplicaSet" && sighting.images.contains(&image))
        .map(|sighting| sighting.uid.as_str())
        .collect();
    let started = seen.of(version).count();
    let mut wrong = Vec::new();
    if sets.len() != 1 {
        wrong.push(format!(
            "{version} in {cluster} had {} ReplicaSets, not one",
            sets.len()
        ));
    }
    if started != REPLICAS {
        wrong.push(format!(
            "{version} in {cluster} was started {started} times, not {REPLICAS}"
        ));
    }
    wrong
}

fn permits(evidence: &Evidence) -> Vec<String> {
    let mut granted: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for row in evidence.history.iter().filter(|row| row.kind == GRANTED) {
        // Forward to one digest, and back to another: the sentence names it.
        let key = (
            row.release.as_str(),
            row.cluster.as_str(),
            row.message.as_str(),
        );
        *granted.entry(key).or_default() += 1;
    }
    if granted.is_empty() {
        return vec![format!("the history has no {GRANTED}")];
    }
    granted
        .into_iter()
        .filter(|(_, times)| *times > 1)
        .map(|((release, cluster, _), times)| {
            format!("{release} in {cluster} was permitted {times} times")
        })
        .collect()
}
