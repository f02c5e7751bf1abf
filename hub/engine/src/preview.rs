//! A release before it starts: its fixed plan, the windows that it will meet, how much of the fleet it exposes when. In: an
//! observation, how long clusters took last. Out: an estimate that says so. It must not be decided on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::amount::Seconds;
use crate::document::{ApprovalSpec, Enforcement, FleetRollout, OnFailure, RollbackSteps};
use crate::member::Departure;
use crate::name::ClusterName;
use crate::observed::{Cluster, Observed};
use crate::overlap::Labels;
use crate::paper;
use crate::waves::{PlannedWave, plan_waves};
use crate::window::{FleetWindow, Standing, Windows};

/// A cluster that has never finished a release of this FleetRollout is assumed to take so long.
pub const ASSUMED: Seconds = Seconds(600);
/// So many clusters that are left out are named: more are counted.
const NAMES_MAX: usize = 10;

/// The whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// The FleetRollout.
    pub fleet_rollout: String,
    /// Of the plan that a release opened now would have; approvals name it.
    pub digest: String,
    /// The database's time for which this holds.
    pub now: Timestamp,
    /// Clusters that it governs: the waves are made of these.
    pub governed: u32,
    /// In their order.
    pub waves: Vec<PreviewWave>,
    /// Sentences: order, failure, what the estimate leaves out.
    pub notes: Vec<String>,
}

/// One wave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviewWave {
    /// Its name.
    pub name: String,
    /// Its clusters.
    pub clusters: Vec<PreviewCluster>,
    /// Sentences about its policy.
    pub policy: Vec<String>,
    /// When its first cluster may start, by estimate.
    pub starts_at: Timestamp,
    /// When it passes, by estimate.
    pub passes_at: Timestamp,
    /// Clusters that serve the new version when it passes, earlier waves included.
    pub exposed: u32,
}

/// One cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviewCluster {
    /// Its name.
    pub name: ClusterName,
    /// When it may start, by estimate.
    pub starts_at: Timestamp,
    /// When it serves the new version, by estimate.
    pub serves_at: Timestamp,
    /// The window or freeze that it waits for at its turn; empty: none.
    pub window: String,
}

