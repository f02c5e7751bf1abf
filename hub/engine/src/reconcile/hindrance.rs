//! Targets whose turn has come and whose cluster cannot start (F28, L4). In: what the cluster is. Out: what it waits for, and
//! a failure once that has lasted as long as a target may take: nothing is waited for without end. It must not grant.

use serde_json::json;

use super::join::{Standing, standing};
use super::windows::{over_there, standing_for};
use crate::clock::CLOCK_OFF;
use crate::observed::{Cluster, Observed};
use crate::planted::{Bug, Planted};
use crate::release::{Release, Target, TargetState};
use crate::window;

const OUT_OF_CONTACT: &str = "out of contact";
const CAUGHT_UP: &str = "came back with an older set than it had, and has not caught up";
const UNDECODABLE: &str = "its agent cannot decode the Rollout's Gate";
const CONFLICT: &str = "another FleetRollout governs the same Rollout there";
const NOT_THERE: &str = "came out of a backup, and has not reported the release's content again";
const CLOCK: &str =
    "its clock is ahead of the database's, and by it the time to start in would be over";
/// The same, for who reads it in that cluster.
const CLOCK_HERE: &str = "this cluster's clock is ahead of the hub's, and by it the time to start in would be over: set the clock of the \
     node that the agent runs on (is NTP running there?)";
const ALL: [&str; 6] = [
    OUT_OF_CONTACT,
    CAUGHT_UP,
    UNDECODABLE,
    CONFLICT,
    CLOCK,
    NOT_THERE,
];

/// Whether a target shows that it waits for its cluster.
pub(super) fn waits(target: &Target) -> bool {
    target.state == TargetState::Held && ALL.contains(&target.message.as_str())
}

/// What keeps a target that somebody at its cluster can mend and would not see there: the others are not read there, or told by
/// its agent itself.
pub(super) fn of_its_own(target: &Target) -> Option<&'static str> {
    (target.state == TargetState::Held && target.message == CLOCK).then_some(CLOCK_HERE)
}

fn what(
    state: &Observed,
    (release, target): (&Release, &Target),
    cluster: &Cluster,
    recovering: bool,
) -> Option<&'static str> {
    let rollout = cluster.rollout.as_ref();
    if !cluster.connected {
        Some(OUT_OF_CONTACT)
    } else if cluster.regressed {
        Some(CAUGHT_UP)
    } else if rollout.is_some_and(|rollout| rollout.undecodable_gate) {
        Some(UNDECODABLE)
    } else if state.conflicts.contains_key(&cluster.name) {
        Some(CONFLICT)
    } else if over_there(state, release, target, cluster)
        || waits_for_clock(target, cluster) && closed(state, release, target)
    {
        Some(CLOCK)
    } else {
        recovering.then_some(NOT_THERE)
    }
}

/// Whether its clock had kept it when the window closed, and is not right since: whether it may start then shows only in the
/// next one. So a window that is always too short for it makes nobody wait without end.
fn waits_for_clock(target: &Target, cluster: &Cluster) -> bool {
    target.message == CLOCK && cluster.clock_ahead >= CLOCK_OFF
}

fn closed(state: &Observed, release: &Release, target: &Target) -> bool {
    matches!(
        standing_for(state, release, target),
        window::Standing::Closed { .. }
    )
}

/// Where a held target stands that waits for its cluster; its time counts from when that was first seen.
pub(super) fn of(
    state: &Observed,
    release: &Release,
    target: &Target,
    cluster: &Cluster,
    recovering: bool,
    bug: Bug,
) -> Option<Standing> {
    let Some(why) = what(state, (release, target), cluster, recovering) else {
        return waits(target)
            .then(|| standing(TargetState::Held, "", json!({})))
            .flatten();
    };
    let seen = target.since.filter(|_| target.message == why);
    let Some(since) = seen else {
        let evidence = json!({
            "connected": cluster.connected, "regressed": cluster.regressed, "clock_ahead": cluster.clock_ahead,
        });
        return standing(TargetState::Held, why, evidence);
    };
    let anew = state.went_on.max(state.listening_since);
    let since = anew.map_or(since, |anew| anew.max(since));
    let deadline = release.plan.progress_deadline;
    let later = why == CLOCK && closed(state, release, target);
    let over = state.now >= deadline.after(since) && state.stopped.is_none() && !later;
    if !over || bug.is(Planted::HinderedForEver) {
        return None;
    }
    let evidence = json!({"since": since, "now": state.now});
    standing(
        TargetState::Failed,
        format!("{why}, for {deadline}"),
        evidence,
    )
}
