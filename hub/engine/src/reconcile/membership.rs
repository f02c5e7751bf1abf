//! Clusters that leave, are let go, relabelled, bound anew or restored while a release runs (gate.md G9, L4, F28). In: what
//! became of each, the plan's policy. Out: targets that do not count, count as failed, or begin again. It must not end a
//! release, nor hold one up: whatever it leaves waiting has a deadline.

use jiff::Timestamp;
use serde_json::json;

use super::flight::{give_up, outcome_of};
use super::planner::Planner;
use crate::action::{Action, MemberChange};
use crate::document::{Left, Relabelled, Replaced, Restored};
use crate::member::{
    Gone, RELABELLED, replaced_sentence, replaced_since, restored_sentence, restored_since,
};
use crate::observed::{Cluster, OutcomeResult};
use crate::place::Near;
use crate::planted::Planted;
use crate::release::{Release, ReleasePhase, Target, TargetState, WavePhase};

/// What a policy makes of a target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Skip,
    Fail,
}

/// Settles every target whose cluster is not what it was.
pub(super) fn settle(planner: &mut Planner, number: u64) {
    let Some(release) = planner.release(number) else {
        return;
    };
    let mut near = Near::default();
    for target in &release.targets {
        let cluster = planner.near(&mut near, &target.cluster);
        let Some(cluster) = cluster.filter(|own| !is_what_it_was(own)).cloned() else {
            continue;
        };
        if let Some(gone) = &cluster.gone {
            if !planner.bug.is(Planted::GoneCounts) {
                gone_from(planner, &release, target, gone);
            }
        } else if let Some(at) = replaced_since(target, &cluster) {
            if !planner.bug.is(Planted::FormerCounts) {
                replaced(planner, &release, target, at);
            }
        } else {
            if !cluster.selected {
                relabelled(planner, &release, target);
            }
            if let Some(at) = restored_since(target, &cluster) {
                restored(planner, &release, target, &cluster, at);
            }
        }
    }
}

fn is_what_it_was(cluster: &Cluster) -> bool {
    let same = cluster.replaced.is_none() && cluster.restored.is_none();
    same && cluster.gone.is_none() && cluster.selected
}

fn open(release: &Release) -> bool {
    matches!(
        release.phase,
        ReleasePhase::Waiting | ReleasePhase::Progressing
    )
}

/// Whether nothing of its wave is judged any more.
fn wave_is_over(release: &Release, target: &Target) -> bool {
    release
        .wave(target.wave)
        .is_none_or(|wave| wave.phase.behind() || wave.phase == WavePhase::Failed)
}

/// In flight it has failed without its agent's word, and may be taken back; before that, nothing of it is there.
fn leave_out(
    planner: &mut Planner,
    release: &Release,
    target: &Target,
    fate: Fate,
    message: String,
    evidence: serde_json::Value,
) {
    let number = release.id.number;
    if target.state.in_flight() {
        give_up(planner, number, &target.cluster, message, evidence);
        return;
    }
    let state = match fate {
        Fate::Skip => TargetState::Skipped,
        Fate::Fail => TargetState::Failed,
    };
    planner.set_target(number, &target.cluster, state, message, evidence);
}

fn gone_from(planner: &mut Planner, release: &Release, target: &Target, gone: &Gone) {
    let evidence = json!({"gone": gone, "state": target.state});
    let fate = match release.plan.membership.left {
        Left::Skip => Fate::Skip,
        Left::Fail if open(release) => Fate::Fail,
        Left::Fail => Fate::Skip,
    };
    if target.state.before_permit() || target.state.in_flight() {
        leave_out(planner, release, target, fate, gone.sentence(), evidence);
    } else if target.state == TargetState::RollingBack {
        let (number, message) = (release.id.number, gone.sentence());
        planner.set_target(
            number,
            &target.cluster,
            TargetState::Removed,
            message,
            evidence,
        );
    }
}

/// Only what has not started: what is in flight finishes, for it stays governed.
fn relabelled(planner: &mut Planner, release: &Release, target: &Target) {
    let fate = match release.plan.membership.relabelled {
        Relabelled::Keep => return,
        Relabelled::Skip => Fate::Skip,
        Relabelled::Fail => Fate::Fail,
    };
    if open(release) && target.state.before_permit() {
        let evidence = json!({"selected": false, "state": target.state});
        let message = format!("{RELABELLED}: its labels changed");
        leave_out(planner, release, target, fate, message, evidence);
    }
}

