//! The order of the waves. In: evidence. Out: versions that were early. A version may start in a cluster when it has served
//! in the one before for the bake, and, where a person must agree, when that person has.

use crate::evidence::{Evidence, Seen};
use crate::scenario::{APPROVED, BAKE, REPLICAS, VERSIONS, Version};
use crate::summary::seconds;

/// Every version that went through waves; v1 was there before there was anything to hold back.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for version in VERSIONS.into_iter().skip(1) {
        for (before, after) in evidence
            .clusters
            .iter()
            .zip(evidence.clusters.iter().skip(1))
        {
            wrong.extend(early(before, after, version));
        }
        if let Some(seen) = evidence.cluster(APPROVED) {
            wrong.extend(unapproved(evidence, seen, version));
        }
    }
    wrong
}

fn early(before: &Seen, after: &Seen, version: Version) -> Option<String> {
    let start = after.first_start(version)?;
    let (earlier, later) = (&before.cluster, &after.cluster);
    match before.first_with_ready(version, REPLICAS) {
        None => Some(format!(
            "{version} started in {later} and never served in {earlier}"
        )),
        Some(served) if start < served => Some(format!(
            "{version} started in {later} {:.1} s before it served in {earlier}",
            seconds(start, served)
        )),
        Some(served) if start < served + BAKE => Some(format!(
            "{version} started in {later} {:.1} s after it served in {earlier}, the bake is {BAKE:?}",
            seconds(served, start)
        )),
        Some(_) => None,
    }
}

fn unapproved(evidence: &Evidence, seen: &Seen, version: Version) -> Option<String> {
    let start = seen.first_start(version)?;
    let said_yes = evidence
        .notes
        .approvals
        .iter()
        .find(|approval| approval.version == version.number());
    match said_yes {
        None => Some(format!(
            "{version} started in {} and nobody approved it",
            seen.cluster
        )),
        Some(approval) if start < approval.time => Some(format!(
            "{version} started in {} before it was approved",
            seen.cluster
        )),
        Some(_) => None,
    }
}
