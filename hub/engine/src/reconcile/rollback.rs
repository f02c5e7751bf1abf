//! Taking a release back (gate.md G22, G23, S20). In: which clusters it touched, what they served before. Out: permits for
//! that, last wave first. It must not guess: a cluster goes back only to what was healthy in it and is kept.

use serde_json::json;

use super::flight::{end, outcome_of, standing};
use super::gates::before_permit;
use super::planner::Planner;
use crate::action::Action;
use crate::amount::Amount;
use crate::document::{OnFailure, RollbackSteps};
use crate::member::{replaced_sentence, replaced_since};
use crate::observed::{Cluster, OutcomeResult};
use crate::planted::Planted;
use crate::release::{Direction, Previous, Release, ReleasePhase, Target, TargetState};
use crate::verb::Scope;

/// What stands in front of a target's message that has nothing to go back to.
pub(crate) const NO_TARGET: &str = "NoRollbackTarget";

/// What a target still needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: never touched, back already, or its agent went back by itself.
    Nothing,
    /// A permit to go back.
    Permit,
    /// Its permit's outcome.
    Outcome,
    /// Something that nobody can give: it is named in the verdict.
    Lost,
}

/// What a target of a release that is taken back still needs.
pub(crate) fn need(release: &Release, target: &Target, cluster: Option<&Cluster>) -> Need {
    let Some(permit) = &target.permit else {
        return Need::Nothing;
    };
    let forward = permit.direction == Direction::Forward;
    let refused = cluster
        .and_then(|cluster| outcome_of(cluster, permit))
        .is_some_and(|outcome| outcome.result == OutcomeResult::Refused);
    // Its agent gave the permit back before anything had started.
    if target.state.before_permit() && refused {
        return Need::Nothing;
    }
    match target.state {
        TargetState::RolledBack | TargetState::Skipped | TargetState::Removed => Need::Nothing,
        // A person ended the release: what had finished stays.
        TargetState::Succeeded if stays(release) => Need::Nothing,
        TargetState::RollingBack => Need::Outcome,
        TargetState::Failed if !forward || target.message.starts_with(NO_TARGET) => Need::Lost,
        TargetState::Failed => match cluster
            .and_then(|cluster| outcome_of(cluster, permit))
            .map(|outcome| outcome.result)
        {
            Some(OutcomeResult::Failed | OutcomeResult::Withdrawn | OutcomeResult::Refused) => {
                Need::Nothing
            }
            Some(OutcomeResult::Served | OutcomeResult::NoRollbackTarget) | None => Need::Permit,
        },
        TargetState::Succeeded
        | TargetState::Pending
        | TargetState::WaitingForContent
        | TargetState::Held
        | TargetState::Permitted
        | TargetState::Progressing
        | TargetState::Paused
        | TargetState::Behind
        | TargetState::Unknown => Need::Permit,
    }
}

/// Whether clusters that had finished keep the release's content.
fn stays(release: &Release) -> bool {
    let back = release.word.back.as_ref();
    back.is_some_and(|back| back.scope == Scope::Unfinished)
}

/// How many go back at once; none: the plan takes nothing back and no person said so.
pub(crate) fn at_once(release: &Release) -> Option<Amount> {
    match (release.plan.on_failure, &release.word.back) {
        (OnFailure::Rollback { max_concurrent, .. }, _) => Some(max_concurrent),
        (OnFailure::Halt, Some(_)) => Some(Amount::Percent(100)),
        (OnFailure::Halt, None) => None,
    }
}

/// Whether clusters go back by the canary's steps: as the release's plan says, whoever takes it back.
fn backwards(planner: &Planner, release: &Release) -> bool {
    match release.plan.on_failure {
        OnFailure::Rollback { steps, .. } => {
            steps == RollbackSteps::Backwards && !planner.bug.is(Planted::BackwardsForgotten)
        }
        OnFailure::Halt => false,
    }
}

/// [`need`], with the planner's bug.
fn wants(planner: &Planner, release: &Release, target: &Target) -> Need {
    let ignored = planner.bug.is(Planted::ScopeIgnored);
    if ignored && stays(release) && target.state == TargetState::Succeeded {
        return Need::Permit;
    }
    need(release, target, planner.cluster(&target.cluster))
}

/// Takes a release that goes back as far as the facts allow.
pub(super) fn go_on(planner: &mut Planner, number: u64) {
    landed(planner, number);
    grant(planner, number);
    finish(planner, number);
}

/// A verdict that named unreachable clusters is amended once they are back.
pub(super) fn amend(planner: &mut Planner, number: u64) {
    landed(planner, number);
    let Some(release) = planner.release(number) else {
        return;
    };
    let (verdict, phase) = verdict(planner, &release);
    if verdict != release.verdict || phase != release.phase {
        end(
            planner,
            number,
            phase,
            verdict,
            json!({"targets": standing(&release)}),
        );
    }
}

