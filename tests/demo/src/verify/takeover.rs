//! That the release went on under another hub. In: evidence. Out: what speaks against it. The last version's part is about the
//! deciding hub's death in the middle of the second wave; who decides is the database's word. The third wave can only have
//! been let start by the other hub: the killed one is never started again.

use crate::evidence::{Evidence, Leader};
use crate::scenario::{APPROVED, CLUSTERS, REPLICAS, VERSIONS, Version};

/// The kill, the takeover, and what came after it.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let Some(last) = VERSIONS.into_iter().next_back() else {
        return Vec::new();
    };
    let killed = killed_in_between(evidence, last);
    killed
        .into_iter()
        .chain(taken_over(evidence, last))
        .collect()
}

/// A kill at another time tells nothing.
fn killed_in_between(evidence: &Evidence, last: Version) -> Option<String> {
    let seen = evidence.cluster(APPROVED)?;
    let (from, to) = (
        seen.first_start(last),
        seen.first_with_ready(last, REPLICAS),
    );
    match (evidence.notes.hub_killed, from, to) {
        (Some(killed), Some(from), Some(to)) if (from..to).contains(&killed) => None,
        (None, _, _) => Some("no hub was killed".into()),
        (Some(killed), _, _) => Some(format!(
            "the hub was killed at {killed}, which is not in the middle of {last} in {APPROVED}"
        )),
    }
}

fn taken_over(evidence: &Evidence, last: Version) -> Option<String> {
    let killed = evidence.notes.hub_killed?;
    let [before, after] = evidence.notes.leaders.as_slice() else {
        return Some("the database named no other hub after the kill".into());
    };
    let Leader { name, epoch, time } = after;
    if *name == before.name {
        return Some(format!("{name} decided before the kill and after it"));
    }
    if *epoch <= before.epoch {
        return Some(format!(
            "{name} decides by epoch {epoch}, which the killed hub had"
        ));
    }
    if *time <= killed {
        return Some(format!("{name} decided before the other one was killed"));
    }
    let third = CLUSTERS.last()?;
    match evidence.cluster(third)?.first_start(last) {
        Some(start) if start > *time => None,
        Some(start) => Some(format!(
            "{last} started in {third} at {start}, before {name} decided"
        )),
        None => Some(format!(
            "{last} never started in {third}: nothing went on under {name}"
        )),
    }
}
