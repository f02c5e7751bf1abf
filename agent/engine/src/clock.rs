//! Times that were stored by a wall clock that has been set since (S12).
//!
//! In: an object as stored, and how far the clock was set since each of its times, as far as the shell saw. Out: the times
//! that something is measured from, and each by the clock as it is set now: what lasts a while lasts it whatever the clock is
//! set to. It must not read a clock, nor change what a status says.

use std::collections::BTreeMap;

use agent_api::names::{ANNOTATION_SCALE_DOWN_DEADLINE, condition};
use agent_api::{
    AnalysisPhase, AnalysisRun, Condition, ExperimentStatus, Gate, MetricResult, ReplicaSet,
    RolloutStatus, StatusTime,
};
use jiff::{SignedDuration, Timestamp};

/// How far the wall clock was set since each stored time of an object; since one that is not here, not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClockSet(BTreeMap<StatusTime, SignedDuration>);

impl ClockSet {
    /// Out of stored times, each with how far the clock was set since.
    pub fn since(times: impl IntoIterator<Item = (StatusTime, SignedDuration)>) -> Self {
        let times = times.into_iter();
        Self(times.filter(|(_, set)| !set.is_zero()).collect())
    }

    /// A stored time by the clock as it is set now.
    pub fn shifted(&self, stored: StatusTime) -> StatusTime {
        self.exactly(stored.timestamp()).into()
    }

    /// The same of a time that may have parts of a second.
    pub fn exactly(&self, stored: Timestamp) -> Timestamp {
        let set = self.0.get(&stored.into()).copied();
        set.and_then(|set| stored.checked_add(set).ok())
            .unwrap_or(stored)
    }
}

/// Times of a Rollout from which something is measured: pauses, progress, and until when old versions stay.
pub fn of_rollout<'a>(
    status: Option<&'a RolloutStatus>,
    sets: &'a [ReplicaSet],
) -> impl Iterator<Item = StatusTime> + 'a {
    let status = status.into_iter();
    let own = status.flat_map(|status| {
        let pauses = status.pause_conditions.iter().map(|pause| pause.start_time);
        let progress = status.condition(condition::PROGRESSING);
        let progress = progress.and_then(|known| known.last_update_time);
        let duration = status.duration.as_ref();
        let person = duration.and_then(|duration| duration.manual_pause_started_at);
        pauses.chain(progress).chain(person)
    });
    own.chain(sets.iter().filter_map(scale_down_at).map(StatusTime::from))
}

/// The time of a Gate's record from which something is measured: since when its lease is over, and with it the hub silent.
pub fn of_gate(gate: Option<&Gate>) -> Option<StatusTime> {
    let lease = gate?.status.as_ref()?.lease.as_ref()?;
    lease.ended_at
}

/// Until when a version without users keeps its pods, as stored.
pub(crate) fn scale_down_at(set: &ReplicaSet) -> Option<Timestamp> {
    let annotations = set.metadata.annotations.as_ref()?;
    annotations
        .get(ANNOTATION_SCALE_DOWN_DEADLINE)?
        .parse()
        .ok()
}

/// Times of an Experiment from which something is measured: since when its pods are there, how long each template has tried,
/// and the end.
pub fn of_experiment(status: Option<&ExperimentStatus>) -> impl Iterator<Item = StatusTime> + '_ {
    let status = status.into_iter();
    status.flat_map(|status| {
        let templates = status.template_statuses.iter();
        let tried = templates.filter_map(|one| one.last_transition_time);
        let available = status.available_at.into_iter();
        available.chain(tried).chain(ended(&status.conditions))
    })
}

/// Since when an Experiment is over.
pub(crate) fn ended(conditions: &[Condition]) -> Option<StatusTime> {
    let mut conditions = conditions.iter();
    let over = conditions.find(|one| one.r#type == condition::COMPLETED && one.status == "True")?;
    over.last_transition_time
}

/// Times of an AnalysisRun from which something is measured: while it runs its beginning and the last measurement of each
/// metric; of one that is over its end, if it is to be deleted some time after that.
pub fn of_run(run: &AnalysisRun) -> Vec<StatusTime> {
    let Some(status) = &run.status else {
        return Vec::new();
    };
    if status.phase.is_some_and(AnalysisPhase::is_completed) {
        let kept = run.spec.ttl_strategy.as_ref();
        return kept.and(status.completed_at).into_iter().collect();
    }
    let last = |result: &MetricResult| {
        let last = result.measurements.last()?;
        last.resume_at.or(last.finished_at).or(last.started_at)
    };
    let measured = status.metric_results.iter().filter_map(last);
    status.started_at.into_iter().chain(measured).collect()
}
