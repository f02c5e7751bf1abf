//! Waves (S1). In: an action on a wave. Out: whether the facts allow it. It must count for itself.

use super::Findings;
use crate::action::Action;
use crate::advance::obey::SKIPPED_BY;
use crate::member::{excused, left_out};
use crate::observed::Observed;
use crate::planted::Bug;
use crate::reconcile::{counts_as_failed, over_release_budget};
use crate::release::{
    Approval, Cause, Release, ReleasePhase, Stage, Target, TargetState, WavePhase,
};

#[allow(clippy::too_many_lines, reason = "one arm a variant")]
pub(super) fn check(findings: &mut Findings, state: &Observed, action: &Action) {
    let Some(release) = action.release().and_then(|number| state.release(number)) else {
        return;
    };
    match action {
        Action::RequestApproval { wave, stage, .. } => {
            let asked = release.approval_of(*wave, *stage).is_some();
            findings.need(asked, "S1", || format!("wave {wave} needs no approval"));
            if *stage == Stage::After {
                anew(findings, state, release, *wave);
            }
        }
        Action::StartWave { wave, .. } => {
            in_turn(findings, release, *wave);
            approved(findings, state, release, (*wave, Stage::Before));
            let before = state
                .before
                .iter()
                .find(|other| other.waits_for().is_some());
            findings.need(before.is_none(), "S1", || {
                let name = before.map(|other| other.name.to_string());
                format!(
                    "wave {wave} starts before {} has passed",
                    name.unwrap_or_default()
                )
            });
            super::verb::may_start(findings, state, release);
        }
        Action::VoidApprovals {
            wave, approvals, ..
        } => {
            let images = release.images_of_wave(*wave);
            let all = release
                .approvals
                .iter()
                .filter(|approval| approvals.contains(&approval.id));
            let stale = all
                .filter(|approval| {
                    images.iter().any(|image| !approval.images.contains(image))
                        || approval.stage == Stage::After && runs(release, *wave)
                        || expired(state, release, approval)
                })
                .count();
            findings.need(stale == approvals.len(), "S19", || {
                format!("an approval of wave {wave} covers every image and has not expired")
            });
        }
        Action::StartBake { wave, until, .. } => {
            anew(findings, state, release, *wave);
            landed(findings, release, *wave);
            let over = over(release, *wave);
            findings.need(over.is_none_or(|over| *until >= over), "S12", || {
                format!("the bake of wave {wave} is too short")
            });
        }
        Action::PassWave { wave, .. } => {
            anew(findings, state, release, *wave);
            in_turn(findings, release, *wave);
            landed(findings, release, *wave);
            let promoted = release.wave(*wave).is_some_and(|own| own.promoted);
            let over = over(release, *wave).filter(|_| !promoted);
            findings.need(over.is_none_or(|over| state.now >= over), "S1", || {
                format!("wave {wave} passes before its bake is over")
            });
            let (failed, most) = budget(release, *wave);
            findings.need(failed <= most, "S1", || {
                format!("wave {wave} passes with {failed} failures, {most} may")
            });
            approved(findings, state, release, (*wave, Stage::After));
            findings.need(spoken_for(release, *wave), "S7", || {
                format!("wave {wave} passes and nothing speaks for it")
            });
            let over = over_release_budget(release, Bug::default());
            findings.need(over.is_none(), "S1", || {
                format!("wave {wave} passes in a release with more failures than it may have")
            });
        }
        Action::FailWave { wave, .. } => {
            let (failed, most) = budget(release, *wave);
            let over = over_release_budget(release, Bug::default()).is_some();
            findings.need(failed > most || over, "S1", || {
                format!("wave {wave} fails with {failed} failures, {most} may")
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
        | Action::GrantPermit { .. }
        | Action::RevokePermit { .. }
        | Action::HaltRelease { .. }
        | Action::StartRollback { .. }
        | Action::EndRelease { .. }
        | Action::Bar { .. }
        | Action::Unbar { .. }
        | Action::Member { .. } => {}
    }
}

/// The release goes on and every earlier wave has passed.
pub(super) fn in_turn(findings: &mut Findings, release: &Release, wave: u32) {
    let going = release.phase == ReleasePhase::Progressing;
    findings.need(going, "S1", || {
        format!("release {} is {}", release.id, release.phase.as_str())
    });
    let early = release
        .waves
        .iter()
        .find(|other| other.number < wave && !other.phase.behind());
    findings.need(early.is_none(), "S1", || {
        format!("wave {wave} before an earlier one has passed")
    });
}

fn runs(release: &Release, wave: u32) -> bool {
    release.wave(wave).map(|own| own.phase) == Some(WavePhase::Running)
}

/// S1: a wave that comes out of running has not been watched yet, whatever persons said before it ran again.
fn anew(findings: &mut Findings, state: &Observed, release: &Release, wave: u32) {
    if !runs(release, wave) {
        return;
    }
    let promoted = release.wave(wave).is_some_and(|own| own.promoted);
    let images = release.images_of_wave(wave);
    let persons = persons(state, release, (wave, Stage::After), &images).len();
    findings.need(!promoted && persons == 0, "S1", || {
        format!("wave {wave} ran again, and an earlier word ({persons} approvals, promoted {promoted}) counts")
    });
}

/// So many persons of the right groups, each once, for this plan and revision, and for every image.
pub(super) fn approved(
    findings: &mut Findings,
    state: &Observed,
    release: &Release,
    (wave, stage): (u32, Stage),
) {
    let images = || release.images_of_wave(wave);
    approved_for(findings, state, release, (wave, stage), images);
}

/// The same for what somebody has counted.
pub(super) fn approved_for(
    findings: &mut Findings,
    state: &Observed,
    release: &Release,
    (wave, stage): (u32, Stage),
    images: impl FnOnce() -> Vec<String>,
) {
    let Some(spec) = release.approval_of(wave, stage) else {
        return;
    };
    let persons = persons(state, release, (wave, stage), &images()).len();
    let enough = u32::try_from(persons).unwrap_or(u32::MAX) >= spec.required;
    findings.need(enough, "S1", || {
        format!(
            "wave {wave} has {persons} of {} approvals ({})",
            spec.required,
            stage.as_str()
        )
    });
}

/// G25: what a cluster brings that comes after all others was among what persons agreed to.
pub(super) fn agreed(
    findings: &mut Findings,
    state: &Observed,
    release: &Release,
    target: &Target,
) {
    let place = (target.wave, Stage::Before);
    let spec = release.approval_of(place.0, place.1);
    let (Some(spec), Some(content)) = (spec, &target.content) else {
        return;
    };
    let persons = persons(state, release, place, &content.images).len();
    let enough = u32::try_from(persons).unwrap_or(u32::MAX) >= spec.required;
    findings.need(enough, "G25", || {
        format!(
            "what {} brings has {persons} of {} approvals of wave {}",
            target.cluster, spec.required, target.wave
        )
    });
}

/// Too old to be used; what a wave has started on is used, until the wave asks again.
fn expired(state: &Observed, release: &Release, approval: &Approval) -> bool {
    let used = release
        .wave(approval.wave)
        .is_some_and(|own| match own.phase {
            WavePhase::Pending | WavePhase::WaitingForApproval => false,
            WavePhase::Running
            | WavePhase::Baking
            | WavePhase::WaitingToPass
            | WavePhase::Passed
            | WavePhase::Failed
            | WavePhase::Skipped => approval.stage == Stage::Before && own.started_at.is_some(),
        });
    let spec = release.approval_of(approval.wave, approval.stage);
    let length = spec.and_then(|spec| spec.expires).filter(|_| !used);
    length.is_some_and(|length| state.now >= length.after(approval.at))
}

fn persons<'a>(
    state: &Observed,
    release: &'a Release,
    (wave, stage): (u32, Stage),
    images: &[String],
) -> Vec<&'a str> {
    let Some(spec) = release.approval_of(wave, stage) else {
        return Vec::new();
    };
    let mut persons: Vec<&str> = release
        .approvals
        .iter()
        .filter(|approval| {
            approval.wave == wave && approval.stage == stage && approval.voided.is_empty()
        })
        .filter(|approval| !expired(state, release, approval))
        .filter(|approval| match &release.cause {
            Cause::Person { person, .. } => !spec.exclude_author || *person != approval.person,
            Cause::Change { .. } => true,
        })
        .filter(|approval| {
            approval.plan_digest == release.plan_digest && approval.revision == release.revision
        })
        .filter(|approval| {
            spec.groups
                .iter()
                .any(|group| approval.groups.contains(group))
        })
        .filter(|approval| images.iter().all(|image| approval.images.contains(image)))
        .map(|approval| approval.person.as_str())
        .collect();
    persons.sort_unstable();
    persons.dedup();
    persons
}

fn landed(findings: &mut Findings, release: &Release, wave: u32) {
    let open = release.targets_of(wave).find(|target| match target.state {
        TargetState::Succeeded
        | TargetState::Failed
        | TargetState::RolledBack
        | TargetState::Skipped
        | TargetState::Removed => false,
        TargetState::Pending
        | TargetState::WaitingForContent
        | TargetState::Held
        | TargetState::Permitted
        | TargetState::Progressing
        | TargetState::Paused
        | TargetState::RollingBack
        | TargetState::Behind
        | TargetState::Unknown => true,
    });
    findings.need(open.is_none(), "S1", || {
        let open = open.map(|target| format!("{} is {}", target.cluster, target.state.as_str()));
        format!("wave {wave} is not over: {}", open.unwrap_or_default())
    });
}

/// Whether some cluster of the wave came to an end of its own, or nobody was left out of it by membership.
pub(super) fn spoken_for(release: &Release, wave: u32) -> bool {
    let spoke = |target: &Target| match target.state {
        TargetState::Succeeded | TargetState::RolledBack => true,
        TargetState::Failed => !excused(release, target),
        TargetState::Skipped => !left_out(target) && !target.message.starts_with(SKIPPED_BY),
        TargetState::Pending
        | TargetState::WaitingForContent
        | TargetState::Held
        | TargetState::Permitted
        | TargetState::Progressing
        | TargetState::Paused
        | TargetState::RollingBack
        | TargetState::Removed
        | TargetState::Behind
        | TargetState::Unknown => false,
    };
    let out = |target: &Target| left_out(target) || excused(release, target);
    let mut targets = release.targets_of(wave);
    !targets.any(out) || release.targets_of(wave).any(spoke)
}

/// When its bake is over; none: nothing has succeeded in it.
fn over(release: &Release, wave: u32) -> Option<jiff::Timestamp> {
    let last = release
        .targets_of(wave)
        .filter(|target| target.state == TargetState::Succeeded)
        .filter_map(|target| target.succeeded_at)
        .max()?;
    let planned = release.plan.wave(wave)?.bake;
    let shorter = release
        .plan
        .expedite
        .filter(|_| release.expedited() && shown_before(release, wave));
    let bake = shorter.map_or(planned, |expedite| planned.min(expedite.bake));
    Some(bake.after(last))
}

/// G30: whether a cluster of an earlier wave was permitted to show the content.
pub(super) fn shown_before(release: &Release, wave: u32) -> bool {
    let mut earlier = (1..wave).flat_map(|earlier| release.targets_of(earlier));
    earlier.any(|target| target.permit.is_some())
}

/// (failed, may fail)
fn budget(release: &Release, wave: u32) -> (usize, usize) {
    let failed = release
        .targets_of(wave)
        .filter(|target| counts_as_failed(release, target))
        .count();
    let all = release.targets_of(wave).count();
    (failed, may_fail(release, wave, all))
}

/// How many of all targets of a wave.
pub(super) fn may_fail(release: &Release, wave: u32, all: usize) -> usize {
    let planned = release.plan.wave(wave);
    planned.map_or(0, |planned| planned.max_failed.of(all))
}
