//! The agent's decision engine: what is known about one Rollout in, what to write out.
//!
//! In: `Observed`, plain data with the time in it. Out: `Plan`. It must not do I/O of any kind: no clock, no environment,
//! no files, no network, no threads, no randomness (`clippy.toml` beside this crate forbids the calls).
//!
//! The algorithm of [`reconcile`]: take the digests of what Git wants; reduce what is known to `gate::facts::Facts`; let
//! `gate::decide` say which content may run and how far; run the canary on that content, whether the spec names it or
//! not; say in the Gate record what became of it. `analysis` is the same for one AnalysisRun, `experiment` for one Experiment.

pub mod analysis;
pub mod args;
pub mod audit;
pub mod bluegreen;
pub mod canary;
pub mod check;
pub mod claims;
pub mod clock;
pub mod effective;
pub mod experiment;
pub mod gate;
mod numbers;
pub mod observed;
pub mod pass;
pub mod plan;
pub mod planted;
pub mod pods;
pub mod reason;
mod render;
pub mod services;
pub mod sets;
pub mod still;
mod workload;

pub use audit::{Violation, audit};
pub use claims::{NamedKind, Taken};
pub use observed::{
    GateObserved, GateRecord, Governance, HpaCounting, HubContact, HubTime, Kept, Observed,
    Refusal, RefusedClaim, RefusedSet, Settings, StoredDigests, TemplateKey, Templates,
    TrafficObserved,
};
pub use plan::{
    Action, Changes, Event, EventKind, GateChange, KeepTemplate, Plan, PodChange, Route, Traffic,
};
pub use reason::Reason;

use effective::Effective;
use gate::decision::{Decision, GateOutcome, Mode, PermitUse};
use gate::facts::Facts;
use gate::glass::GlassUse;
use gate::record::Recorder;
use pass::{Progress, Strategy};
use planted::{Bug, Planted};
use sets::SetView;

/// Decides what to do about one Rollout. Total and deterministic: the same input gives the same plan.
pub fn reconcile(observed: &Observed) -> Plan {
    reconcile_with(observed, Bug::default())
}

/// [`reconcile`] with a bug; for tests.
pub fn reconcile_with(observed: &Observed, bug: Bug) -> Plan {
    // A Rollout on its way out is the garbage collector's; its Gate outlives it.
    if observed.rollout.metadata.deletion_timestamp.is_some() {
        let status = observed.rollout.status.clone().unwrap_or_default();
        return Plan {
            actions: Vec::new(),
            status,
            reasons: Vec::new(),
            wake: None,
        };
    }
    let views = sets::views(observed);
    let Some(message) = workload::problem(observed) else {
        let mut plan = decided(observed, views, bug).0;
        workload::note_generation(observed, &mut plan);
        numbers::hold_back(observed, &mut plan);
        return plan;
    };
    // What the fleet takes back is kept, and needs no workload.
    if let Some(found) = workload::stand_in(observed) {
        let (mut plan, decision) = decided(&found, views.clone(), bug);
        if matches!(decision.mode, Mode::Rollback { .. }) {
            plan.reasons.push(Reason::InvalidSpec { message });
            return plan;
        }
    }
    // Without the workload there is no content to decide about: what serves goes on serving.
    Plan {
        actions: Vec::new(),
        status: still::invalid(observed, &views, &message),
        reasons: vec![Reason::InvalidSpec { message }],
        wake: None,
    }
}

/// Decides about content that is known.
fn decided(observed: &Observed, views: Vec<SetView>, bug: Bug) -> (Plan, Decision) {
    let spec = effective::of_spec(observed);
    let facts = gate::observe::facts(observed, &spec, &views, bug);
    let decision = decide(&facts, bug);
    let effective = effective::of_decision(observed, &spec, &decision);
    let (mut plan, progress) = run(observed, &facts, &decision, effective.as_ref(), views, bug);
    let recorder = Recorder {
        observed,
        facts: &facts,
        decision: &decision,
        spec: &spec,
        effective: effective.as_ref(),
        progress: progress.as_ref(),
        bug,
    };
    let mut recorded = recorder.actions();
    tell(observed, &decision, &recorded, &mut plan);
    let mut actions = claims::actions(observed);
    claims::say_refused(observed, &mut plan);
    actions.append(&mut recorded);
    actions.append(&mut plan.actions);
    plan.actions = actions;
    gate_wake(observed, &facts, &decision, &mut plan);
    (plan, decision)
}

fn decide(facts: &Facts, bug: Bug) -> Decision {
    if bug.is(Planted::GateOpen) {
        return gate::decide(&Facts {
            governance: Governance::StandAlone,
            ..facts.clone()
        });
    }
    gate::decide_with(facts, bug)
}

