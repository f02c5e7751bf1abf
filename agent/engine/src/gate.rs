//! The gate: which content may run here, and how far it may go.
//!
//! In: `Facts`. Out: `Decision`. Every rule is a numbered one of the design (G1 to G30, named in the comments), and every
//! rule has its rows in `testdata/gate.tsv`. It must not look at templates, ReplicaSets or the clock.

pub mod decision;
pub mod facts;
mod found;
pub mod glass;
mod glass_record;
mod keep;
mod loss;
pub mod observe;
pub mod record;
mod refuse;
mod standing;
mod stop;
#[cfg(test)]
mod tests;
pub mod told;

use agent_api::{ContentDigest, Enforcement};

use crate::observed::Governance;
use crate::planted::Bug;
use crate::reason::short;
use decision::{AbortCause, Content, Decision, GateOutcome, Mode, PermitUse};
use facts::{
    Contact, Facts, FirstWord, InFlight, OnHubLoss, Permission, PermitFacts, PermitKind, Record,
};
use glass::GlassUse;
use refuse::refuse;
use standing::{Standing, needs_no_permit, standing, stands};

/// What is waited for before the hub was ever heard.
const NOT_HEARD: &str = "waiting for the first contact with the hub";

/// Decides what may run. Total: there is a decision for every combination of facts.
pub fn decide(facts: &Facts) -> Decision {
    decide_with(facts, Bug::default())
}

/// [`decide`] with a bug; for tests.
pub(crate) fn decide_with(facts: &Facts, bug: Bug) -> Decision {
    if cfg!(feature = "gate-off") {
        return open();
    }
    match facts.governance {
        Governance::StandAlone => open(),
        // G7: start nothing new until the API server has answered; the lease is not known either, so nothing is raised.
        Governance::Unknown => {
            let silent = "the API server has not said whether the fleet governs this Rollout";
            refuse(facts, in_place(facts, silent, false))
        }
        Governance::Free => match facts.first_word {
            FirstWord::Done | FirstWord::Open => open(),
            // G8: what is on its way is nobody's business but this cluster's; nothing new joins it. But what a fleet let start is
            // the fleet's, also where every record of it was lost (G9).
            FirstWord::Hold if is_of_fleet(facts) => {
                refuse(facts, in_place(facts, NOT_HEARD, false))
            }
            FirstWord::Hold => in_place(facts, NOT_HEARD, true),
        },
        Governance::Governed => match facts.enforcement {
            Enforcement::Observe => glass::spend(facts, on_paper(facts)),
            Enforcement::Enforce => {
                let bound = stop::hold(facts, governed(facts));
                refuse(facts, glass::lift(facts, bound, bug))
            }
        },
    }
}

/// Nobody outside has a say.
fn open() -> Decision {
    Decision {
        content: Content::RunSpec,
        may_start: true,
        may_raise: true,
        max_step: None,
        mode: Mode::Open,
        held: None,
        message: None,
        permit: PermitUse::Absent,
        abort_in_flight: None,
        restart: false,
        adopt: false,
        refuse_verb: None,
        outcome: None,
        glass: GlassUse::Untouched,
    }
}

/// G13: nothing is held, and the history can tell what would have been.
fn on_paper(facts: &Facts) -> Decision {
    let bound = governed(facts);
    Decision {
        message: bound.held.and(bound.message),
        ..open()
    }
}

/// What runs goes on running; nothing else starts.
fn in_place(facts: &Facts, message: &str, may_raise: bool) -> Decision {
    let content = if may_raise {
        running(facts)
    } else {
        frozen(facts)
    };
    let held = held(facts, &content);
    let step = facts
        .in_flight
        .as_ref()
        .filter(|_| !may_raise)
        .map(|flight| flight.step);
    Decision {
        content,
        may_start: false,
        may_raise,
        max_step: step,
        mode: Mode::Held,
        message: (held.is_some() || step.is_some()).then(|| message.to_owned()),
        held,
        ..open()
    }
}

