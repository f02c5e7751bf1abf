//! Whether the witnesses saw everything. In: evidence. Out: gaps. The kubelets' journals and the watches of the API are
//! held against each other, pod by pod, and the answers against both: one of them alone could have been asleep.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::evidence::{Evidence, Seen};
use crate::scenario::{CLUSTERS, VERSIONS};
use crate::summary::seconds;

/// The load asks 50 times a second and a slow answer takes milliseconds; a gap so long is a witness asleep.
const LONGEST_SILENCE_SECONDS: f64 = 3.0;

/// A pod that leaves is asked a little longer than it lives; more unanswered requests than this are an outage.
const UNANSWERED_MAX_PERCENT: usize = 1;

/// Every source, from the first push to the end.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    if !evidence.notes.told {
        wrong.push("the story broke off".into());
    }
    for version in VERSIONS {
        if evidence.part(version).is_none() {
            wrong.push(format!("the story does not tell of {version}"));
        }
    }
    for cluster in CLUSTERS {
        match evidence.cluster(cluster) {
            None => wrong.push(format!("nothing was seen of {cluster}")),
            Some(seen) => {
                wrong.extend(pods(seen));
                wrong.extend(kinds(seen));
                wrong.extend(silence(evidence, seen));
                wrong.extend(unanswered(seen));
            }
        }
    }
    wrong
}

/// The same pods in the journal and in the watch; no answer from a pod that neither knows.
fn pods(seen: &Seen) -> Vec<String> {
    let cluster = &seen.cluster;
    let started: BTreeSet<&str> = seen.lives.iter().map(|life| life.uid.as_str()).collect();
    let names: BTreeSet<&str> = seen.lives.iter().map(|life| life.pod.as_str()).collect();
    let of_pods = || {
        seen.sightings
            .iter()
            .filter(|sighting| sighting.kind == "Pod")
    };
    let watched: BTreeSet<&str> = of_pods().map(|sighting| sighting.uid.as_str()).collect();
    let ran: BTreeSet<&str> = of_pods()
        .filter(|sighting| sighting.phase == "Running")
        .map(|sighting| sighting.uid.as_str())
        .collect();
    let unseen = started
        .difference(&watched)
        .map(|uid| format!("{cluster}: the watch never saw pod {uid}"));
    let unwritten = ran
        .difference(&started)
        .map(|uid| format!("{cluster}: the journal has no start of pod {uid}"));
    let strangers: BTreeSet<&str> = seen
        .answers
        .iter()
        .map(|answer| answer.pod.as_str())
        .filter(|pod| !pod.is_empty() && !names.contains(pod))
        .collect();
    let strangers = strangers
        .iter()
        .map(|pod| format!("{cluster}: the journal does not know pod {pod}, which answered"));
    unseen.chain(unwritten).chain(strangers).collect()
}

fn kinds(seen: &Seen) -> Vec<String> {
    let has = |kind: &str| seen.sightings.iter().any(|sighting| sighting.kind == kind);
    ["Rollout", "ReplicaSet", "Pod"]
        .into_iter()
        .filter(|kind| !has(kind))
        .map(|kind| format!("{}: the watch saw no {kind}", seen.cluster))
        .collect()
}

fn silence(evidence: &Evidence, seen: &Seen) -> Vec<String> {
    let (Some(from), Some(to)) = (evidence.notes.load_from, evidence.notes.ended) else {
        return vec![format!(
            "{}: the story does not say when the load was on",
            seen.cluster
        )];
    };
    let mut moments: Vec<Timestamp> = vec![from];
    moments.extend(
        seen.answers
            .iter()
            .map(|answer| answer.time)
            .filter(|time| (from..to).contains(time)),
    );
    moments.push(to);
    moments.sort();
    moments
        .iter()
        .zip(moments.iter().skip(1))
        .filter(|(before, after)| seconds(**before, **after) > LONGEST_SILENCE_SECONDS)
        .map(|(before, after)| {
            let gap = seconds(*before, *after);
            format!("{}: no answer for {gap:.1} s after {before}", seen.cluster)
        })
        .collect()
}

fn unanswered(seen: &Seen) -> Option<String> {
    let lost = seen
        .answers
        .iter()
        .filter(|answer| answer.version.is_empty())
        .count();
    let all = seen.answers.len();
    (lost * 100 > all * UNANSWERED_MAX_PERCENT)
        .then(|| format!("{}: no pod answered {lost} of {all} requests", seen.cluster))
}
