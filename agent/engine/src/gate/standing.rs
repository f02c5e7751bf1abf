//! What the permit in the record amounts to.
//!
//! In: `Facts`. Out: whether the permit counts, which way it leads, and whether one is needed at all. It must not say what
//! runs.

use super::facts::{Facts, PermitFacts, PermitKind, StartBy};
use super::loss::spoken;
use crate::reason::short;

/// What the permit in the record amounts to.
pub(super) enum Standing<'a> {
    Absent,
    Consumed(&'a PermitFacts),
    Ignored(String),
    Refused(String),
    /// Its start-by has passed by one of two clocks that differ: one of them is wrong.
    Late(&'a PermitFacts, String),
    Forward(&'a PermitFacts),
    Rollback(&'a PermitFacts, &'a PermitKind),
}

/// G17, G4, G2 and the start conditions of G20.
pub(super) fn standing(facts: &Facts) -> Standing<'_> {
    let Some(permit) = facts.permit.as_ref() else {
        return Standing::Absent;
    };
    if let Some(why) = &permit.distrust {
        return Standing::Ignored(why.clone());
    }
    match facts.consumed {
        Some(consumed) if consumed == permit.fence => return Standing::Consumed(permit),
        Some(consumed) if consumed > permit.fence => {
            return Standing::Ignored(format!(
                "a permit with the higher fence {consumed} has already ended"
            ));
        }
        Some(_) | None => {}
    }
    if let Some(why) = overtaken(facts, permit) {
        return Standing::Ignored(why);
    }
    if let PermitKind::Rollback { .. } = permit.kind {
        return Standing::Rollback(permit, &permit.kind);
    }
    if facts.barred.contains(&permit.content) {
        return Standing::Ignored(format!(
            "content {} failed and stays barred",
            short(&permit.content)
        ));
    }
    let fixed = if permit.content == facts.spec && permit.delivery == facts.spec_delivery {
        Some(&facts.spec_delivery)
    } else {
        facts.kept.get(&permit.content)
    };
    match fixed {
        None if permit.content == facts.spec => return Standing::Refused(other_steps(permit)),
        None => {
            return Standing::Ignored(format!(
                "content {} is neither kept nor in the spec",
                short(&permit.content)
            ));
        }
        Some(delivery) if *delivery != permit.delivery => {
            return Standing::Refused(other_steps(permit));
        }
        Some(_) => {}
    }
    let on_its_way = facts
        .in_flight
        .as_ref()
        .is_some_and(|flight| flight.digest == permit.content)
        && (permit.started
            || facts
                .in_flight
                .as_ref()
                .is_some_and(|flight| !flight.aborted));
    if on_its_way || facts.served.as_ref() == Some(&permit.content) {
        return Standing::Forward(permit);
    }
    if !permit.started
        && let Some(late) = late(permit)
    {
        return late;
    }
    if !facts.lease_live {
        return Standing::Ignored("its lease ended before it started".to_owned());
    }
    Standing::Forward(permit)
}

/// S12: past either clock nothing starts any more. What differs is what people are to do.
fn late(permit: &PermitFacts) -> Option<Standing<'_>> {
    let why = match permit.start_by {
        StartBy::InTime => return None,
        StartBy::Passed => return Some(Standing::Ignored("its start-by has passed".to_owned())),
        StartBy::PassedHere { ahead } => format!(
            "its start-by has passed by this cluster's clock, which is {} ahead of the hub's: set the clock of the agent's node (is \
             NTP running there?)",
            spoken(ahead)
        ),
        StartBy::PassedThere { behind } => format!(
            "its start-by has passed by the hub's clock, which is {} ahead of this cluster's: set the clock of the agent's node (is \
             NTP running there?)",
            spoken(behind)
        ),
    };
    Some(Standing::Late(permit, why))
}

fn other_steps(permit: &PermitFacts) -> String {
    format!(
        "it is for other steps or analysis templates of content {} than are kept",
        short(&permit.content)
    )
}

/// G19: what is served, or last succeeded in a cluster that has nothing now, needs nobody's word.
pub(super) fn needs_no_permit(facts: &Facts) -> bool {
    let again = facts.served.is_none()
        && facts.in_flight.is_none()
        && facts.succeeded.as_ref() == Some(&facts.spec);
    facts.served.as_ref() == Some(&facts.spec) || again && !facts.barred.contains(&facts.spec)
}

/// A rollback that was carried out stands while Git still says what was taken back.
pub(super) fn stands(facts: &Facts, permit: &PermitFacts) -> bool {
    let back = match permit.kind {
        PermitKind::Rollback { .. } => true,
        PermitKind::Forward => false,
    };
    // The record is written before the status: what it says was served is, even if the status does not say so yet.
    let there = [&facts.served, &facts.succeeded]
        .into_iter()
        .any(|served| served.as_ref() == Some(&permit.content));
    back && there && facts.spec != permit.content && !facts.moved_on
}

/// Something with more to say came after the permit was written.
fn overtaken(facts: &Facts, permit: &PermitFacts) -> Option<String> {
    // A database that was put back from a copy names a permit again that a newer one had replaced here.
    if let Some(newer) = facts.effective.filter(|newer| *newer > permit.fence) {
        return Some(format!(
            "a permit with the higher fence {newer} has taken effect since"
        ));
    }
    match (&permit.kind, facts.glass.broken.as_ref()) {
        (PermitKind::Rollback { .. }, Some(broken)) if permit.fence <= broken.over => {
            Some("a person broke the glass over it".to_owned())
        }
        (PermitKind::Rollback { .. } | PermitKind::Forward, _) => None,
    }
}