/// The content that needs nobody's word because it is there already.
fn running(facts: &Facts) -> Content {
    let flight = facts.in_flight.as_ref();
    // An aborted canary stays the current content while Git still asks for it: that is what shows the abort.
    let current = flight
        .filter(|flight| !flight.aborted || flight.digest == facts.spec || facts.served.is_none());
    let digest = current
        .map(|flight| &flight.digest)
        .or(facts.served.as_ref());
    // A Rollout deleted and made again in a cluster that served before is no first deploy (G10).
    let digest = digest.or(facts
        .succeeded
        .as_ref()
        .filter(|digest| facts.kept.contains_key(*digest)));
    digest.map_or(Content::HoldNothing, |digest| run(facts, digest))
}

/// The same where nothing may grow: the steps are those that it has come so far by, whatever list Git has by now (G2).
/// What was permitted and is not kept goes on without steps.
fn frozen(facts: &Facts) -> Content {
    let content = running(facts);
    let flight = facts.in_flight.as_ref().filter(|flight| !flight.aborted);
    let Some(flight) = flight.filter(|flight| flight.digest == facts.spec) else {
        return content;
    };
    let other_steps = match facts.kept.get(&flight.digest) {
        Some(kept) => *kept != facts.spec_delivery,
        None => flight.permission == Permission::Fleet,
    };
    if other_steps {
        Content::RunKept(flight.digest.clone())
    } else {
        content
    }
}

fn run(facts: &Facts, digest: &ContentDigest) -> Content {
    if *digest == facts.spec {
        Content::RunSpec
    } else {
        Content::RunKept(digest.clone())
    }
}

/// The spec's digest, when the content is not the spec's.
fn held(facts: &Facts, content: &Content) -> Option<ContentDigest> {
    match content {
        Content::RunSpec => None,
        Content::RunKept(digest) => (*digest != facts.spec).then(|| facts.spec.clone()),
        Content::HoldNothing => Some(facts.spec.clone()),
    }
}

fn governed(facts: &Facts) -> Decision {
    match facts.record {
        Record::Present => {}
        Record::Missing => {
            return in_place(
                facts,
                "the Gate record is missing and is rebuilt from the hub",
                false,
            );
        } // G6
        Record::Undecodable => return in_place(facts, "the Gate record cannot be read", false), // G5
    }
    match standing(facts) {
        Standing::Rollback(permit, kind) => rollback(facts, permit, kind),
        Standing::Consumed(permit) if stands(facts, permit) => {
            taken_back(facts, permit, PermitUse::Consumed, None)
        }
        Standing::Forward(permit) if needs_no_permit(facts) => {
            withdrawn(facts, Some(permit), PermitUse::Used)
        }
        Standing::Forward(permit) => forward(facts, permit),
        Standing::Absent => without_permit(facts, PermitUse::Absent),
        Standing::Consumed(_) => without_permit(facts, PermitUse::Consumed),
        Standing::Ignored(why) => without_permit(facts, PermitUse::Ignored(why)),
        Standing::Late(permit, why) => late(facts, permit, why),
        // G2: they were edited before it came; kept silent it would wait for its deadline.
        Standing::Refused(why) => Decision {
            outcome: Some(GateOutcome::RefusedOtherSteps),
            ..without_permit(facts, PermitUse::Ignored(why))
        },
    }
}

fn without_permit(facts: &Facts, permit: PermitUse) -> Decision {
    if needs_no_permit(facts) {
        withdrawn(facts, None, permit)
    } else {
        hold(facts, permit)
    }
}

/// The fleet has given its word, and a clock that is wrong is all that it waits for.
fn late(facts: &Facts, permit: &PermitFacts, why: String) -> Decision {
    let message = format!("permitted by release {}, but {why}", permit.release);
    let decision = without_permit(facts, PermitUse::Ignored(why));
    let waits = decision.held.as_ref() == Some(&permit.content) && facts.in_flight.is_none();
    Decision {
        message: decision
            .message
            .map(|said| if waits { message } else { said }),
        ..decision
    }
}

/// The spec is what is served: at rest, or back in mid-canary.
fn withdrawn(facts: &Facts, live: Option<&PermitFacts>, permit: PermitUse) -> Decision {
    let on_its_way = |digest: &ContentDigest| {
        facts
            .in_flight
            .as_ref()
            .is_some_and(|flight| flight.digest == *digest)
    };
    let outcome = live.filter(|live| live.content != facts.spec).map(|live| {
        if on_its_way(&live.content) {
            GateOutcome::FailedWithdrawn
        } else {
            GateOutcome::SkippedWithdrawn
        }
    });
    let carried_out = live.filter(|live| live.content == facts.spec);
    let mode = carried_out.map_or(Mode::Open, |live| Mode::Forward {
        release: live.release.clone(),
    });
    Decision {
        mode,
        permit,
        outcome,
        ..open()
    }
}