fn landed(planner: &mut Planner, number: u64) {
    let Some(release) = planner.release(number) else {
        return;
    };
    for target in release
        .targets
        .iter()
        .filter(|target| target.state == TargetState::RollingBack)
    {
        let (Some(permit), Some(cluster)) = (&target.permit, planner.cluster(&target.cluster))
        else {
            continue;
        };
        let replaced = cluster
            .gate
            .as_ref()
            .and_then(|gate| gate.permit.as_ref())
            .is_none_or(|held| held.fence != permit.fence);
        let outcome = outcome_of(cluster, permit).cloned();
        let removed = cluster
            .rollout
            .as_ref()
            .is_some_and(|rollout| rollout.removed);
        let evidence = json!({"outcome": outcome, "fence": permit.fence, "removed": removed});
        let (state, message) = match outcome {
            Some(outcome) => match outcome.result {
                OutcomeResult::Served | OutcomeResult::Withdrawn => {
                    (TargetState::RolledBack, String::new())
                }
                OutcomeResult::NoRollbackTarget => (
                    TargetState::Failed,
                    format!("{NO_TARGET}: {}", outcome.message),
                ),
                OutcomeResult::Failed | OutcomeResult::Refused => (
                    TargetState::Failed,
                    format!("could not be taken back: {}", outcome.message),
                ),
            },
            None if removed => (TargetState::Removed, "the Rollout is not there".to_owned()),
            None if replaced => (
                TargetState::Skipped,
                "its permit was replaced by another release's".to_owned(),
            ),
            None => continue,
        };
        planner.set_target(number, &target.cluster, state, message, evidence);
    }
}

/// The last wave with something to do, as many at once as the policy says. Clusters out of contact get their permit too and
/// block nobody.
fn grant(planner: &mut Planner, number: u64) {
    let Some(release) = planner.release(number) else {
        return;
    };
    let Some(max_concurrent) = at_once(&release) else {
        return;
    };
    let touched = release
        .targets
        .iter()
        .filter(|target| target.touched())
        .count();
    let most = max_concurrent.at_least_one_of(touched);
    let mut in_flight = going_back(planner, &release);
    let mut numbers: Vec<u32> = release.waves.iter().map(|wave| wave.number).collect();
    if !planner.bug.is(Planted::RollbackInWaveOrder) {
        numbers.sort_unstable_by(|a, b| b.cmp(a));
    }
    for wave in numbers {
        let mut closed = false;
        for target in release.targets_of(wave) {
            if wants(planner, &release, target) != Need::Permit {
                continue;
            }
            let connected = planner
                .cluster(&target.cluster)
                .is_some_and(|cluster| cluster.connected);
            if in_flight >= most && connected {
                return;
            }
            // Closed for this one: it waits, and earlier waves wait for it.
            if !super::windows::rollback_may(planner, target) {
                closed = true;
                continue;
            }
            if one(planner, &release, target) && connected {
                in_flight += 1;
            }
        }
        // An earlier wave waits until this one is back.
        let release = planner.release(number).unwrap_or_else(|| release.clone());
        let busy = release
            .targets_of(wave)
            .any(|target| reachable_and_going(planner, &release, target));
        if busy || closed {
            return;
        }
    }
}

/// On its way back, in contact and within its deadline: later ones wait for it.
fn reachable_and_going(planner: &Planner, release: &Release, target: &Target) -> bool {
    let cluster = planner.cluster(&target.cluster);
    let connected = cluster.is_some_and(|cluster| cluster.connected);
    target.state == TargetState::RollingBack
        && connected
        && !given_up(planner, release, target, cluster)
}

fn going_back(planner: &Planner, release: &Release) -> usize {
    release
        .targets
        .iter()
        .filter(|target| reachable_and_going(planner, release, target))
        .count()
}

/// Where a cluster may go back to: what it served before, if that was healthy there and is kept.
pub(crate) fn back_to<'a>(target: &'a Target, cluster: Option<&Cluster>) -> Option<&'a Previous> {
    let rollout = cluster?.rollout.as_ref()?;
    let previous = target.previous.as_ref()?;
    let good =
        rollout.healthy.contains(&previous.digest) && rollout.kept.contains(&previous.digest);
    good.then_some(previous)
}

/// Whether a cluster that had finished has gone on to something else since: a person's rollback comes long after.
pub(crate) fn served_elsewhere(
    release: &Release,
    target: &Target,
    cluster: Option<&Cluster>,
) -> bool {
    let served = cluster
        .and_then(|cluster| cluster.rollout.as_ref())
        .and_then(|rollout| rollout.served.as_ref());
    let own = target.content.as_ref().map(|content| &content.digest);
    release.word.back.is_some()
        && target.state == TargetState::Succeeded
        && served.is_some()
        && served != own
}

