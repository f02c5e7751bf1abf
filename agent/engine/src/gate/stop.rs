//! A stopped fleet (G30).
//!
//! In: the facts and what they come to without the stop. Out: nothing starts, what is on its way holds at its step, and both
//! say so; whatever lowers exposure goes on. It must not hold a rollback.

use super::decision::{Content, Decision, Mode};
use super::facts::Facts;
use super::standing::needs_no_permit;
use super::{frozen, in_place};

/// The decision, held by the stop if there is one.
pub(super) fn hold(facts: &Facts, decision: Decision) -> Decision {
    let Some(why) = facts.stopped.as_deref() else {
        return decision;
    };
    match decision.mode {
        // Silence must never keep a bad version in front of users, and neither does a stop.
        Mode::Rollback { .. } => return decision,
        Mode::Open if needs_no_permit(facts) => return decision,
        Mode::Open | Mode::Held | Mode::Forward { .. } => {}
    }
    // Git went back to what is served: the fast rollback (G19).
    if needs_no_permit(facts) && facts.in_flight.is_none() {
        return decision;
    }
    if decision.abort_in_flight.is_some() {
        return decision;
    }
    let flight = facts.in_flight.as_ref().filter(|flight| !flight.aborted);
    match (flight, &decision.mode) {
        // The permit stays what it was; only how far it goes is held.
        (Some(flight), Mode::Forward { .. }) => Decision {
            may_start: false,
            may_raise: false,
            max_step: Some(
                decision
                    .max_step
                    .map_or(flight.step, |max| max.min(flight.step)),
            ),
            message: Some(why.to_owned()),
            restart: false,
            content: goes_on(facts, &decision),
            ..decision
        },
        (Some(_) | None, _) => {
            let kept = in_place(facts, why, false);
            Decision {
                permit: decision.permit,
                adopt: decision.adopt,
                outcome: decision.outcome,
                ..kept
            }
        }
    }
}

/// What is on its way, by the steps that it is on its way by.
fn goes_on(facts: &Facts, decision: &Decision) -> Content {
    let permitted = match &decision.content {
        Content::RunSpec => Some(&facts.spec),
        Content::RunKept(digest) => Some(digest),
        Content::HoldNothing => None,
    };
    let flight = facts.in_flight.as_ref().map(|flight| &flight.digest);
    if permitted == flight {
        decision.content.clone()
    } else {
        frozen(facts)
    }
}
