//! Persons' words (S19, G30). In: an obeyed word. Out: whether somebody said it, with a reason, and about something that can
//! still hear it. It must not use the planner's refusals.

use super::Findings;
use super::wave::spoken_for;
use crate::action::Action;
use crate::member::may_be_passed_over;
use crate::observed::Observed;
use crate::release::{Release, ReleasePhase, TargetState, WavePhase};
use crate::verb::{Scope, Verb};

pub(super) fn check(findings: &mut Findings, state: &Observed, action: &Action) {
    let Action::Obey {
        request,
        release: number,
        verb,
        by,
    } = action
    else {
        return;
    };
    let Some(release) = state.release(*number) else {
        return;
    };
    let known = state.requests.iter().find(|other| other.id == *request);
    let said = known.is_some_and(|known| {
        known.person == by.person && known.reason == by.reason && known.release == Some(*number)
    });
    findings.need(said && !by.reason.is_empty(), "S19", || {
        format!("nobody said with a reason: {action}")
    });
    let ended = release.phase.ended();
    match verb {
        Verb::Start { .. } | Verb::Ungovern { .. } | Verb::Govern { .. } => {
            findings.need(false, "S19", || format!("it is about no release: {action}"));
        }
        Verb::Pause | Verb::SkipTarget { .. } => going(findings, release),
        // A paused one whose wave failed goes back all the same.
        Verb::Resume => {
            findings.need(!ended, "S19", || {
                format!("release {} has ended", release.id)
            });
        }
        // One that waited was ended by the action before.
        Verb::Abort { .. } => {
            let good = !ended || release.phase == ReleasePhase::Aborted;
            findings.need(good, "S19", || format!("release {} has ended", release.id));
        }
        Verb::Rollback => rollback(findings, state, release),
        Verb::Retry { cluster } => {
            let held = release
                .target(cluster)
                .is_some_and(|target| target.state == TargetState::Held);
            let open = matches!(
                release.phase,
                ReleasePhase::Progressing | ReleasePhase::Halted
            );
            findings.need(held && open, "G17", || {
                format!("{cluster} is retried and not held")
            });
        }
        Verb::SkipWave { wave } => skip_wave(findings, release, wave),
        Verb::Expedite => {
            going(findings, release);
            findings.need(release.plan.expedite.is_some(), "G30", || {
                format!("the plan of release {} allows no haste", release.id)
            });
        }
        Verb::Promote { wave } => {
            let own = release
                .waves
                .iter()
                .find(|own| Some(&own.name) == wave.as_ref());
            let baking = own.is_some_and(|own| own.phase == WavePhase::Baking);
            findings.need(baking, "S1", || {
                format!("release {} does not bake", release.id)
            });
        }
    }
}

fn skip_wave(findings: &mut Findings, release: &Release, wave: &str) {
    going(findings, release);
    let own = release.waves.iter().find(|own| own.name == wave);
    let done = own.is_some_and(|own| {
        release
            .targets_of(own.number)
            .all(|target| may_be_passed_over(release, target) && !target.state.before_permit())
    });
    findings.need(done, "S1", || {
        format!("wave {wave} is passed over in flight")
    });
    let good = own.is_some_and(|own| match own.phase {
        WavePhase::Baking | WavePhase::WaitingToPass => !spoken_for(release, own.number),
        WavePhase::Pending | WavePhase::WaitingForApproval | WavePhase::Running => true,
        WavePhase::Passed | WavePhase::Failed | WavePhase::Skipped => false,
    });
    findings.need(good, "S1", || {
        format!("wave {wave} is passed over although something speaks for it")
    });
}

fn going(findings: &mut Findings, release: &Release) {
    let going = matches!(
        release.phase,
        ReleasePhase::Waiting | ReleasePhase::Progressing
    );
    findings.need(going, "S19", || {
        format!("release {} is {}", release.id, release.phase.as_str())
    });
}

/// S20: nothing newer is on top of what goes back, and nothing else is on its way.
fn rollback(findings: &mut Findings, state: &Observed, release: &Release) {
    let id = &release.id;
    let alone = state.active().is_none();
    findings.need(release.phase.ended() && alone, "S20", || {
        format!("release {id} goes back beside another one")
    });
    let done = match release.phase {
        ReleasePhase::RolledBack => true,
        ReleasePhase::RolledBackPartially => release
            .word
            .back
            .as_ref()
            .is_none_or(|back| back.scope == Scope::Touched),
        ReleasePhase::Waiting
        | ReleasePhase::Progressing
        | ReleasePhase::Halted
        | ReleasePhase::RollingBack
        | ReleasePhase::Succeeded
        | ReleasePhase::Failed
        | ReleasePhase::Superseded
        | ReleasePhase::Withdrawn
        | ReleasePhase::Aborted => false,
    };
    findings.need(!done, "S20", || format!("release {id} is back already"));
    let newer = state.past.iter().any(|past| {
        past.number > id.number && past.touched && past.phase != ReleasePhase::RolledBack
    });
    findings.need(!newer, "S20", || {
        format!("a newer release is on top of {id}")
    });
}

/// G30, S19: after a person's stop or pause nothing starts.
pub(super) fn may_start(findings: &mut Findings, state: &Observed, release: &Release) {
    findings.need(state.stopped.is_none(), "G30", || {
        format!(
            "release {} starts something although it is stopped",
            release.id
        )
    });
    let open = match release.phase {
        ReleasePhase::Waiting
        | ReleasePhase::Progressing
        | ReleasePhase::Halted
        | ReleasePhase::RollingBack => true,
        ReleasePhase::Succeeded
        | ReleasePhase::Failed
        | ReleasePhase::RolledBack
        | ReleasePhase::RolledBackPartially
        | ReleasePhase::Superseded
        | ReleasePhase::Withdrawn
        | ReleasePhase::Aborted => false,
    };
    findings.need(release.word.paused.is_none() || !open, "S19", || {
        format!(
            "release {} starts something although it is paused",
            release.id
        )
    });
}
