//! Rules of break-glass (G16): a word lets one content start, once, and the record says so before it does.
//!
//! In: the view. Out: violations. It must not ask `gate::glass` what a word comes to.

use agent_api::names::{ANNOTATION_BREAK_GLASS, ANNOTATION_BREAK_GLASS_BY};
use agent_api::{BreakGlassEnd, BreakGlassRecord, ContentDigest, Fence};

use super::Violation;
use super::view::{View, breaks};
use crate::observed::Governance;

/// A person's word lets this content run: one that was acted on and has not ended, or one that is read in this pass.
pub(super) fn lets(view: &View<'_>, digest: &ContentDigest) -> bool {
    acted_on(view, digest) || *digest == view.spec.digest && said(view, digest)
}

/// Of the record as it was.
fn acted_on(view: &View<'_>, digest: &ContentDigest) -> bool {
    let permit = view.facts.permit.as_ref();
    let newest = permit.filter(|permit| permit.distrust.is_none());
    let newest = newest.map_or(Fence::default(), |permit| permit.fence);
    let live =
        |one: &BreakGlassRecord| one.digest == *digest && one.ended.is_none() && one.over >= newest;
    before(view).iter().any(live)
}

/// A word that nobody has acted on yet.
fn said(view: &View<'_>, digest: &ContentDigest) -> bool {
    let governed = view.facts.governance == Governance::Governed;
    let Some((by, text)) = written(view).filter(|_| governed) else {
        return false;
    };
    let (content, reason) = text.split_once(' ').unwrap_or_default();
    let known = |one: &BreakGlassRecord| {
        one.digest.as_str() == content && one.by == by && one.reason == reason.trim()
    };
    content == digest.as_str()
        && view.observed.gate.break_glass_admitted
        && !before(view).iter().any(known)
}

fn written<'a>(view: &'a View<'_>) -> Option<(&'a str, &'a str)> {
    let all = view.observed.rollout.metadata.annotations.as_ref()?;
    let by = all.get(ANNOTATION_BREAK_GLASS_BY)?.trim();
    let text = all.get(ANNOTATION_BREAK_GLASS)?.trim();
    (!by.is_empty()).then_some((by, text))
}

fn before<'a>(view: &'a View<'_>) -> &'a [BreakGlassRecord] {
    let gate = view.observed.gate.gate();
    let record = gate.and_then(|gate| gate.status.as_ref());
    record.map_or(&[], |record| &record.break_glass)
}

pub(super) fn check(view: &View<'_>, found: &mut Vec<Violation>) {
    let Some(status) = view.recorded() else {
        return;
    };
    let (old, new) = (before(view), &status.break_glass);
    let fresh: Vec<&BreakGlassRecord> = new
        .iter()
        .filter(|one| !old.iter().any(|known| same(known, one)))
        .collect();
    // One pass has one word.
    let sound = |one: &BreakGlassRecord| {
        let written = written(view).is_some_and(|(by, text)| {
            let (_, reason) = text.split_once(' ').unwrap_or_default();
            one.by == by && one.reason == reason.trim()
        });
        written
            && said(view, &one.digest)
            && one.digest == view.spec.digest
            && one.ended.is_none_or(|end| end == BreakGlassEnd::NotNeeded)
    };
    if fresh.len() > 1 || fresh.iter().any(|one| !sound(one)) {
        breaks(
            found,
            "break-glass-once",
            "a word is recorded that nobody has the right to, or that was spent",
        );
    }
    let kept = new.len().saturating_sub(fresh.len());
    let forgets = kept < old.len() && fresh.is_empty();
    let revives = old.iter().any(|known| {
        let mut same = new.iter().filter(|one| same(known, one));
        known.ended.is_some() && same.any(|one| one.ended != known.ended)
    });
    if forgets || revives {
        breaks(
            found,
            "break-glass-once",
            "a word that was spent counts again",
        );
    }
}

fn same(one: &BreakGlassRecord, other: &BreakGlassRecord) -> bool {
    one.digest == other.digest
        && one.by == other.by
        && one.reason == other.reason
        && one.at == other.at
}