/// A permit for new content is carried out.
fn forward(facts: &Facts, permit: &PermitFacts) -> Decision {
    let spec_as_permitted = permit.content == facts.spec && permit.delivery == facts.spec_delivery;
    let content = if spec_as_permitted {
        Content::RunSpec
    } else {
        Content::RunKept(permit.content.clone())
    };
    let flight = facts
        .in_flight
        .as_ref()
        .filter(|flight| flight.digest == permit.content);
    let base = Decision {
        held: held(facts, &content),
        content,
        max_step: permit.max_step,
        mode: Mode::Forward {
            release: permit.release.clone(),
        },
        permit: PermitUse::Used,
        ..open()
    };
    let base = Decision {
        message: base.held.as_ref().map(|_| waits_for(facts)),
        ..base
    };
    match flight {
        None => base,
        // G17: its outcome is Failed from this pass on; nothing local revives it.
        Some(flight) if flight.aborted && permit.started => stopped(facts, base),
        Some(flight) if flight.aborted => Decision {
            restart: true,
            ..base
        },
        Some(_) if facts.lease_live => Decision {
            may_start: false,
            ..base
        },
        Some(flight) => lease_over(facts, permit, flight, base),
    }
}

fn stopped(facts: &Facts, base: Decision) -> Decision {
    let content = running(facts);
    let held = held(facts, &content);
    let message = held.as_ref().map(|_| waits_for(facts));
    let outcome = Some(GateOutcome::FailedAborted);
    Decision {
        held,
        message,
        content,
        outcome,
        may_start: false,
        may_raise: false,
        ..base
    }
}

/// G20, G21: the lease has ended under way.
fn lease_over(facts: &Facts, permit: &PermitFacts, flight: &InFlight, base: Decision) -> Decision {
    let boundary = permit
        .max_step
        .map_or(flight.step, |max| max.min(flight.step));
    let hold = |message: &str| Decision {
        may_start: false,
        may_raise: false,
        max_step: Some(boundary),
        message: Some(message.to_owned()),
        ..base.clone()
    };
    let seconds = match facts.contact {
        // The hub could renew and does not: that is its word.
        Contact::Connected => return hold("the lease has ended and the hub does not renew it"),
        Contact::Lost { seconds } => seconds,
    };
    match facts.on_hub_loss {
        OnHubLoss::Finish => Decision {
            may_start: false,
            ..base
        },
        OnHubLoss::Hold => hold("the lease has ended and the hub is silent"),
        OnHubLoss::Abort { after } if seconds >= after => Decision {
            may_start: false,
            may_raise: false,
            abort_in_flight: Some(AbortCause::HubSilent { seconds }),
            ..base
        },
        OnHubLoss::Abort { .. } => hold("the lease has ended and the hub is silent"),
    }
}

/// G22, G23: back to content that was healthy in this cluster. Neither start-by nor lease bounds it: silence must never
/// keep a bad version in front of users.
fn rollback(facts: &Facts, permit: &PermitFacts, kind: &PermitKind) -> Decision {
    let is_there = facts.served.as_ref() == Some(&permit.content);
    let at_hand = facts.kept.contains_key(&permit.content) || facts.spec == permit.content;
    let sound = at_hand && facts.healthy.contains(&permit.content);
    if facts.gone.contains(&permit.content) || !(is_there || sound) {
        let kept = in_place(facts, "there is no sound content to roll back to", false);
        return Decision {
            permit: PermitUse::Used,
            outcome: Some(GateOutcome::FailedNoRollbackTarget),
            message: Some(format!("NoRollbackTarget: {}", no_target(facts, permit))),
            ..kept
        };
    }
    taken_back(facts, permit, PermitUse::Used, Some(kind))
}

