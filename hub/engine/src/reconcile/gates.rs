//! What each cluster's gate says beside its permit (gate.md G9, G10, G14). In: the state after every other step. Out: terms
//! and the sentence that held content shows. It must not end governance: absence never frees.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::json;

use super::matching::carries;
use super::planner::Planner;
use super::turns::Turns;
use super::waves::passed_over;
use crate::action::Action;
use crate::name::{ClusterName, Digest, ReleaseId};
use crate::observed::{Cluster, Observed, Terms, Waiting};
use crate::paper::observes;
use crate::planted::Planted;
use crate::release::{Direction, Permit, Release, ReleasePhase};
use crate::verb::Stop;

fn wanted(state: &Observed) -> Terms {
    Terms {
        enforcement: state.fleet_rollout.enforcement,
        on_hub_loss: state.fleet_rollout.on_hub_loss,
        rollback_phase: state.fleet_rollout.rollback_phase,
        barred: state.barred.keys().cloned().collect(),
        first_deploy_free: state.newest_number() == 0,
        passed: sorted(&state.passed),
        stopped: state.stopped.as_ref().map(Stop::message),
        window_closed: None,
        window_opened: None,
    }
}

/// What a window makes of one cluster: what holds it, and since when the newest such hold is over.
fn window(state: &Observed, cluster: &Cluster) -> (Option<String>, Option<Timestamp>) {
    let closed = super::windows::held_at_step(state, cluster);
    let terms = cluster.gate.as_ref().map(|gate| &gate.terms);
    let opens = closed.is_none() && terms.is_some_and(|terms| terms.window_closed.is_some());
    let opened = terms.and_then(|terms| terms.window_opened);
    let opened = if opens { Some(state.now) } else { opened };
    (closed, opened)
}

/// A permit is a part of a gate entry: a cluster that a plan governs and permits at once is governed first.
pub(super) fn before_permit(planner: &mut Planner, name: &ClusterName) {
    let Some(cluster) = planner.cluster(name).filter(|own| own.gate.is_none()) else {
        return;
    };
    let evidence = json!({"labels": cluster.labels, "releases": planner.state.newest_number()});
    let action = Action::Govern {
        cluster: name.clone(),
        terms: wanted(&planner.state),
    };
    planner.act(action, evidence);
}

/// The lasting part, wherever it differs from what is written.
pub(super) fn terms(planner: &mut Planner) {
    let state = &planner.state;
    let (wanted, releases) = (wanted(state), state.newest_number());
    let differs = |cluster: &Cluster, wanted: &Terms| {
        let gate = cluster.gate.as_ref();
        gate.is_none_or(|gate| gate.terms != *wanted || gate.let_go.is_some())
    };
    let mut acts = Vec::new();
    for cluster in &state.clusters {
        // One that is no longer selected stays governed, by the terms of now (gate.md G9).
        let ours = cluster.gone.is_none() && (cluster.selected || cluster.gate.is_some());
        let mut wanted = Cow::Borrowed(&wanted);
        let (closed, opened) = window(state, cluster);
        if (&closed, opened) != (&None, None) && !planner.bug.is(Planted::CloseIgnored) {
            wanted.to_mut().window_closed = closed;
            wanted.to_mut().window_opened = opened;
        }
        if ours && !state.conflicts.contains_key(&cluster.name) && differs(cluster, &wanted) {
            let action = Action::Govern {
                cluster: cluster.name.clone(),
                terms: wanted.into_owned(),
            };
            acts.push((
                action,
                json!({"labels": cluster.labels, "releases": releases}),
            ));
        }
    }
    for (action, evidence) in acts {
        planner.act(action, evidence);
    }
}

fn sorted(digests: &[Digest]) -> Vec<Digest> {
    let mut digests = digests.to_vec();
    digests.sort();
    digests
}

