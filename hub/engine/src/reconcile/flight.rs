//! Targets with a permit (gate.md G17, G18). In: outcomes, contact, time. Out: how each stands, and ended releases. A target
//! has succeeded only by an outcome for this release, this digest and this permit; silence is neither good nor bad.

use serde_json::{Value, json};

use super::join::{follow_delivery, other_delivery};
use super::planner::Planner;
use crate::action::Action;
use crate::document::Unreachable;
use crate::member::UNREACHABLE;
use crate::name::ClusterName;
use crate::observed::{Cluster, Outcome, OutcomeResult};
use crate::planted::Planted;
use crate::release::{Direction, Permit, Release, ReleasePhase, Target, TargetState};

/// What stands in front of the message of a target that took too long.
pub(crate) const NOT_FINISHED: &str = "did not finish within";

/// The outcome of exactly this permit.
pub(crate) fn outcome_of<'a>(cluster: &'a Cluster, permit: &Permit) -> Option<&'a Outcome> {
    let outcome = cluster.rollout.as_ref()?.outcome.as_ref()?;
    let same = outcome.fence == permit.fence
        && outcome.digest == permit.digest
        && outcome.release == permit.release.to_string();
    same.then_some(outcome)
}

/// Judges every target in flight, also of releases that have ended since.
pub(super) fn outcomes(planner: &mut Planner, number: u64) {
    let Some(release) = planner.release(number) else {
        return;
    };
    for target in release
        .targets
        .iter()
        .filter(|target| target.state.in_flight())
    {
        let (Some(permit), Some(cluster)) = (&target.permit, planner.shared(&target.cluster))
        else {
            continue;
        };
        let any = || {
            cluster
                .rollout
                .as_ref()?
                .outcome
                .as_ref()
                .filter(|_| planner.bug.is(Planted::AnyOutcomeCounts))
        };
        let outcome = outcome_of(&cluster, permit).or_else(any);
        let again = outcome.is_some_and(|outcome| outcome.result == OutcomeResult::Refused)
            && may_be_permitted_again(planner, &release);
        match outcome {
            Some(outcome) if again && other_delivery(target, &cluster).is_some() => {
                refused(planner, number, target, &cluster, outcome);
            }
            // Its agent refused, and has not said yet how it delivers now.
            Some(_) if again => under_way(planner, &release, target, permit, &cluster),
            Some(outcome) => ended(planner, number, target, outcome),
            None => under_way(planner, &release, target, permit, &cluster),
        }
    }
}

/// Whether a target of the release that gave its permit back can get another one.
fn may_be_permitted_again(planner: &Planner, release: &Release) -> bool {
    match release.phase {
        ReleasePhase::Progressing => true,
        ReleasePhase::Succeeded => release.id.number == planner.state.newest_number(),
        ReleasePhase::Waiting
        | ReleasePhase::Halted
        | ReleasePhase::RollingBack
        | ReleasePhase::Failed
        | ReleasePhase::RolledBack
        | ReleasePhase::RolledBackPartially
        | ReleasePhase::Superseded
        | ReleasePhase::Withdrawn
        | ReleasePhase::Aborted => false,
    }
}

/// The steps were edited between the decision and the agent's storing it (gate.md G2): nothing has started, and the next
/// permit names the steps of now.
fn refused(
    planner: &mut Planner,
    number: u64,
    target: &Target,
    cluster: &Cluster,
    outcome: &Outcome,
) {
    let evidence = json!({"outcome": outcome});
    planner.set_target(
        number,
        &target.cluster,
        TargetState::Held,
        outcome.message.clone(),
        evidence,
    );
    follow_delivery(planner, number, target, cluster);
}

fn ended(planner: &mut Planner, number: u64, target: &Target, outcome: &Outcome) {
    let evidence = json!({"outcome": outcome});
    let cluster = &target.cluster;
    let (state, message) = match outcome.result {
        OutcomeResult::Served => (TargetState::Succeeded, String::new()),
        OutcomeResult::Failed => (TargetState::Failed, outcome.message.clone()),
        OutcomeResult::Withdrawn => (
            TargetState::Failed,
            format!("Withdrawn: {}", outcome.message),
        ),
        OutcomeResult::NoRollbackTarget => (
            TargetState::Failed,
            format!("NoRollbackTarget: {}", outcome.message),
        ),
        OutcomeResult::Refused => (TargetState::Failed, format!("Refused: {}", outcome.message)),
    };
    planner.set_target(number, cluster, state, message, evidence);
    // Within a wave's budget a failure bars nothing, or the budget could never be used by clusters with equal content; and a
    // straggler of a release that has succeeded says nothing about the others.
    let judged = planner.state.release(number).map(|release| release.phase);
    match judged {
        Some(ReleasePhase::Progressing | ReleasePhase::Succeeded | ReleasePhase::Waiting)
        | None => {}
        Some(
            ReleasePhase::Halted
            | ReleasePhase::RollingBack
            | ReleasePhase::Failed
            | ReleasePhase::RolledBack
            | ReleasePhase::RolledBackPartially
            | ReleasePhase::Superseded
            | ReleasePhase::Withdrawn
            | ReleasePhase::Aborted,
        ) => bar(planner, number, target),
    }
}

/// Bars the digest of a target that failed by its agent's word (gate.md G17).
pub(super) fn bar(planner: &mut Planner, number: u64, target: &Target) {
    let (Some(permit), Some(cluster)) = (&target.permit, planner.cluster(&target.cluster)) else {
        return;
    };
    let Some(outcome) =
        outcome_of(cluster, permit).filter(|outcome| outcome.result == OutcomeResult::Failed)
    else {
        return;
    };
    let digest = outcome.digest.clone();
    let evidence = json!({"outcome": outcome});
    if permit.direction == Direction::Forward && !planner.state.barred.contains_key(&digest) {
        planner.act(
            Action::Bar {
                release: number,
                digest,
            },
            evidence,
        );
    }
}

