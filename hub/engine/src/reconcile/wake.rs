//! When to look again if nothing happens. In: the state that the plan leads to. Out: the next moment at which time alone may
//! change something. It must not act.

use std::sync::Arc;

use jiff::Timestamp;

use super::windows;
use crate::document::Unreachable;
use crate::observed::{Cluster, Observed};
use crate::place::Near;
use crate::release::{Release, Target, TargetState, WavePhase};
use crate::window::{OnWindowClose, Standing};

/// The next moment at which time alone may change something.
pub(super) fn wake(state: &Observed) -> Option<Timestamp> {
    let mut moments: Vec<Timestamp> = Vec::new();
    for release in &state.releases {
        let open = !release.phase.ended();
        moments.extend(
            release
                .waves
                .iter()
                .filter(|_| open)
                .filter_map(|wave| wave.bake_until),
        );
        let approvals = release.approvals.iter().filter(|_| open);
        moments.extend(approvals.filter_map(|approval| release.expires_at(approval)));
        let mut near = Near::default();
        for target in &release.targets {
            let cluster = near.cluster(&state.clusters, &target.cluster);
            let cluster = cluster.map(Arc::as_ref);
            target_moments(state, release, target, cluster, &mut moments);
            window_moments(state, release, target, cluster, &mut moments);
        }
    }
    moments
        .into_iter()
        .filter(|moment| *moment > state.now)
        .min()
}

fn target_moments(
    state: &Observed,
    release: &Release,
    target: &Target,
    cluster: Option<&Cluster>,
    moments: &mut Vec<Timestamp>,
) {
    let waits = target.state.in_flight() || target.state == TargetState::RollingBack;
    let started = release
        .wave(target.wave)
        .filter(|wave| wave.phase == WavePhase::Running)
        .and_then(|wave| wave.started_at);
    let turn = started.filter(|_| target.state.before_permit() && !release.phase.ended());
    let restored = cluster.and_then(|cluster| cluster.restored);
    let since = match (&target.permit, turn) {
        (Some(permit), _) if target.state.in_flight() => cluster.map_or(permit.granted_at, |own| {
            super::flight_since(state, permit, own)
        }),
        (Some(permit), _) if waits => super::silent_since(state, permit.granted_at),
        (_, Some(started)) => super::silent_since(state, started),
        (Some(_) | None, None) => return,
    };
    let deadline = release.plan.progress_deadline;
    moments.push(deadline.after(since));
    if turn.is_some() {
        let hindered = target.since.filter(|_| super::hindrance::waits(target));
        let anew = [hindered, restored, hindered.and(state.went_on)];
        moments.extend(
            anew.into_iter()
                .flatten()
                .map(|since| deadline.after(since)),
        );
    }
    let membership = release.plan.membership;
    let silent = cluster
        .filter(|cluster| !cluster.connected)
        .map(|cluster| cluster.last_seen.unwrap_or(since).max(since));
    if let Some(silent) = silent
        && (membership.unreachable != Unreachable::Wait || target.state == TargetState::RollingBack)
    {
        moments.push(membership.unreachable_after.after(silent));
    }
}

/// When a closed window opens for whoever waits for it, and when a permit's start-by has surely been missed.
fn window_moments(
    state: &Observed,
    release: &Release,
    target: &Target,
    cluster: Option<&Cluster>,
    moments: &mut Vec<Timestamp>,
) {
    if let (true, Some(permit), Some(cluster)) = (target.state.in_flight(), &target.permit, cluster)
    {
        moments.extend(windows::missed_at(permit, cluster));
    }
    let going_back = !release.phase.ended() && state.fleet_rollout.calendar.rollback_waits;
    if target.state == TargetState::Held || going_back {
        match windows::standing_for(state, release, target) {
            Standing::Closed { until, .. } => moments.push(until),
            Standing::Open { .. } => {}
        }
    }
    let holds = state.fleet_rollout.calendar.on_close == OnWindowClose::HoldAtStep;
    if holds && target.state.in_flight() {
        match windows::standing_for(state, release, target) {
            Standing::Closed { until, .. } => moments.push(until),
            Standing::Open { until } => moments.extend(until),
        }
    }
}
