//! Windows and freezes at work (S12, F59). In: the database's time, clusters' labels, the documents. Out: whether a permit
//! may be granted and until when it may start, and permits that missed that. It must not stop what is on its way.

use jiff::Timestamp;
use serde_json::json;

use super::planner::Planner;
use crate::action::Action;
use crate::amount::Seconds;
use crate::clock;
use crate::name::ClusterName;
use crate::observed::{Cluster, Observed};
use crate::planted::Planted;
use crate::release::{Permit, Release, Target, TargetState};
use crate::window::{OnWindowClose, Standing, Windows};

/// An agent's word that it has started may be under way so long after the start-by.
pub(crate) const LATE: Seconds = Seconds(60);
/// What a target shows whose agent did not start in time.
pub(crate) const TOO_LATE: &str = "its agent had not started when its permit's time was over";

/// Whether something may start in a cluster now.
pub(crate) fn standing(state: &Observed, cluster: &ClusterName) -> Standing {
    if !Windows::any(&state.fleet_rollout, &state.windows) {
        return Standing::Open { until: None };
    }
    let Some(cluster) = state.cluster(cluster) else {
        return Standing::Open { until: None };
    };
    Windows::of(&state.fleet_rollout, &state.windows, &cluster.labels).at(state.now)
}

/// The same for one target of a release: an expedited one may pass what the FleetRollout itself closes.
pub(crate) fn standing_for(state: &Observed, release: &Release, target: &Target) -> Standing {
    if !release.passes_windows(target.wave) {
        return standing(state, &target.cluster);
    }
    let Some(cluster) = state.cluster(&target.cluster) else {
        return Standing::Open { until: None };
    };
    Windows::expedited(&state.fleet_rollout, &state.windows, &cluster.labels).at(state.now)
}

/// What holds a cluster at its step because a window has closed on what is in flight there; none: nothing does. What goes
/// back is never held.
pub(super) fn held_at_step(state: &Observed, cluster: &Cluster) -> Option<String> {
    if state.fleet_rollout.calendar.on_close != OnWindowClose::HoldAtStep {
        return None;
    }
    let (release, target) = in_flight(state, cluster)?;
    match standing_for(state, release, target) {
        Standing::Open { .. } => None,
        Standing::Closed { until, why } => Some(format!("closed until {until}: {why}")),
    }
}

/// The target that its newest permit has in flight there.
fn in_flight<'a>(state: &'a Observed, cluster: &Cluster) -> Option<(&'a Release, &'a Target)> {
    let permit = cluster.gate.as_ref()?.permit.as_ref()?;
    let release = state.release(permit.release.number)?;
    let target = release.target(&cluster.name)?;
    let same = target.permit.as_ref().map(|own| own.fence) == Some(permit.fence);
    (same && target.state.in_flight()).then_some((release, target))
}

/// None: closed. Else until when it is open, if it ever closes.
pub(super) fn open_until(
    planner: &Planner,
    release: &Release,
    target: &Target,
) -> Option<Option<Timestamp>> {
    match standing_for(&planner.state, release, target) {
        Standing::Open { until } => Some(until),
        Standing::Closed { .. } if planner.bug.is(Planted::WindowIgnored) => Some(None),
        Standing::Closed { .. } => None,
    }
}

/// Whether a rollback may start in a cluster now; it never waits unless the document says so.
pub(super) fn rollback_may(planner: &Planner, target: &Target) -> bool {
    let closed = matches!(
        standing(&planner.state, &target.cluster),
        Standing::Closed { .. }
    );
    let ignored = planner.bug.is(Planted::WindowIgnored);
    !planner.state.fleet_rollout.calendar.rollback_waits || !closed || ignored
}

/// No later than the window's end, so that an agent that hears of it late starts nothing outside.
pub(super) fn start_by(
    planner: &Planner,
    release: &Release,
    until: Option<Timestamp>,
) -> Timestamp {
    let until = until.filter(|_| !planner.bug.is(Planted::StartByOutsideWindow));
    latest(&planner.state, release, until)
}

fn latest(state: &Observed, release: &Release, until: Option<Timestamp>) -> Timestamp {
    let deadline = release.plan.progress_deadline.after(state.now);
    until.map_or(deadline, |until| until.min(deadline))
}

/// Whether a permit of now would be over by its cluster's own clock before it came: its agent would not start.
pub(crate) fn over_there(
    state: &Observed,
    release: &Release,
    target: &Target,
    cluster: &Cluster,
) -> bool {
    if cluster.clock_ahead < clock::CLOCK_OFF {
        return false;
    }
    match standing_for(state, release, target) {
        Standing::Open { until } => {
            let start_by = latest(state, release, until);
            clock::is_over_there(start_by, state.now, cluster.clock_ahead)
        }
        Standing::Closed { .. } => false,
    }
}

/// When it is known that an agent has not started in time; none: it has started, or may at any time.
pub(crate) fn missed_at(permit: &Permit, cluster: &Cluster) -> Option<Timestamp> {
    let rollout = cluster.rollout.as_ref();
    let effect = rollout.and_then(|rollout| rollout.effect.as_ref());
    let taken_up = effect.is_some_and(|effect| effect.fence == permit.fence);
    permit
        .start_by
        .filter(|_| !taken_up)
        .map(|start_by| LATE.after(start_by))
}

/// An agent in contact that has not started in time never will (it refuses by its own clock, and by ours): the target waits again.
pub(super) fn give_back(
    planner: &mut Planner,
    number: u64,
    permit: &Permit,
    cluster: &Cluster,
) -> bool {
    let now = planner.state.now;
    let missed = missed_at(permit, cluster).is_some_and(|missed| now >= missed);
    let heard = permit.start_by.is_some() && cluster.last_seen >= permit.start_by;
    if !missed || !heard || !cluster.connected {
        return false;
    }
    let why = clock::ahead(cluster.clock_ahead).map_or_else(
        || TOO_LATE.to_owned(),
        |clock| format!("{TOO_LATE}: {clock}"),
    );
    let evidence = json!({
        "start_by": permit.start_by, "now": now, "last_seen": cluster.last_seen, "clock_ahead": cluster.clock_ahead,
    });
    planner.act(
        Action::RevokePermit {
            release: number,
            cluster: cluster.name.clone(),
            why: why.clone(),
        },
        evidence.clone(),
    );
    planner.set_target(number, &cluster.name, TargetState::Held, &why, evidence);
    true
}
