//! Rules of `status.duration`.
//!
//! In: the view. Out: violations. It must not know steps.

use agent_api::{RolloutDuration, StatusTime};

use super::Violation;
use super::view::{View, breaks};

pub(super) fn check(view: &View<'_>, found: &mut Vec<Violation>) {
    let Some(after) = &view.plan.status.duration else {
        return;
    };
    let before = view.before.duration.clone().unwrap_or_default();
    if let Some(what) = wrong(view, &before, after) {
        breaks(found, "duration-adds-up", what);
    }
}

fn wrong(
    view: &View<'_>,
    before: &RolloutDuration,
    after: &RolloutDuration,
) -> Option<&'static str> {
    let now = StatusTime::from(view.observed.now);
    // Times are whole seconds: an update that begins in the second of the one before it begins at the same time.
    let began = began_now(after, now) && other_update(view);
    let same_update = before.rollout_started_at == after.rollout_started_at && !began;
    if after.finished_at.is_some() != after.completion_status.is_some() {
        return Some("an end without a word for it, or a word without an end");
    }
    if after.finished_at.is_some() && after.manual_pause_started_at.is_some() {
        return Some("a pause goes on after the end");
    }
    if same_update {
        let total = |one: &RolloutDuration| one.total_manual_pause_duration_seconds.unwrap_or(0);
        if before.finished_at.is_some() && before != after {
            return Some("what has ended changes");
        }
        return (total(after) < total(before)).then_some("seconds of pauses are lost");
    }
    // A beginning is of this moment.
    (after.rollout_started_at != Some(now)).then_some("an update began at another time than now")
}

/// It says what an update says that began in this pass, and nothing of an earlier one.
fn began_now(after: &RolloutDuration, now: StatusTime) -> bool {
    let here = |time: Option<StatusTime>| time.is_none_or(|time| time == now);
    after.rollout_started_at == Some(now)
        && after.total_manual_pause_duration_seconds.is_none()
        && here(after.manual_pause_started_at)
        && here(after.finished_at)
}

/// Another version is current, or an abort was lifted.
fn other_update(view: &View<'_>) -> bool {
    let (before, after) = (&view.before, &view.plan.status);
    before.current_pod_hash != after.current_pod_hash
        || before.aborted_at.is_some() && after.aborted_at.is_none()
}
