//! Targets whose turn has come and whose cluster cannot start (F28, L4). In: what the cluster is. Out: what it waits for, and
//! a failure once that has lasted as long as a target may take: nothing is waited for without end. It must not grant.

use serde_json::json;

use super::join::{Standing, standing};
use crate::observed::{Cluster, Observed};
use crate::planted::{Bug, Planted};
use crate::release::{Release, Target, TargetState};

const OUT_OF_CONTACT: &str = "out of contact";
const CAUGHT_UP: &str = "came back with an older set than it had, and has not caught up";
const UNDECODABLE: &str = "its agent cannot decode the Rollout's Gate";
const CONFLICT: &str = "another FleetRollout governs the same Rollout there";
const NOT_THERE: &str = "came out of a backup, and has not reported the release's content again";
const ALL: [&str; 5] = [OUT_OF_CONTACT, CAUGHT_UP, UNDECODABLE, CONFLICT, NOT_THERE];

/// Whether a target shows that it waits for its cluster.
pub(super) fn waits(target: &Target) -> bool {
    target.state == TargetState::Held && ALL.contains(&target.message.as_str())
}

fn what(state: &Observed, cluster: &Cluster, recovering: bool) -> Option<&'static str> {
    let rollout = cluster.rollout.as_ref();
    if !cluster.connected {
        Some(OUT_OF_CONTACT)
    } else if cluster.regressed {
        Some(CAUGHT_UP)
    } else if rollout.is_some_and(|rollout| rollout.undecodable_gate) {
        Some(UNDECODABLE)
    } else if state.conflicts.contains_key(&cluster.name) {
        Some(CONFLICT)
    } else {
        recovering.then_some(NOT_THERE)
    }
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
    let Some(why) = what(state, cluster, recovering) else {
        return waits(target)
            .then(|| standing(TargetState::Held, "", json!({})))
            .flatten();
    };
    let seen = target.since.filter(|_| target.message == why);
    let Some(since) = seen else {
        let evidence = json!({"connected": cluster.connected, "regressed": cluster.regressed});
        return standing(TargetState::Held, why, evidence);
    };
    let anew = state.went_on.max(state.listening_since);
    let since = anew.map_or(since, |anew| anew.max(since));
    let deadline = release.plan.progress_deadline;
    let over = state.now >= deadline.after(since) && state.stopped.is_none();
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
