//! That a label changed in the middle of a release holds its cluster. In: evidence. Out: what speaks against it. While the
//! cluster was frozen its turn came, and nothing of the version started there.

use crate::evidence::Evidence;
use crate::scenario::{APPROVED, BAKE, FROZEN, FROZEN_FOR, REPLICAS, VERSIONS, Version};
use crate::summary::seconds;

/// The second version's part.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let [_, version, ..] = VERSIONS;
    held(evidence, version).into_iter().collect()
}

fn held(evidence: &Evidence, version: Version) -> Option<String> {
    let (Some(frozen), Some(thawed)) = (evidence.notes.frozen, evidence.notes.thawed) else {
        return Some(format!("{FROZEN} was not relabelled"));
    };
    let before = evidence.cluster(APPROVED)?;
    let began = before.first_start(version)?;
    let served = before.first_with_ready(version, REPLICAS)?;
    if !(began..served).contains(&frozen) {
        return Some(format!(
            "{FROZEN} was relabelled at {frozen}, which is not in the middle of {version} in {APPROVED}"
        ));
    }
    let turn = served + BAKE;
    if thawed < turn + FROZEN_FOR {
        return Some(format!(
            "{FROZEN} was frozen for {:.1} s of its turn only, which holds nothing back",
            seconds(turn, thawed)
        ));
    }
    let start = evidence.cluster(FROZEN)?.first_start(version)?;
    (start < thawed).then(|| {
        format!(
            "{version} started in {FROZEN} {:.1} s before it was let go of",
            seconds(start, thawed)
        )
    })
}
