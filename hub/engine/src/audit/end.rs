//! Verdicts (G17, G22, G26). In: an action that halts, takes back or ends. Out: whether the facts allow it. It must not
//! believe a verdict's sentence.

use super::{Findings, alone};
use crate::action::Action;
use crate::document::{OnFailure, Supersede};
use crate::name::Digest;
use crate::observed::{Observed, OutcomeResult};
use crate::reconcile::OVERTAKEN_MAX;
use crate::release::{Direction, Release, ReleasePhase, TargetState, WavePhase};
use crate::verb::Verb;

pub(super) fn check(findings: &mut Findings, state: &Observed, action: &Action) {
    let Some(release) = action.release().and_then(|number| state.release(number)) else {
        return;
    };
    let failed = release
        .waves
        .iter()
        .any(|wave| wave.phase == WavePhase::Failed);
    let by_word = release.word.back.as_ref();
    match action {
        Action::HaltRelease { .. } => {
            let good = failed && release.plan.on_failure == OnFailure::Halt;
            findings.need(good, "S1", || {
                format!("release {} halts without cause", release.id)
            });
        }
        Action::StartRollback { .. } => {
            let good = failed && matches!(release.plan.on_failure, OnFailure::Rollback { .. });
            findings.need(good, "G22", || {
                format!("release {} goes back without cause", release.id)
            });
        }
        Action::EndRelease { phase, .. } => end(
            findings,
            state,
            release,
            *phase,
            failed || by_word.is_some(),
        ),
        Action::Bar { digest, .. } => {
            let word = failed_by_word(state, release, digest);
            findings.need(word, "G17", || {
                format!("no agent said that {digest} failed")
            });
        }
        Action::Govern { .. }
        | Action::SetWaiting { .. }
        | Action::OpenRelease { .. }
        | Action::SettleChange { .. }
        | Action::RefuseRequest { .. }
        | Action::Obey { .. }
        | Action::StartRelease { .. }
        | Action::JoinTarget { .. }
        | Action::BindContent { .. }
        | Action::BindDelivery { .. }
        | Action::SetTargetState { .. }
        | Action::RequestApproval { .. }
        | Action::StartWave { .. }
        | Action::VoidApprovals { .. }
        | Action::GrantPermit { .. }
        | Action::RevokePermit { .. }
        | Action::StartBake { .. }
        | Action::PassWave { .. }
        | Action::FailWave { .. }
        | Action::Unbar { .. }
        | Action::Member { .. } => {}
    }
}

fn failed_by_word(state: &Observed, release: &Release, digest: &Digest) -> bool {
    release.targets.iter().any(|target| {
        let Some(permit) = target
            .permit
            .as_ref()
            .filter(|permit| permit.digest == *digest)
        else {
            return false;
        };
        let outcome = state
            .cluster(&target.cluster)
            .and_then(|cluster| cluster.rollout.as_ref()?.outcome.as_ref());
        outcome.is_some_and(|outcome| {
            outcome.fence == permit.fence && outcome.result == OutcomeResult::Failed
        })
    })
}

#[allow(clippy::too_many_lines, reason = "one arm a variant")]
fn end(
    findings: &mut Findings,
    state: &Observed,
    release: &Release,
    phase: ReleasePhase,
    failed: bool,
) {
    let id = &release.id;
    let passed = release.waves.iter().all(|wave| wave.phase.behind());
    let flying = release
        .targets
        .iter()
        .any(|target| target.state.in_flight());
    let waiting = release
        .targets
        .iter()
        .any(|target| target.state.before_permit());
    findings.need(!waiting, "S2", || {
        format!("release {id} ends with targets that wait for their turn")
    });
    let amended = release.phase == ReleasePhase::RolledBackPartially;
    findings.need(!release.phase.ended() || amended, "S2", || {
        format!("release {id} has ended already")
    });
    match phase {
        ReleasePhase::Succeeded | ReleasePhase::Withdrawn => {
            findings.need(passed && !flying, "S1", || {
                format!("release {id} succeeds before every wave has passed")
            });
        }
        ReleasePhase::Failed => {
            findings.need(failed && !flying, "S1", || {
                format!("release {id} fails without a failed wave, or in flight")
            });
            let kept = release
                .targets
                .iter()
                .any(|target| target.state == TargetState::Succeeded);
            let halts = release.plan.on_failure == OnFailure::Halt;
            findings.need(halts || !kept, "G22", || {
                format!("release {id} ends with clusters that were not taken back")
            });
        }
        ReleasePhase::RolledBack => {
            let left = release.targets.iter().any(|target| match target.state {
                TargetState::Succeeded | TargetState::RollingBack => true,
                TargetState::Failed => target
                    .permit
                    .as_ref()
                    .is_some_and(|permit| permit.direction == Direction::Rollback),
                TargetState::Pending
                | TargetState::WaitingForContent
                | TargetState::Held
                | TargetState::Permitted
                | TargetState::Progressing
                | TargetState::Paused
                | TargetState::RolledBack
                | TargetState::Skipped
                | TargetState::Removed
                | TargetState::Behind
                | TargetState::Unknown => false,
            });
            findings.need(failed && !left && !flying, "G22", || {
                format!("release {id} is not back everywhere")
            });
        }
        ReleasePhase::Aborted => {
            let asked = state.requests.iter().any(|request| {
                request.release == Some(release.id.number)
                    && matches!(request.verb, Verb::Abort { .. } | Verb::Rollback)
            });
            let back = release.word.back.is_some();
            let waited = release.phase == ReleasePhase::Waiting && asked;
            let left = alone::nobody_is_left(state, release);
            findings.need((back || waited || left) && !flying, "S19", || {
                format!("release {id} is aborted without a person's word, or in flight")
            });
            let going = release
                .targets
                .iter()
                .any(|target| target.state == TargetState::RollingBack);
            findings.need(!going, "G22", || {
                format!("release {id} is still going back")
            });
        }
        ReleasePhase::RolledBackPartially => {
            findings.need(failed, "G22", || {
                format!("release {id} goes back without a failed wave")
            });
        }
        ReleasePhase::Superseded => {
            let replace = state.fleet_rollout.supersede == Supersede::Replace;
            let may = release.phase == ReleasePhase::Progressing
                && release.overtook < OVERTAKEN_MAX
                && (!release.past_first_wave() || replace);
            findings.need(may || release.phase == ReleasePhase::Waiting, "G26", || {
                format!("release {id} may not be overtaken")
            });
        }
        ReleasePhase::Waiting
        | ReleasePhase::Progressing
        | ReleasePhase::Halted
        | ReleasePhase::RollingBack => {
            findings.need(false, "S2", || {
                format!("release {id} cannot end as {}", phase.as_str())
            });
        }
    }
}
