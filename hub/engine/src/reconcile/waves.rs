//! Waves in their order (S1, gate.md G25). In: how targets stand, approvals, the database's time. Out: permits, wave by wave.
//! A wave passes when every target has ended, failures are within its budget and its bake is over since the last success.

use jiff::Timestamp;
use serde_json::json;

use super::approvals::{self, approved};
use super::flight::{end, standing};
use super::gates::before_permit;
use super::planner::Planner;
use super::{departed, turn, windows};
use crate::action::Action;
use crate::advance::obey::SKIPPED_BY;
use crate::amount::Seconds;
use crate::document::{Missing, OnFailure};
use crate::member::{emptied, excused, left_out};
use crate::planted::{Bug, Planted};
use crate::release::{
    Direction, Release, ReleasePhase, Stage, Target, TargetState, Wave, WavePhase,
};

/// What is left to do in this round.
enum Step {
    /// The next wave may be looked at.
    Next,
    /// Something has to happen first.
    Wait,
}

/// Takes a progressing release as far as the facts allow.
pub(super) fn go_on(planner: &mut Planner, number: u64) {
    let Some(release) = planner.state.release(number) else {
        return;
    };
    let ahead = release.waves.iter().filter(|wave| !wave.phase.behind());
    let ahead: Vec<u32> = ahead.map(|wave| wave.number).collect();
    if departed::ended(planner, number) {
        return;
    }
    for wave in ahead {
        match one_wave(planner, number, wave) {
            Step::Next => {}
            Step::Wait => return,
        }
    }
    succeed(planner, number);
}

fn succeed(planner: &mut Planner, number: u64) {
    let Some(release) = planner.release(number) else {
        return;
    };
    let withdrawn = release
        .targets
        .iter()
        .filter(|target| target.state == TargetState::Skipped && target.content.is_some())
        .filter(|target| !passed_over(target) && !left_out(target));
    let withdrawn: Vec<String> = withdrawn.map(|target| target.cluster.to_string()).collect();
    let good = release
        .targets
        .iter()
        .filter(|target| target.state == TargetState::Succeeded)
        .count();
    let evidence = json!({"targets": standing(&release)});
    if withdrawn.is_empty() {
        let mut verdict = format!("served in {good} of {} clusters", release.targets.len());
        let skipped = release.targets.iter().filter(|target| passed_over(target));
        let skipped: Vec<&str> = skipped.map(|target| target.cluster.as_str()).collect();
        if !skipped.is_empty() {
            verdict.push_str(&format!("; skipped by hand: {}", skipped.join(", ")));
        }
        let out = release
            .targets
            .iter()
            .filter(|target| left_out(target) || excused(&release, target));
        let out: Vec<String> = out
            .map(|target| format!("{} ({})", target.cluster, target.message))
            .collect();
        if !out.is_empty() {
            verdict.push_str(&format!("; does not count: {}", out.join(", ")));
        }
        end(planner, number, ReleasePhase::Succeeded, verdict, evidence);
    } else {
        let verdict = format!(
            "taken out of Git before its turn in {}; served in {good} clusters",
            withdrawn.join(", ")
        );
        end(planner, number, ReleasePhase::Withdrawn, verdict, evidence);
    }
}

/// Whether a person passed over it.
pub(super) fn passed_over(target: &Target) -> bool {
    target.state == TargetState::Skipped && target.message.starts_with(SKIPPED_BY)
}

/// Whether a person keeps it from starting anything (gate.md G30).
pub(super) fn held_back(planner: &Planner, release: &Release) -> bool {
    let stopped = planner.state.stopped.is_some() && !planner.bug.is(Planted::StopIgnored);
    // Nobody can resume what has ended, so its pause holds nobody who comes late.
    let paused = release.word.paused.is_some() && !release.phase.ended();
    stopped || (paused && !planner.bug.is(Planted::PauseIgnored))
}