/// The sentence, wherever it differs from what is written.
pub(super) fn waiting(planner: &mut Planner) {
    let mut acts = Vec::new();
    let mut turns = Turns::of(&planner.state);
    let unsettled = planner.bug.is(Planted::SentenceNeverSettles);
    for cluster in &planner.state.clusters {
        let governed = cluster.gate.as_ref().filter(|gate| gate.let_go.is_none());
        let Some(gate) = governed else { continue };
        let turn = turns.of_cluster(cluster);
        if let (Some(Some(turn)), Some(said), false) = (&turn, &gate.waiting, unsettled)
            && turn.is_written(said, cluster)
        {
            continue;
        }
        let mut wanted = match turn {
            Some(turn) => turn.map(|turn| turn.sentence(cluster)),
            None => sentence(&planner.state, cluster),
        };
        if let (Some(waiting), true) = (&mut wanted, unsettled) {
            waiting
                .message
                .push_str(&cluster.desired.version.to_string());
        }
        if gate.waiting != wanted {
            let held = cluster
                .rollout
                .as_ref()
                .and_then(|rollout| rollout.held.as_ref());
            let action = Action::SetWaiting {
                cluster: cluster.name.clone(),
                waiting: wanted,
            };
            acts.push((action, json!({"held": held})));
        }
    }
    for (action, evidence) in acts {
        planner.act(action, evidence);
    }
}

/// Of a cluster whose turn has come, or that has none.
fn sentence(state: &Observed, cluster: &Cluster) -> Option<Waiting> {
    if observes(state) {
        return super::paper::sentence(state, cluster);
    }
    let rollout = cluster.rollout.as_ref()?;
    let held = rollout.held.as_ref()?;
    // Its agent has not taken up the permit yet: what it holds waits for nothing any more.
    let permit = cluster.gate.as_ref().and_then(|gate| gate.permit.as_ref());
    let permitted =
        permit.filter(|permit| permit.direction == Direction::Forward && permit.digest == *held);
    if permitted.is_some_and(|permit| in_flight(state, permit, cluster)) {
        return None;
    }
    let spec = rollout.spec.as_ref().filter(|spec| spec.digest == *held);
    // Under another revision it is still what this release brought here (G22: and may have taken back).
    let brought = |release: &Release| {
        let content = release.target(&cluster.name)?.content.as_ref();
        content.map(|content| content.digest == *held)
    };
    let carrying = state.releases.iter().filter(|release| {
        spec.is_some_and(|spec| carries(release, spec)) || brought(release) == Some(true)
    });
    let start = format!(
        "groundswell release start {} --reason TEXT",
        state.fleet_rollout.name
    );
    let Some(release) = carrying.max_by_key(|release| release.id.number) else {
        let (release, message) = match taken_back(state, cluster, held) {
            Some((id, said)) => (Some(id), said),
            None => (
                None,
                "no release covers this content; it waits for one".to_owned(),
            ),
        };
        return Some(Waiting {
            release,
            wave: 0,
            waves: 0,
            wave_name: String::new(),
            message,
            next: start,
        });
    };
    let ended = release.phase.ended();
    let message = after(release, cluster);
    let next = if ended {
        start
    } else {
        format!("groundswell explain {}", release.id)
    };
    Some(Waiting {
        release: Some(release.id.clone()),
        wave: 0,
        waves: release.plan.len(),
        wave_name: String::new(),
        message,
        next,
    })
}

/// The release that took this content back here, and how it ended: none is looked at any more that brought it, and its Gate has
/// the permit still (G22).
fn taken_back(state: &Observed, cluster: &Cluster, held: &Digest) -> Option<(ReleaseId, String)> {
    let permit = cluster.gate.as_ref()?.permit.as_ref()?;
    let mut past = state.past.iter();
    let past = past.find(|past| past.number == permit.release.number)?;
    let back = permit.direction == Direction::Rollback && past.digests.contains(held);
    back.then(|| {
        (
            permit.release.clone(),
            ended_as(&permit.release, past.phase),
        )
    })
}

fn ended_as(id: &ReleaseId, phase: ReleasePhase) -> String {
    let phase = phase.as_str();
    format!("release {id} ended {phase}; waiting for the next one")
}

/// What a cluster shows that has had its turn in the release, or lost it.
fn after(release: &Release, cluster: &Cluster) -> String {
    let (id, phase) = (&release.id, release.phase.as_str());
    let target = release.target(&cluster.name);
    if let Some(target) = target.filter(|target| passed_over(target)) {
        let why = &target.message;
        format!("release {id} passed this cluster over ({why}); waiting for the next one")
    } else if release.phase.ended() {
        ended_as(id, release.phase)
    } else {
        format!("release {id} is {phase}; waiting for the next one")
    }
}

/// Whether the permit has no outcome yet.
fn in_flight(state: &Observed, permit: &Permit, cluster: &Cluster) -> bool {
    let target = state
        .release(permit.release.number)
        .and_then(|release| release.target(&cluster.name));
    target.is_some_and(|target| target.state.in_flight())
}
