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
    // Times are whole seconds, and clocks are set back: the next update may begin at the same time as the one before it.
    let begins = after.rollout_started_at == Some(now) && after.finished_at.is_none();
    let again = begins && before.finished_at.is_some();
    let same_update = before.rollout_started_at == after.rollout_started_at && !again;
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