fn no_target(facts: &Facts, permit: &PermitFacts) -> String {
    let digest = short(&permit.content);
    if facts.gone.contains(&permit.content) {
        format!("content {digest} names a ConfigMap or Secret that is gone")
    } else if facts.kept.contains_key(&permit.content) {
        format!("content {digest} was never healthy in this cluster")
    } else {
        format!("content {digest} is not kept in this cluster")
    }
}

/// The older content runs; `kind` is absent once it has been reported as served.
fn taken_back(
    facts: &Facts,
    permit: &PermitFacts,
    used: PermitUse,
    kind: Option<&PermitKind>,
) -> Decision {
    let content = run(facts, &permit.content);
    let mode = match &permit.kind {
        PermitKind::Rollback {
            why,
            phase,
            steps_backwards,
        } => Mode::Rollback {
            release: permit.release.clone(),
            why: why.clone(),
            phase: *phase,
            steps_backwards: *steps_backwards,
        },
        PermitKind::Forward => Mode::Forward {
            release: permit.release.clone(),
        },
    };
    Decision {
        held: held(facts, &content),
        content,
        may_start: kind.is_some(),
        mode,
        permit: used,
        ..open()
    }
}

/// No permit for the spec.
fn hold(facts: &Facts, permit: PermitUse) -> Decision {
    let first = facts.served.is_none() && facts.succeeded.is_none();
    let free = facts.first_deploy_free || facts.passed.contains(&facts.spec);
    if first && free && facts.in_flight.is_none() && !facts.barred.contains(&facts.spec) {
        return Decision { permit, ..open() }; // G10
    }
    let by_local_policy = facts.in_flight.as_ref().is_some_and(|flight| {
        // Both are recorded, and a pass was cut off before the status said so.
        let served = facts.succeeded.as_ref() == Some(&flight.digest);
        is_local(facts, flight) || served
    });
    let mut decision = in_place(facts, &waits_for(facts), by_local_policy);
    decision.permit = permit;
    let Some(flight) = facts.in_flight.as_ref() else {
        return decision;
    };
    if by_local_policy {
        // G11: what nobody let start goes on, and is recorded outside any release.
        decision.adopt = flight.permission == Permission::Nobody && !flight.aborted;
        return decision;
    }
    match flight.permission {
        Permission::Nobody | Permission::Local | Permission::Fleet if flight.aborted => Decision {
            message: decision.held.as_ref().map(|_| waits_for(facts)),
            ..decision
        },
        Permission::Nobody | Permission::Local => decision,
        Permission::Fleet if facts.failed.as_ref() == Some(&flight.digest) => Decision {
            abort_in_flight: Some(AbortCause::Recorded),
            message: None,
            ..decision
        },
        Permission::Fleet => Decision {
            message: Some("the permit of what is on its way was taken back".to_owned()),
            ..decision
        },
    }
}

/// Whether it is this cluster's own business (G11). What was aborted, before anybody governed it or after it was adopted, is not on
/// its way: to start it again is to start it, which needs a permit (G15, G17). And what is barred is adopted by nobody: it had a
/// permit, before there were marks of it.
fn is_local(facts: &Facts, flight: &InFlight) -> bool {
    match flight.permission {
        Permission::Nobody => !(flight.aborted || facts.barred.contains(&flight.digest)),
        Permission::Local => !flight.aborted,
        Permission::Fleet => false,
    }
}

/// Whether what is on its way was let start by the fleet, and was not served since.
fn is_of_fleet(facts: &Facts) -> bool {
    let flight = facts.in_flight.as_ref();
    flight.is_some_and(|flight| match flight.permission {
        Permission::Fleet => facts.succeeded.as_ref() != Some(&flight.digest),
        Permission::Nobody | Permission::Local => false,
    })
}

fn waits_for(facts: &Facts) -> String {
    if facts.barred.contains(&facts.spec) || facts.failed.as_ref() == Some(&facts.spec) {
        return format!(
            "this content failed before: only a person may start it again ({})",
            restart_command(facts)
        );
    }
    let fallback = || {
        format!(
            "waiting for the fleet's word (FleetRollout {})",
            facts.fleet_rollout
        )
    };
    facts.waits_for.clone().unwrap_or_else(fallback)
}

fn restart_command(facts: &Facts) -> String {
    format!(
        "groundswell release start {} --reason <why>",
        facts.fleet_rollout
    )
}
