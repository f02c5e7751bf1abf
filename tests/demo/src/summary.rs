//! The numbers of a run. In: evidence. Out: per version and cluster how many asked, how many were failed, how much of the
//! load the version ever had, and how long a bad one went unseen and went on. Shown as a table and kept as JSON.

use std::collections::VecDeque;

use comfy_table::presets;
use comfy_table::{CellAlignment, Table};
use jiff::Timestamp;
use serde::Serialize;

use crate::evidence::{Evidence, Seen};
use crate::scenario::{Ending, REPLICAS, VERSIONS, Version};
use crate::verify::Judgement;

/// Answers over which a share is taken: at 50 a second four seconds, and many times round five pods, so that where a round
/// of the gateway begins hardly counts.
pub const SHARE_WINDOW: usize = 200;

/// The fewest answers over which a share is taken: ten times round five pods.
const SHARE_WINDOW_MIN: usize = 50;

/// One version in one cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// v1 … v5.
    pub version: String,
    /// Where.
    pub cluster: String,
    /// How it was when its part was over.
    pub ending: String,
    /// Pods of it that were ever started.
    pub pods: usize,
    /// Requests that it answered.
    pub requests: usize,
    /// Of these, the failed ones.
    pub failures: usize,
    /// The most of the load that it had, in percent of a window of answers.
    pub highest_share_percent: f64,
    /// From its first failed answer to the first scale-down of its ReplicaSet.
    pub detection_seconds: Option<f64>,
    /// From its first failed answer to its last.
    pub recovery_seconds: Option<f64>,
}

/// The whole run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The story came out right.
    pub right: bool,
    /// What did not.
    pub wrong: Vec<String>,
    /// By version, then by cluster.
    pub lines: Vec<Line>,
    /// Requests that no pod answered, by cluster.
    pub unanswered: Vec<Unanswered>,
    /// From the first push to the end.
    pub seconds: f64,
}

/// What nobody answered.
#[derive(Debug, Clone, Serialize)]
pub struct Unanswered {
    /// Where.
    pub cluster: String,
    /// Of so many.
    pub requests: usize,
    /// Got no pod's answer.
    pub unanswered: usize,
}

impl Summary {
    /// Computes it.
    pub fn of(evidence: &Evidence, judgement: &Judgement) -> Self {
        let lines = VERSIONS.iter().flat_map(|version| {
            evidence
                .clusters
                .iter()
                .map(|seen| line(evidence, seen, *version))
        });
        let unanswered = evidence.clusters.iter().map(|seen| Unanswered {
            cluster: seen.cluster.clone(),
            requests: seen.answers.len(),
            unanswered: seen
                .answers
                .iter()
                .filter(|answer| answer.version.is_empty())
                .count(),
        });
        let began = evidence.notes.pushes.first().map(|push| push.time);
        Self {
            right: judgement.wrong.is_empty(),
            wrong: judgement.wrong.clone(),
            lines: lines.collect(),
            unanswered: unanswered.collect(),
            seconds: began
                .zip(evidence.notes.ended)
                .map_or(0.0, |(from, to)| seconds(from, to)),
        }
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header([
            "VERSION",
            "CLUSTER",
            "ENDED",
            "PODS",
            "REQUESTS",
            "FAILED",
            "HIGHEST SHARE",
            "DETECTED AFTER",
            "RECOVERED AFTER",
        ]);
        let time =
            |seconds: Option<f64>| seconds.map_or("-".into(), |seconds| format!("{seconds:.1} s"));
        for line in &self.lines {
            table.add_row([
                line.version.clone(),
                line.cluster.clone(),
                line.ending.clone(),
                line.pods.to_string(),
                line.requests.to_string(),
                line.failures.to_string(),
                format!("{:.1} %", line.highest_share_percent),
                time(line.detection_seconds),
                time(line.recovery_seconds),
            ]);
        }
        for column in table.column_iter_mut().skip(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }
}

fn line(evidence: &Evidence, seen: &Seen, version: Version) -> Line {
    let failed = || {
        seen.answers_of(version)
            .filter(|answer| answer.failed())
            .map(|answer| answer.time)
    };
    let first = failed().min();
    let detected = first.and_then(|first| {
        scaled_down(evidence, seen, version, first).map(|down| seconds(first, down))
    });
    Line {
        version: version.to_string(),
        cluster: seen.cluster.clone(),
        ending: ending(evidence, seen, version),
        pods: seen.of(version).count(),
        requests: seen.answers_of(version).count(),
        failures: failed().count(),
        highest_share_percent: highest_share(seen, version) * 100.0,
        detection_seconds: detected,
        recovery_seconds: first
            .zip(failed().max())
            .map(|(first, last)| seconds(first, last)),
    }
}

/// What was seen, in the scenario's words where it is one of them.
fn ending(evidence: &Evidence, seen: &Seen, version: Version) -> String {
    let Some((_, until)) = evidence.part(version) else {
        return "not reached".into();
    };
    let started = seen.of(version).next().is_some();
    let all = seen.first_with_ready(version, REPLICAS).is_some();
    match (seen.ready(version, until), all, started) {
        (_, _, false) => Ending::NeverStarts.to_string(),
        (REPLICAS, _, _) => Ending::Serves.to_string(),
        (0, true, _) => Ending::TakenBack.to_string(),
        (0, false, _) => Ending::Caught.to_string(),
        (some, _, _) => format!("{some} of {REPLICAS} pods"),
    }
}

/// The first time after `from` at which the version's ReplicaSet was asked for fewer pods.
fn scaled_down(
    evidence: &Evidence,
    seen: &Seen,
    version: Version,
    from: Timestamp,
) -> Option<Timestamp> {
    let (_, until) = evidence.part(version)?;
    let image = format!("demo:{version}");
    let sets = seen
        .sightings
        .iter()
        .filter(|sighting| sighting.kind == "ReplicaSet" && sighting.images.contains(&image));
    let mut most = 0;
    for sighting in sets {
        let wanted = sighting.spec_replicas.unwrap_or_default();
        if wanted < most && sighting.time >= from && sighting.time <= until {
            return Some(sighting.time);
        }
        most = wanted;
    }
    None
}

/// The highest share of any window of answers, from the first one that the version gave.
pub fn highest_share(seen: &Seen, version: Version) -> f64 {
    let name = version.to_string();
    let mut window: VecDeque<bool> = VecDeque::new();
    let (mut own, mut highest) = (0_usize, 0.0_f64);
    let answered = seen
        .answers
        .iter()
        .filter(|answer| !answer.version.is_empty());
    for answer in answered {
        let is_own = answer.version == name;
        window.push_back(is_own);
        own += usize::from(is_own);
        if window.len() > SHARE_WINDOW {
            own -= usize::from(window.pop_front() == Some(true));
        }
        // The load's first answers are no whole window yet, and all there is of the first version alone.
        if window.len() >= SHARE_WINDOW_MIN {
            highest = highest.max(own as f64 / window.len() as f64);
        }
    }
    highest
}

/// Between two moments.
pub fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}