fn one_wave(planner: &mut Planner, number: u64, wave: u32) -> Step {
    if fail_if_over_budget(planner, number, wave) {
        return Step::Wait;
    }
    approvals::void(planner, number, wave);
    let Some((release, now_wave)) = look(planner, number, wave) else {
        return Step::Wait;
    };
    let watched = matches!(now_wave.phase, WavePhase::Baking | WavePhase::WaitingToPass);
    if all_ended(planner, &release, wave) && !watched {
        return landed(planner, &release, &now_wave);
    }
    match now_wave.phase {
        WavePhase::Pending | WavePhase::WaitingForApproval => {
            if !turn::has_come(planner)
                || !approved(planner, &release, &now_wave, Stage::Before)
                || held_back(planner, &release)
            {
                return Step::Wait;
            }
            start(planner, &release, wave);
            // Those whose content is not there are judged as soon as their turn has come.
            super::join::bind(planner, number);
            if fail_if_over_budget(planner, number, wave) {
                return Step::Wait;
            }
            grant(planner, number, wave);
            one_more_look(planner, number, wave)
        }
        WavePhase::Running => {
            if approved(planner, &release, &now_wave, Stage::Before) {
                grant(planner, number, wave);
            }
            one_more_look(planner, number, wave)
        }
        WavePhase::Baking => bake(planner, &now_wave, number),
        WavePhase::WaitingToPass => pass(planner, &release, &now_wave, json!(now_wave.bake_until)),
        WavePhase::Passed | WavePhase::Skipped => Step::Next,
        WavePhase::Failed => Step::Wait,
    }
}

/// Starting a wave may have ended all of its targets, or too many of them, at once.
fn one_more_look(planner: &mut Planner, number: u64, wave: u32) -> Step {
    if fail_if_over_budget(planner, number, wave) {
        return Step::Wait;
    }
    let Some((release, now_wave)) = look(planner, number, wave) else {
        return Step::Wait;
    };
    if all_ended(planner, &release, wave) {
        landed(planner, &release, &now_wave)
    } else {
        Step::Wait
    }
}

fn look(planner: &Planner, number: u64, wave: u32) -> Option<(Release, Wave)> {
    let release = planner.release(number)?;
    let wave = release.wave(wave)?.clone();
    Some((release, wave))
}

fn all_ended(planner: &Planner, release: &Release, wave: u32) -> bool {
    let unknown_too = planner.bug.is(Planted::UnknownCountsAsDone);
    release
        .targets_of(wave)
        .all(|target| ended(target) || (unknown_too && target.state == TargetState::Unknown))
}

/// Ended, whatever that means for the wave.
fn ended(target: &Target) -> bool {
    !target.state.before_permit() && !target.state.in_flight()
}

/// Whether a target counts against its wave's budget.
pub(crate) fn counts_as_failed(release: &Release, target: &Target) -> bool {
    match target.state {
        TargetState::Failed => !excused(release, target),
        TargetState::Removed => release.plan.membership.missing == Missing::Fail,
        TargetState::Pending
        | TargetState::WaitingForContent
        | TargetState::Held
        | TargetState::Permitted
        | TargetState::Progressing
        | TargetState::Paused
        | TargetState::Succeeded
        | TargetState::RollingBack
        | TargetState::RolledBack
        | TargetState::Skipped
        | TargetState::Behind
        | TargetState::Unknown => false,
    }
}

/// Whether neither the wave nor the release has more failures than it may.
fn within_budget(release: &Release, wave: u32, bug: Bug) -> bool {
    let failed = release
        .targets_of(wave)
        .filter(|target| counts_as_failed(release, target));
    let all = release.targets_of(wave).count();
    let most = release.plan.wave(wave).map(|wave| wave.max_failed.of(all));
    let over = most.is_some_and(|most| failed.count() > most);
    (!over && over_release_budget(release, bug).is_none()) || bug.is(Planted::BudgetIgnored)
}