/// What a release that opened now would do if every approval were given at once and nothing failed.
#[must_use]
pub fn preview(state: &Observed, last: &BTreeMap<ClusterName, Seconds>) -> Preview {
    let fleet_rollout = &state.fleet_rollout;
    let labels = paper::planned(state);
    let plan = plan_waves(fleet_rollout, &labels);
    let mut at = state.now;
    let mut exposed = 0;
    let mut waves = Vec::new();
    for wave in &plan.waves {
        let clusters = clusters(fleet_rollout, wave, &labels, &state.windows, (at, last));
        let starts_at = clusters.iter().map(|one| one.starts_at).min().unwrap_or(at);
        let served = clusters.iter().map(|one| one.serves_at).max();
        let passes_at = served.map_or(at, |served| wave.bake.after(served));
        exposed += count(clusters.len());
        waves.push(PreviewWave {
            name: wave.name.clone(),
            clusters,
            policy: policy(wave),
            starts_at,
            passes_at,
            exposed,
        });
        at = passes_at;
    }
    let mut notes = notes(fleet_rollout, last);
    notes.extend(left_out(state));
    Preview {
        fleet_rollout: fleet_rollout.name.to_string(),
        digest: plan.digest(),
        now: state.now,
        governed: count(labels.len()),
        waves,
        notes,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// As many at once as the wave allows, each as soon as there is room and a window is open.
fn clusters(
    fleet_rollout: &FleetRollout,
    wave: &PlannedWave,
    labels: &Labels,
    windows: &[FleetWindow],
    (at, last): (Timestamp, &BTreeMap<ClusterName, Seconds>),
) -> Vec<PreviewCluster> {
    let most = wave.max_concurrent.at_least_one_of(wave.clusters.len());
    let mut free: Vec<Timestamp> = vec![at; most.min(wave.clusters.len())];
    let none = BTreeMap::new();
    let mut clusters = Vec::new();
    for name in &wave.clusters {
        free.sort();
        let turn = free.first().copied().unwrap_or(at);
        let labels = labels.get(name).unwrap_or(&none);
        let (starts_at, window) = match Windows::of(fleet_rollout, windows, labels).at(turn) {
            Standing::Open { .. } => (turn, String::new()),
            Standing::Closed { until, why } => (until, why),
        };
        let serves_at = last.get(name).copied().unwrap_or(ASSUMED).after(starts_at);
        if let Some(slot) = free.first_mut() {
            *slot = serves_at;
        }
        clusters.push(PreviewCluster {
            name: name.clone(),
            starts_at,
            serves_at,
            window,
        });
    }
    clusters
}

fn policy(wave: &PlannedWave) -> Vec<String> {
    let mut policy = vec![format!(
        "{} at once, {} may fail, bakes {}",
        wave.max_concurrent, wave.max_failed, wave.bake
    )];
    let approval = |spec: &ApprovalSpec, to: &str| {
        let author = if spec.exclude_author {
            ", not by who started it"
        } else {
            ""
        };
        let expires = spec
            .expires
            .map(|expires| format!(", which count for {expires}"))
            .unwrap_or_default();
        format!(
            "{} approvals by {}{author}{expires} {to}",
            spec.required,
            spec.groups.join(" or ")
        )
    };
    policy.extend(
        wave.approval
            .as_ref()
            .map(|spec| approval(spec, "before it starts")),
    );
    policy.extend(
        wave.approval_after
            .as_ref()
            .map(|spec| approval(spec, "before it passes")),
    );
    policy
}

fn notes(fleet_rollout: &FleetRollout, last: &BTreeMap<ClusterName, Seconds>) -> Vec<String> {
    let mut notes = vec![format!(
        "the times are an estimate: every cluster takes as long as the last time ({} known, {ASSUMED} assumed for the \
         others), approvals are given at once, nothing fails",
        last.len()
    )];
    if fleet_rollout.enforcement == Enforcement::Observe {
        notes.push(
            "enforcement is Observe: all of this is on paper, no release opens and nothing is held"
                .to_owned(),
        );
    }
    if !fleet_rollout.after.is_empty() {
        let names: Vec<&str> = fleet_rollout
            .after
            .iter()
            .map(|name| name.as_str())
            .collect();
        notes.push(format!(
            "a wave starts only while the newest release of {} has passed",
            names.join(" and of ")
        ));
    }
    if let Some(most) = fleet_rollout.max_failed {
        notes.push(format!("{most} may fail in the whole release"));
    }
    notes.push(match fleet_rollout.on_failure {
        OnFailure::Halt => "a failed wave halts the release".to_owned(),
        OnFailure::Rollback {
            max_concurrent,
            steps,
        } => {
            let how = match steps {
                RollbackSteps::Skip => "",
                RollbackSteps::Backwards => ", by the canary's steps",
            };
            format!("a failed wave takes every touched cluster back, {max_concurrent} at once, last wave first{how}")
        }
    });
    notes
}

/// Clusters that have its labels and are in no plan of it.
fn left_out(state: &Observed) -> Vec<String> {
    let selector = &state.fleet_rollout.clusters;
    let gone = |cluster: &Cluster| match &cluster.gone {
        Some(gone) => matches!(gone.how, Departure::LetGo(_)),
        None => false,
    };
    let let_go = state
        .clusters
        .iter()
        .filter(|cluster| gone(cluster) && selector.selects(&cluster.labels))
        .map(|cluster| cluster.name.to_string());
    let others = state
        .clusters
        .iter()
        .filter(|cluster| cluster.selected)
        .filter_map(|cluster| {
            let owner = state.conflicts.get(&cluster.name)?;
            Some(format!("{} ({owner})", cluster.name))
        });
    let say = |why: &str, names: Vec<String>| {
        let (all, few) = (names.len(), names.get(..NAMES_MAX).unwrap_or(&names));
        let more = match all - few.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (all > 0).then(|| format!("{why}, so in no wave: {}{more}", few.join(", ")))
    };
    let let_go = say("let go", let_go.collect());
    let others = say("governed by another FleetRollout", others.collect());
    let_go.into_iter().chain(others).collect()
}