/// Whatever the former cluster of that name had reached is no proof for this one (S14).
fn replaced(planner: &mut Planner, release: &Release, target: &Target, at: Timestamp) {
    let evidence = json!({"replaced": at, "since": target.since, "state": target.state});
    let message = replaced_sentence(at);
    let reached = target.state.in_flight() || target.state == TargetState::Succeeded;
    if !open(release) || wave_is_over(release, target) {
        let back = target.state == TargetState::RollingBack;
        if target.state.in_flight() || back {
            leave_out(planner, release, target, Fate::Skip, message, evidence);
        }
        return;
    }
    match release.plan.membership.replaced {
        Replaced::Restart
            if reached || target.content.is_some() && target.state.before_permit() =>
        {
            begin_again(planner, release, target, false, message, evidence);
        }
        Replaced::Restart => {}
        Replaced::Skip | Replaced::Fail if !reached && !target.state.before_permit() => {}
        Replaced::Skip => leave_out(planner, release, target, Fate::Skip, message, evidence),
        Replaced::Fail => leave_out(planner, release, target, Fate::Fail, message, evidence),
    }
}

/// Its permit is sent again with the whole set, or it gets another where its outcome had ended it; what counted as good
/// counts again only by its agent's word.
fn restored(
    planner: &mut Planner,
    release: &Release,
    target: &Target,
    cluster: &Cluster,
    at: Timestamp,
) {
    if release.phase != ReleasePhase::Progressing || wave_is_over(release, target) {
        return;
    }
    let evidence = json!({"restored": at, "since": target.since, "state": target.state});
    let good = target.state == TargetState::Succeeded;
    match release.plan.membership.restored {
        Restored::Fail if good || target.state.in_flight() => {
            let message = restored_sentence(at);
            leave_out(planner, release, target, Fate::Fail, message, evidence);
        }
        Restored::Wait if good && cluster.connected && !cluster.regressed => {
            let proof = target
                .permit
                .as_ref()
                .and_then(|permit| outcome_of(cluster, permit))
                .is_some_and(|outcome| outcome.result == OutcomeResult::Served);
            if !proof {
                let message = restored_sentence(at);
                let why = message.clone();
                begin_again(planner, release, target, true, why, evidence.clone());
                if !has_its_permit(target, cluster) {
                    let (number, name) = (release.id.number, &target.cluster);
                    planner.set_target(number, name, TargetState::Held, message, evidence);
                }
            }
        }
        Restored::Fail | Restored::Wait => {}
    }
}

/// Whether its cluster's set has the permit that it is to carry out: an outcome takes it out.
fn has_its_permit(target: &Target, cluster: &Cluster) -> bool {
    let held = cluster.gate.as_ref().and_then(|gate| gate.permit.as_ref());
    let own = target.permit.as_ref();
    own.is_some_and(|own| held.is_some_and(|held| held.fence == own.fence))
}

pub(super) fn begin_again(
    planner: &mut Planner,
    release: &Release,
    target: &Target,
    keep: bool,
    why: String,
    evidence: serde_json::Value,
) {
    let change = MemberChange::Restart {
        release: release.id.number,
        cluster: target.cluster.clone(),
        keep,
        why,
    };
    planner.act(Action::Member { change }, evidence);
}

/// Permits that were addressed to another cluster of the same name.
pub(super) fn forget(planner: &mut Planner) {
    for cluster in planner.state.clusters.clone() {
        let permit = cluster.gate.as_ref().and_then(|gate| gate.permit.as_ref());
        let (Some(at), Some(permit)) = (cluster.replaced, permit) else {
            continue;
        };
        if permit.granted_at < at {
            let evidence = json!({"replaced": at, "granted_at": permit.granted_at});
            let change = MemberChange::Forget {
                cluster: cluster.name.clone(),
                why: replaced_sentence(at),
            };
            planner.act(Action::Member { change }, evidence);
        }
    }
}
