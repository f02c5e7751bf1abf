//! Agreement to waves (gate.md G25, S19). In: approvals as stored, the database's time. Out: whether persons have agreed,
//! and which approvals stop counting. It must not take silence for agreement.

use jiff::Timestamp;
use serde_json::json;

use super::planner::Planner;
use crate::action::Action;
use crate::name::Person;
use crate::planted::Planted;
use crate::release::{Release, Stage, Target, Wave, WavePhase};

/// Approvals that stop counting: a digest bound since has images that they did not cover (gate.md G25), they are too old, or
/// the wave ran again after persons had agreed that it passes.
pub(super) fn void(planner: &mut Planner, number: u64, wave: u32) {
    for stage in [Stage::Before, Stage::After] {
        // Behind a person's voided word an earlier one of the same person may come to light.
        while void_those(planner, number, wave, stage) {}
    }
}

/// False: there was none.
fn void_those(planner: &mut Planner, number: u64, wave: u32, stage: Stage) -> bool {
    let Some(release) = planner.release(number) else {
        return false;
    };
    let images = release.images_of_wave(wave);
    let now = planner.state.now;
    let runs = release.wave(wave).map(|own| own.phase) == Some(WavePhase::Running);
    let mut stale = Vec::new();
    let mut old = Vec::new();
    let mut unseen = Vec::new();
    for approval in release.approvals_that_count(wave, stage) {
        if stage == Stage::After && runs {
            unseen.push(approval.id);
        } else if !approval.covers(&images) {
            stale.push(approval.id);
        } else if release.expires_at(approval).is_some_and(|end| now >= end)
            && !planner.bug.is(Planted::ExpiryIgnored)
        {
            old.push(approval.id);
        }
    }
    let any = !stale.is_empty() || !old.is_empty() || !unseen.is_empty();
    let reasons = [
        (stale, "a cluster reported other images than were approved"),
        (old, "it expired before it was used"),
        (unseen, "the wave ran again after it was given"),
    ];
    for (approvals, why) in reasons {
        if approvals.is_empty() {
            continue;
        }
        planner.act(
            Action::VoidApprovals {
                release: number,
                wave,
                approvals,
                why: why.to_owned(),
            },
            json!({"images": images, "now": now}),
        );
    }
    any
}

/// Whether persons have agreed; asks for it once if not.
pub(super) fn approved(
    planner: &mut Planner,
    release: &Release,
    wave: &Wave,
    stage: Stage,
) -> bool {
    let Some(spec) = release.approval_of(wave.number, stage) else {
        return true;
    };
    // Voided in this very round.
    let now = planner
        .release(release.id.number)
        .unwrap_or_else(|| release.clone());
    let have = now.approvals_that_count(wave.number, stage).len();
    if have >= usize::try_from(spec.required).unwrap_or(usize::MAX)
        || planner.bug.is(Planted::ApprovalIgnored)
    {
        return true;
    }
    if wave.phase != stage.asks() {
        let evidence = json!({"have": have, "required": spec.required, "groups": spec.groups});
        planner.act(
            Action::RequestApproval {
                release: release.id.number,
                wave: wave.number,
                stage,
            },
            evidence,
        );
    }
    false
}

/// Whether what a target brings was agreed to. While its wave runs, an approval that does not cover it is voided; of a wave
/// that is behind, for a cluster that comes late, nothing is voided any more.
pub(super) fn cover(planner: &Planner, release: &Release, target: &Target) -> bool {
    planner.bug.is(Planted::ApprovalIgnored)
        || missing(release, target, planner.state.now).is_none()
}

/// The images of a target that too few persons agreed to; none: enough did, or nobody has to. A wave that never started has used
/// no approval, and nobody voids one of a wave that is behind: it may be too old.
pub(super) fn missing(release: &Release, target: &Target, now: Timestamp) -> Option<Vec<String>> {
    let spec = release.approval_of(target.wave, Stage::Before)?;
    let content = target.content.as_ref()?;
    let required = usize::try_from(spec.required).unwrap_or(usize::MAX);
    let mut approvals = release.approvals_that_count(target.wave, Stage::Before);
    approvals.retain(|one| release.expires_at(one).is_none_or(|end| now < end));
    let covering = |images: &[String]| {
        let covering = approvals.iter().filter(|one| one.covers(images));
        covering.count()
    };
    if covering(&content.images) >= required {
        return None;
    }
    let images = content.images.iter();
    let few = |image: &&String| covering(std::slice::from_ref(*image)) < required;
    Some(images.filter(few).cloned().collect())
}

/// The approvals that count, for evidence.
pub(super) fn named(release: &Release, wave: u32, stage: Stage) -> Vec<(u64, Person)> {
    release
        .approvals_that_count(wave, stage)
        .into_iter()
        .map(|approval| (approval.id, approval.person.clone()))
        .collect()
}
