//! What somebody in the cluster asks for and may not have (G15).
//!
//! In: the facts with the verb, the decision so far. Out: the decision with the refusal, and who can give the word. It must
//! not change what runs.

use super::decision::{Decision, Mode};
use super::facts::{Facts, InFlight, Verb};
use super::{is_local, restart_command, waits_for};
use crate::observed::Governance;

/// G15: what somebody in the cluster asked for and may not have, with who can give it.
pub(super) fn refuse(facts: &Facts, decision: Decision) -> Decision {
    let Some(verb) = facts.verb else {
        return decision;
    };
    let flight = facts.in_flight.as_ref();
    let known = facts.governance == Governance::Governed;
    // A word counts once: what it started and what failed is not started again by anybody else (G16).
    let by_word = |flight: &InFlight| {
        let broken = facts.glass.broken.as_ref();
        broken.is_some_and(|broken| broken.content == flight.digest)
    };
    let local = known && flight.is_some_and(|flight| is_local(facts, flight) && !by_word(flight))
        || decision.mode == Mode::Open;
    let bounded = !decision.may_raise || decision.max_step.is_some();
    let text = match verb {
        Verb::Retry if local || decision.restart => None,
        Verb::Retry => Some(format!(
            "retry: only the fleet may start it again ({})",
            restart_command(facts)
        )),
        Verb::PromoteFull if bounded || flight.is_none() && decision.held.is_some() => {
            Some(format!("promote --full: {}", bound(facts, &decision)))
        }
        Verb::PromoteFull => None,
        Verb::StepTo(step) if decision.max_step.is_some_and(|max| step > max) => {
            Some(format!("promote: {}", bound(facts, &decision)))
        }
        Verb::StepTo(_) => None,
    };
    Decision {
        refuse_verb: text,
        ..decision
    }
}

fn bound(facts: &Facts, decision: &Decision) -> String {
    if facts
        .in_flight
        .as_ref()
        .is_some_and(|flight| flight.aborted)
    {
        return waits_for(facts);
    }
    match (decision.max_step, &decision.message) {
        (_, Some(message)) => format!("{message}; the fleet gives the word"),
        (Some(step), None) => format!(
            "the permit ends at step {}; the fleet gives the word",
            step.saturating_add(1)
        ),
        (None, None) => waits_for(facts),
    }
}