fn fail_if_over_budget(planner: &mut Planner, number: u64, wave: u32) -> bool {
    let release = planner.state.release(number);
    let over = release.filter(|release| !within_budget(release, wave, planner.bug));
    let Some(release) = over.cloned() else {
        return false;
    };
    let Some(planned) = release.plan.wave(wave) else {
        return false;
    };
    let failed: Vec<&Target> = release
        .targets_of(wave)
        .filter(|target| counts_as_failed(&release, target))
        .collect();
    let all = release.targets_of(wave).count();
    let most = planned.max_failed.of(all);
    let over = over_release_budget(&release, planner.bug);
    let first = failed
        .first()
        .map(|target| format!("; {}: {}", target.cluster, target.message))
        .unwrap_or_default();
    let why = match over.filter(|_| failed.len() <= most) {
        Some((failed, most)) => {
            let all = release.targets.len();
            format!("{failed} of {all} failed in the release, {most} may{first}")
        }
        None => format!(
            "{} of {all} failed in wave {wave} ({}), {most} may{first}",
            failed.len(),
            planned.name
        ),
    };
    let evidence = json!({"failed": failed.len(), "most": most, "targets": standing(&release)});
    planner.act(
        Action::FailWave {
            release: number,
            wave,
            why: why.clone(),
        },
        evidence.clone(),
    );
    for target in failed {
        super::flight::bar(planner, number, target);
    }
    match release.plan.on_failure {
        OnFailure::Halt => planner.act(
            Action::HaltRelease {
                release: number,
                why,
            },
            evidence,
        ),
        OnFailure::Rollback { .. } => planner.act(
            Action::StartRollback {
                release: number,
                why,
            },
            evidence,
        ),
    }
    true
}

/// (failed, may fail) in the release as a whole, if that is over its own budget.
pub(crate) fn over_release_budget(release: &Release, bug: Bug) -> Option<(usize, usize)> {
    let most = release.plan.max_failed?.of(release.targets.len());
    let failed = release
        .targets
        .iter()
        .filter(|target| counts_as_failed(release, target))
        .count();
    (failed > most && !bug.is(Planted::ReleaseBudgetIgnored)).then_some((failed, most))
}

fn start(planner: &mut Planner, release: &Release, wave: u32) {
    let approvals = approvals::named(release, wave, Stage::Before);
    let before: Vec<_> = release
        .waves
        .iter()
        .filter(|other| other.number < wave)
        .map(|other| (other.number, other.phase))
        .collect();
    let evidence = json!({"approvals": approvals, "before": before, "now": planner.state.now});
    planner.act(
        Action::StartWave {
            release: release.id.number,
            wave,
        },
        evidence,
    );
}

/// Every target has ended: bake after the last success, or pass at once when there is nothing to watch.
fn landed(planner: &mut Planner, release: &Release, wave: &Wave) -> Step {
    let number = release.id.number;
    let last = last_success(release, wave.number);
    let bake = bake_of(release, wave.number);
    match last {
        Some(last) => {
            let until = bake.after(last);
            if planner.state.now < until && !planner.bug.is(Planted::BakeIgnored) {
                planner.act(
                    Action::StartBake {
                        release: number,
                        wave: wave.number,
                        until,
                    },
                    json!({"last_success": last}),
                );
                return Step::Wait;
            }
            pass(planner, release, wave, json!(last))
        }
        None => pass(planner, release, wave, json!(null)),
    }
}

/// How long a wave bakes: as planned, or shorter in an expedited release; its first wave never (gate.md G30).
fn bake_of(release: &Release, wave: u32) -> Seconds {
    let planned = release.plan.wave(wave).map(|planned| planned.bake);
    let planned = planned.unwrap_or_default();
    match release.plan.expedite {
        Some(expedite) if release.expedited() && release.comes_after_another(wave) => {
            planned.min(expedite.bake)
        }
        Some(_) | None => planned,
    }
}

fn bake(planner: &mut Planner, wave: &Wave, number: u64) -> Step {
    let Some(release) = planner.release(number) else {
        return Step::Wait;
    };
    // Expedited since it began.
    let last = last_success(&release, wave.number);
    let shorter = last.map(|last| bake_of(&release, wave.number).after(last));
    let shorter = shorter.filter(|until| release.expedited() && Some(*until) < wave.bake_until);
    let until = shorter.or(wave.bake_until);
    if wave.promoted || until.is_some_and(|until| planner.state.now >= until) {
        return pass(planner, &release, wave, json!(until));
    }
    if let Some(until) = shorter {
        let action = Action::StartBake {
            release: number,
            wave: wave.number,
            until,
        };
        planner.act(action, json!({"last_success": last, "expedited": true}));
    }
    Step::Wait
}