/// Why a cluster that was touched needs no permit to go back.
fn nothing_to_do(
    release: &Release,
    target: &Target,
    cluster: Option<&Cluster>,
) -> Option<(TargetState, String)> {
    let rollout = cluster.and_then(|cluster| cluster.rollout.as_ref());
    if rollout.is_some_and(|rollout| rollout.removed) {
        return Some((TargetState::Removed, "the Rollout is not there".to_owned()));
    }
    if let Some(gone) = cluster.and_then(|cluster| cluster.gone.as_ref()) {
        return Some((TargetState::Removed, gone.sentence()));
    }
    if let Some(at) = cluster.and_then(|cluster| replaced_since(target, cluster)) {
        return Some((TargetState::Skipped, replaced_sentence(at)));
    }
    let elsewhere = served_elsewhere(release, target, cluster);
    let message = "serves other content than this release's";
    elsewhere.then(|| (TargetState::Skipped, message.to_owned()))
}

/// True: it got a permit.
fn one(planner: &mut Planner, release: &Release, target: &Target) -> bool {
    let number = release.id.number;
    let cluster = planner.cluster(&target.cluster);
    let rollout = cluster.and_then(|cluster| cluster.rollout.as_ref());
    let evidence = json!({
        "previous": target.previous,
        "kept": rollout.map(|rollout| &rollout.kept),
        "healthy": rollout.map(|rollout| &rollout.healthy),
        "state": target.state,
    });
    if let Some((state, message)) = nothing_to_do(release, target, cluster) {
        planner.set_target(number, &target.cluster, state, message, evidence);
        return false;
    }
    let Some(previous) = back_to(target, cluster) else {
        // It must not go on either.
        if target.state.in_flight() {
            let why = format!("{}; there is nothing to go back to", release.verdict);
            let action = Action::RevokePermit {
                release: number,
                cluster: target.cluster.clone(),
                why,
            };
            planner.act(action, evidence.clone());
        }
        let message = format!("{NO_TARGET}: nothing that was healthy in this cluster is kept");
        planner.set_target(
            number,
            &target.cluster,
            TargetState::Failed,
            message,
            evidence,
        );
        return false;
    };
    let action = Action::GrantPermit {
        release: number,
        cluster: target.cluster.clone(),
        direction: Direction::Rollback,
        digest: previous.digest.clone(),
        delivery: previous.delivery.clone(),
        start_by: None,
        max_step: None,
        // The agent puts the release before it (gate.md G22).
        why: release.verdict.clone(),
        steps_backwards: backwards(planner, release),
    };
    before_permit(planner, &target.cluster);
    planner.act(action, evidence.clone());
    planner.set_target(
        number,
        &target.cluster,
        TargetState::RollingBack,
        "",
        evidence,
    );
    true
}

/// Ends the release when everything is back, or what is not cannot be waited for any longer.
fn finish(planner: &mut Planner, number: u64) {
    let Some(release) = planner.release(number) else {
        return;
    };
    let open = release.targets.iter().any(|target| {
        let cluster = planner.cluster(&target.cluster);
        match wants(planner, &release, target) {
            Need::Nothing | Need::Lost => false,
            Need::Permit => true,
            Need::Outcome => !given_up(planner, &release, target, cluster),
        }
    });
    if !open {
        let (verdict, phase) = verdict(planner, &release);
        end(
            planner,
            number,
            phase,
            verdict,
            json!({"targets": standing(&release)}),
        );
    }
}

/// Out of contact for longer than the policy says, or past its deadline: its permit stays, the release does not wait.
fn given_up(
    planner: &Planner,
    release: &Release,
    target: &Target,
    cluster: Option<&Cluster>,
) -> bool {
    let Some(permit) = &target.permit else {
        return true;
    };
    let now = planner.state.now;
    let Some(cluster) = cluster else { return true };
    let last = cluster.last_seen.unwrap_or(permit.granted_at);
    let silent = super::silent_since(&planner.state, last);
    let unreachable =
        !cluster.connected && now >= release.plan.membership.unreachable_after.after(silent);
    let granted = super::silent_since(&planner.state, permit.granted_at);
    unreachable || now >= release.plan.progress_deadline.after(granted)
}

fn verdict(planner: &Planner, release: &Release) -> (String, ReleasePhase) {
    let of = |wanted: &[Need]| -> Vec<String> {
        let targets = release
            .targets
            .iter()
            .filter(|target| wanted.contains(&wants(planner, release, target)));
        targets.map(|target| target.cluster.to_string()).collect()
    };
    let why = release
        .verdict
        .split("; still to go back: ")
        .next()
        .unwrap_or_default()
        .to_owned();
    let missing = of(&[Need::Outcome, Need::Permit, Need::Lost]);
    let back = release
        .targets
        .iter()
        .filter(|target| target.state == TargetState::RolledBack)
        .count();
    if !missing.is_empty() {
        return (
            format!("{why}; still to go back: {}", missing.join(", ")),
            ReleasePhase::RolledBackPartially,
        );
    }
    let phase = match &release.word.back {
        Some(own) if own.scope == Scope::Unfinished || back == 0 => ReleasePhase::Aborted,
        Some(_) => ReleasePhase::RolledBack,
        None if back > 0 => ReleasePhase::RolledBack,
        None => ReleasePhase::Failed,
    };
    (why, phase)
}
