//! How much of a cluster a version had at each step. In: evidence. Out: moments at which that was more than the step allows.
//! Counted twice, from the kubelet's starts and from the answers that people got. The times of the steps come from the
//! manifest, never from a status: a step cannot be over sooner than its own pause and measurements take.

use std::time::Duration;

use jiff::Timestamp;

use crate::evidence::{Evidence, Seen};
use crate::scenario::{
    FIRST_PAUSE, FIRST_PODS, MEASURE_EVERY, MEASUREMENTS, REPLICAS, SECOND_PAUSE, SECOND_PODS,
    VERSIONS, Version, WHOLE_SECOND,
};

/// Answers over which a share is taken: two seconds, so that a short excess is seen.
const SHARE_WINDOW: usize = 100;

/// Answers of a window that may be one pod's too many: where a round of the gateway begins is chance, and pods take a
/// different number of turns in a window that is no whole number of rounds.
const CHANCE: usize = 2;

/// Every version that had steps to go through.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for version in VERSIONS.into_iter().skip(1) {
        for seen in &evidence.clusters {
            let place = format!("{version} in {}", seen.cluster);
            let found = by_pods(seen, version)
                .into_iter()
                .chain(by_answers(seen, version));
            wrong.extend(found.map(|what| format!("{place}: {what}")));
        }
    }
    wrong
}

fn by_pods(seen: &Seen, version: Version) -> Vec<String> {
    // One measurement is made at once, the others each an interval later.
    let measuring = MEASURE_EVERY * (MEASUREMENTS - 1);
    let first = FIRST_PAUSE.saturating_sub(WHOLE_SECOND) + measuring;
    let second = SECOND_PAUSE.saturating_sub(WHOLE_SECOND);
    let steps = [(FIRST_PODS, first), (SECOND_PODS, second)];
    let mut wrong: Vec<String> = steps
        .iter()
        .filter_map(|(pods, held)| too_soon(seen, version, *pods, *held))
        .collect();
    if let Some(moment) = seen.first_with_running(version, REPLICAS + 1) {
        wrong.push(format!("more than {REPLICAS} pods of it ran at {moment}"));
    }
    wrong
}

/// Whether more pods than a step's ran before the step could have been over.
fn too_soon(seen: &Seen, version: Version, pods: usize, held: Duration) -> Option<String> {
    let more = seen.first_with_running(version, pods + 1)?;
    match seen.first_with_ready(version, pods) {
        Some(reached) if more >= reached + held => None,
        Some(reached) => Some(format!(
            "pod {} started {:.1} s after {pods} served; the step takes {:.1} s at least",
            pods + 1,
            crate::summary::seconds(reached, more),
            held.as_secs_f64()
        )),
        None => Some(format!("pod {} started before {pods} served", pods + 1)),
    }
}

/// In any window of answers that ends before the next step's first pod runs, the version gave no more than its share.
fn by_answers(seen: &Seen, version: Version) -> Vec<String> {
    let name = version.to_string();
    // How many of the answers so far the version gave, so that a window is one subtraction.
    let mut own = 0_usize;
    let mut so_far: Vec<(Timestamp, usize)> = vec![(Timestamp::MIN, 0)];
    for answer in seen
        .answers
        .iter()
        .filter(|answer| !answer.version.is_empty())
    {
        own += usize::from(answer.version == name);
        so_far.push((answer.asked(), own));
    }
    [FIRST_PODS, SECOND_PODS]
        .iter()
        .filter_map(|pods| {
            let until = seen.first_with_running(version, pods + 1).unwrap_or(Timestamp::MAX);
            let allowed = SHARE_WINDOW * pods / REPLICAS + CHANCE;
            let mut windows = so_far.iter().zip(so_far.iter().skip(SHARE_WINDOW));
            let over = windows.find(|((_, before), (ends, after))| *ends < until && after - before > allowed);
            let ((_, before), (ends, after)) = over?;
            Some(format!(
                "it gave {} of {SHARE_WINDOW} answers before {ends}, while {pods} of {REPLICAS} pods were allowed",
                after - before
            ))
        })
        .collect()
}