/// What was reached and does not count any more proves nothing.
fn last_success(release: &Release, wave: u32) -> Option<Timestamp> {
    release
        .targets_of(wave)
        .filter(|target| target.state == TargetState::Succeeded)
        .filter_map(|target| target.succeeded_at)
        .max()
}

fn pass(planner: &mut Planner, release: &Release, wave: &Wave, baked: serde_json::Value) -> Step {
    // Also where the only success was taken away while it baked.
    if emptied(release, wave.number) && !planner.bug.is(Planted::EmptiedPasses) {
        return Step::Wait;
    }
    if !approved(planner, release, wave, Stage::After) {
        return Step::Wait;
    }
    let approvals = approvals::named(release, wave.number, Stage::After);
    let evidence = json!({"baked": baked, "now": planner.state.now, "targets": standing(release), "approvals": approvals});
    let wave = wave.number;
    planner.act(
        Action::PassWave {
            release: release.id.number,
            wave,
        },
        evidence,
    );
    Step::Next
}

/// Permits for as many targets of a running wave as may be in flight at once.
pub(super) fn grant(planner: &mut Planner, number: u64, wave: u32) {
    let Some(release) = planner.release(number) else {
        return;
    };
    let Some(planned) = release.plan.wave(wave) else {
        return;
    };
    if held_back(planner, &release) {
        return;
    }
    let all = release.targets_of(wave).count();
    let most = planned.max_concurrent.at_least_one_of(all);
    let mut in_flight = release
        .targets_of(wave)
        .filter(|target| target.state.in_flight())
        .count();
    for target in release.targets_of(wave) {
        if in_flight >= most && !planner.bug.is(Planted::ConcurrencyIgnored) {
            return;
        }
        if target.state != TargetState::Held || !approvals::cover(planner, &release, target) {
            continue;
        }
        let Some(until) = windows::open_until(planner, &release, target) else {
            continue;
        };
        if may_start(planner, &release, target) {
            permit(planner, &release, target, until, (in_flight, most));
            in_flight += 1;
        }
    }
}

/// Whether everything about the cluster itself allows a start.
fn may_start(planner: &Planner, release: &Release, target: &Target) -> bool {
    let (Some(content), Some(cluster)) = (&target.content, planner.cluster(&target.cluster)) else {
        return false;
    };
    let Some(rollout) = &cluster.rollout else {
        return false;
    };
    let there = rollout.kept.contains(&content.digest)
        || rollout
            .spec
            .as_ref()
            .is_some_and(|spec| spec.digest == content.digest);
    target.state == TargetState::Held
        && (cluster.gone.is_none() || planner.bug.is(Planted::GoneCounts))
        && (cluster.connected || planner.bug.is(Planted::ContactIgnored))
        && !cluster.regressed
        && !rollout.undecodable_gate
        && !rollout.removed
        && there
        && (!planner.state.barred.contains_key(&content.digest)
            || planner.bug.is(Planted::BarIgnored))
        && !planner.state.conflicts.contains_key(&target.cluster)
        && !windows::over_there(&planner.state, release, target, cluster)
}

fn permit(
    planner: &mut Planner,
    release: &Release,
    target: &Target,
    until: Option<Timestamp>,
    (in_flight, most): (usize, usize),
) {
    let Some(content) = &target.content else {
        return;
    };
    let number = release.id.number;
    let name = release
        .wave(target.wave)
        .map(|wave| wave.name.clone())
        .unwrap_or_default();
    let evidence = json!({"in_flight": in_flight, "most": most, "held": content.digest, "now": planner.state.now, "window_until": until});
    let action = Action::GrantPermit {
        release: number,
        cluster: target.cluster.clone(),
        direction: Direction::Forward,
        digest: content.digest.clone(),
        delivery: content.delivery.clone(),
        start_by: Some(windows::start_by(planner, release, until)),
        max_step: None,
        why: format!(
            "wave {} of {} ({name}) of release {}",
            target.wave,
            release.plan.len(),
            release.id
        ),
        steps_backwards: false,
    };
    before_permit(planner, &target.cluster);
    planner.act(action, evidence.clone());
    planner.set_target(
        number,
        &target.cluster,
        TargetState::Permitted,
        "",
        evidence,
    );
}
