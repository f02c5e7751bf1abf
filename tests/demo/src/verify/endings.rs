//! How each version ended in each cluster. In: evidence. Out: where that is not the scenario's ending. Judged at the end of
//! a version's part: the moment before the next push, or the end of the story.

use jiff::Timestamp;

use crate::evidence::{Evidence, Seen};
use crate::scenario::{Ending, FIRST_PODS, REPLICAS, VERSIONS, Version};

/// Each version in each cluster.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for version in VERSIONS {
        let Some((_, until)) = evidence.part(version) else {
            continue;
        };
        for seen in &evidence.clusters {
            let place = format!("{version} in {}", seen.cluster);
            let found = match version.ending(&seen.cluster) {
                Ending::Serves => serves(seen, version, until),
                Ending::NeverStarts => never_starts(seen, version),
                Ending::Caught => caught(seen, version, until),
                Ending::TakenBack => taken_back(seen, version, until),
            };
            wrong.extend(found.into_iter().map(|what| format!("{place}: {what}")));
        }
    }
    wrong
}

/// All pods of a version can be asked, and no other's process runs that is not on its way out.
fn serves(seen: &Seen, version: Version, at: Timestamp) -> Vec<String> {
    let ready = seen.ready(version, at);
    let others: Vec<String> = VERSIONS
        .into_iter()
        .filter(|other| *other != version && seen.ready(*other, at) > 0)
        .map(|other| {
            format!(
                "{} pods of {other} still serve beside {version}",
                seen.ready(other, at)
            )
        })
        .collect();
    let missing = (ready != REPLICAS)
        .then(|| format!("{ready} pods of {version} serve at the end, not {REPLICAS}"));
    missing.into_iter().chain(others).collect()
}

fn never_starts(seen: &Seen, version: Version) -> Vec<String> {
    let mut wrong: Vec<String> = seen
        .of(version)
        .map(|life| format!("pod {} was started", life.pod))
        .collect();
    if seen.answers_of(version).next().is_some() {
        wrong.push("it answered requests".into());
    }
    wrong
}

fn caught(seen: &Seen, version: Version, until: Timestamp) -> Vec<String> {
    let mut wrong = serves(seen, version.leaves_serving(), until);
    if seen.of(version).next().is_none() {
        wrong.push("no pod of it was started, so nothing was caught".into());
    }
    if !seen.answers_of(version).any(|answer| answer.failed()) {
        wrong.push("it failed no request, so nothing was there to catch".into());
    }
    if let Some(moment) = seen.first_with_running(version, FIRST_PODS + 1) {
        wrong.push(format!("more than {FIRST_PODS} pod of it ran at {moment}"));
    }
    wrong
}

fn taken_back(seen: &Seen, version: Version, until: Timestamp) -> Vec<String> {
    let mut wrong = serves(seen, version.leaves_serving(), until);
    if seen.first_with_ready(version, REPLICAS).is_none() {
        wrong.push(format!(
            "it never had {REPLICAS} pods, so nothing was taken back"
        ));
    }
    wrong
}

/// At the end of the part of a version that was taken back, the Rollout's own template still names it.
pub fn spec_stays(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for version in VERSIONS {
        let Some((_, until)) = evidence.part(version) else {
            continue;
        };
        for seen in evidence
            .clusters
            .iter()
            .filter(|seen| version.ending(&seen.cluster) == Ending::TakenBack)
        {
            let image = format!("demo:{version}");
            let mut rollouts = seen
                .sightings
                .iter()
                .filter(|sighting| sighting.kind == "Rollout");
            let last = rollouts.rfind(|sighting| sighting.time < until);
            let images = last
                .map(|sighting| sighting.images.clone())
                .unwrap_or_default();
            if images != [image.clone()] {
                wrong.push(format!(
                    "the Rollout in {} names {images:?}, not {image}",
                    seen.cluster
                ));
            }
        }
    }
    wrong
}