fn under_way(
    planner: &mut Planner,
    release: &Release,
    target: &Target,
    permit: &Permit,
    cluster: &Cluster,
) {
    let number = release.id.number;
    let now = planner.state.now;
    let replaced = cluster
        .gate
        .as_ref()
        .and_then(|gate| gate.permit.as_ref())
        .is_none_or(|held| held.fence != permit.fence);
    if release.phase.ended() && replaced {
        let message = "its permit was replaced by another release's";
        planner.set_target(
            number,
            &target.cluster,
            TargetState::Skipped,
            message,
            json!({"fence": permit.fence}),
        );
        return;
    }
    // What a stop or a closed window holds cannot finish: its time counts anew from the end of that (gate.md G14, G30).
    let since = super::flight_since(&planner.state, permit, cluster);
    let deadline = release.plan.progress_deadline.after(since);
    let window = cluster
        .gate
        .as_ref()
        .is_some_and(|gate| gate.terms.window_closed.is_some());
    if now >= deadline && planner.state.stopped.is_none() && !window {
        let message = format!("{NOT_FINISHED} {}", release.plan.progress_deadline);
        give_up(
            planner,
            number,
            &target.cluster,
            message,
            json!({"granted_at": permit.granted_at, "since": since, "now": now}),
        );
        return;
    }
    if cluster
        .rollout
        .as_ref()
        .is_some_and(|rollout| rollout.removed)
    {
        let message = "the Rollout is not there";
        planner.set_target(
            number,
            &target.cluster,
            TargetState::Removed,
            message,
            json!({"removed": true}),
        );
        return;
    }
    if may_be_permitted_again(planner, release)
        && super::windows::give_back(planner, number, permit, cluster)
    {
        return;
    }
    if cluster.connected {
        started(planner, number, permit, cluster);
    } else {
        silent(planner, release, permit, cluster);
    }
}

/// Out of contact: neither good nor bad, until the policy says otherwise.
fn silent(planner: &mut Planner, release: &Release, permit: &Permit, cluster: &Cluster) {
    let (number, now) = (release.id.number, planner.state.now);
    let membership = release.plan.membership;
    let last = cluster.last_seen.unwrap_or(permit.granted_at);
    let since = super::silent_since(&planner.state, last.max(permit.granted_at));
    let evidence = json!({"last_seen": cluster.last_seen, "since": since, "now": now});
    let over = now >= membership.unreachable_after.after(since);
    if membership.unreachable != Unreachable::Wait && over {
        let message = format!("{UNREACHABLE} {}", membership.unreachable_after);
        give_up(planner, number, &cluster.name, message, evidence);
    } else {
        planner.set_target(number, &cluster.name, TargetState::Unknown, "", evidence);
    }
}

fn started(planner: &mut Planner, number: u64, permit: &Permit, cluster: &Cluster) {
    let Some(rollout) = &cluster.rollout else {
        return;
    };
    let effect = rollout.effect.as_ref();
    let taken_up = effect.is_some_and(|effect| effect.fence == permit.fence);
    let state = match (taken_up, rollout.phase.as_str()) {
        (false, _) => TargetState::Permitted,
        (true, "Paused") => TargetState::Paused,
        (true, _) => TargetState::Progressing,
    };
    let evidence = json!({"effect": rollout.effect, "phase": rollout.phase});
    planner.set_target(number, &cluster.name, state, "", evidence);
}

/// Failed without its agent's word: it may not start or raise any more.
pub(super) fn give_up(
    planner: &mut Planner,
    number: u64,
    cluster: &ClusterName,
    message: String,
    evidence: Value,
) {
    planner.set_target(
        number,
        cluster,
        TargetState::Failed,
        message.clone(),
        evidence.clone(),
    );
    planner.act(
        Action::RevokePermit {
            release: number,
            cluster: cluster.clone(),
            why: message,
        },
        evidence,
    );
}

/// A halted release ends when nothing of it is in flight any more.
pub(super) fn end_when_landed(planner: &mut Planner, number: u64) {
    let Some(release) = planner.release(number) else {
        return;
    };
    if release
        .targets
        .iter()
        .any(|target| target.state.in_flight())
    {
        return;
    }
    let evidence = json!({"targets": standing(&release)});
    end(
        planner,
        number,
        ReleasePhase::Failed,
        release.verdict,
        evidence,
    );
}

/// Ends a release; targets that never had a permit are skipped with it.
pub(super) fn end(
    planner: &mut Planner,
    number: u64,
    phase: ReleasePhase,
    verdict: String,
    evidence: Value,
) {
    let Some(release) = planner.release(number) else {
        return;
    };
    for target in release
        .targets
        .iter()
        .filter(|target| target.state.before_permit())
    {
        let message = format!(
            "release {} ended {} before its turn",
            release.id,
            phase.as_str()
        );
        planner.set_target(
            number,
            &target.cluster,
            TargetState::Skipped,
            message,
            json!({"phase": phase}),
        );
    }
    planner.act(
        Action::EndRelease {
            release: number,
            phase,
            verdict,
        },
        evidence,
    );
}

/// cluster → state, for evidence.
pub(super) fn standing(release: &Release) -> Value {
    let targets = release
        .targets
        .iter()
        .map(|target| (target.cluster.to_string(), json!(target.state)));
    Value::Object(targets.collect())
}