fn run(
    observed: &Observed,
    facts: &Facts,
    decision: &Decision,
    effective: Option<&Effective>,
    views: Vec<SetView>,
    bug: Bug,
) -> (Plan, Option<Progress>) {
    let still = |status, reasons| {
        (
            Plan {
                actions: Vec::new(),
                status,
                reasons,
                wake: None,
            },
            None,
        )
    };
    let waits = decision
        .message
        .clone()
        .unwrap_or_else(|| "waiting for the fleet".to_owned());
    let Some(effective) = effective else {
        let digest = facts.spec.clone();
        let status = still::held(observed, &views, &waits);
        let mut reasons = vec![Reason::Held {
            digest,
            message: waits,
        }];
        // It served here before, and what it served cannot be made again.
        if let Some(digest) = facts.succeeded.clone() {
            reasons.push(Reason::TemplateLost { digest });
        }
        return still(status, reasons);
    };
    let problem = check::problem(observed, effective);
    let (Some(strategy), None) = (Strategy::of(&effective.strategy), &problem) else {
        let message = problem.unwrap_or_else(|| "spec.strategy is missing".to_owned());
        return still(
            still::invalid(observed, &views, &message),
            vec![Reason::InvalidSpec { message }],
        );
    };
    let opened = pass::current::open(
        observed,
        effective,
        strategy,
        decision,
        facts,
        views.clone(),
    );
    let Some(mut pass) = opened else {
        let reason = Reason::TemplateLost {
            digest: effective.digest.clone(),
        };
        return still(
            still::held(observed, &views, &reason.to_string()),
            vec![reason],
        );
    };
    pass.bug = bug;
    let progress = match strategy {
        Strategy::Canary(_) => canary::run(&mut pass),
        Strategy::BlueGreen(blue_green) => bluegreen::run(&mut pass, blue_green),
    };
    pass.scale_workload();
    pass.settle_duration();
    let mut actions = pass.writes;
    actions.extend(pass.events.into_iter().map(Action::Event));
    (
        Plan {
            actions,
            status: pass.status,
            reasons: pass.reasons,
            wake: pass.wake,
        },
        Some(progress),
    )
}

/// Events of the gate: content is held, a rollback has no target.
fn tell(observed: &Observed, decision: &Decision, actions: &[Action], plan: &mut Plan) {
    let before = observed.gate.gate().and_then(|gate| gate.status.as_ref());
    let known = before
        .and_then(|record| record.held.as_ref())
        .map(|held| held.digest.clone());
    let recorded = actions
        .iter()
        .any(|action| matches!(action, Action::RecordGate { .. }));
    let generation = observed.rollout.metadata.generation.unwrap_or(0);
    let mut event = |kind, message: String, what: &str| {
        plan.actions.push(Action::Event(Event {
            kind,
            reason: "FleetGate",
            message,
            key: format!("{generation}.{what}"),
        }));
    };
    if let (Some(held), Some(message), true) = (&decision.held, &decision.message, recorded)
        && known.as_ref() != Some(held)
    {
        event(
            EventKind::Normal,
            format!("content {} is held: {message}", reason::short(held)),
            held.as_str(),
        );
    }
    match &decision.glass {
        GlassUse::Breaks(word) if recorded => {
            let digest = reason::short(&word.content);
            let message = format!(
                "{} broke the glass: content {digest} starts without the fleet's word: {}",
                word.by, word.reason
            );
            event(EventKind::Warning, message, "break-glass");
        }
        GlassUse::Refused(why) => event(
            EventKind::Warning,
            format!("break-glass does not count: {why}"),
            "break-glass-refused",
        ),
        GlassUse::Breaks(_) | GlassUse::Untouched | GlassUse::GoesOn | GlassUse::Spent(_) => {}
    }
    if decision.outcome == Some(GateOutcome::FailedNoRollbackTarget) && recorded {
        let message = decision.message.clone().unwrap_or_default();
        event(EventKind::Warning, message, "no-rollback-target");
    }
}

/// Silence of the hub acts by itself at a known time; nothing else of the gate does (the shell wakes for leases).
fn gate_wake(observed: &Observed, facts: &Facts, decision: &Decision, plan: &mut Plan) {
    use gate::facts::{Contact, OnHubLoss};
    let (OnHubLoss::Abort { after }, Contact::Lost { seconds }) =
        (facts.on_hub_loss, facts.contact)
    else {
        return;
    };
    let live = facts
        .in_flight
        .as_ref()
        .is_some_and(|flight| !flight.aborted);
    // Silence counts from the end of the lease, which brings a pass of its own.
    let counts = !facts.lease_live && decision.permit == PermitUse::Used;
    if live && counts && seconds < after {
        let left = jiff::SignedDuration::from_secs(after.saturating_sub(seconds));
        let at = observed
            .now
            .checked_add(left)
            .unwrap_or(jiff::Timestamp::MAX);
        plan.wake = Some(plan.wake.map_or(at, |wake| wake.min(at)));
    }
}
