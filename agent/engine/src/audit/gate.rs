//! Rules of the fleet: what is held stays held, whoever plans.
//!
//! In: the view. Out: violations. It must not ask `gate::decide`.

use agent_api::{ContentDigest, Enforcement, LeaseRecord, Outcome, OutcomeResult, StatusTime};

use super::Violation;
use super::glass;
use super::view::{Move, View, breaks, live_permit};
use crate::gate::facts::{Contact, FirstWord, OnHubLoss, Permission, PermitKind, Record, StartBy};
use crate::observed::Governance;
use crate::plan::Action;
use crate::services;

pub(super) fn check(view: &View<'_>, found: &mut Vec<Violation>) {
    record_first(view, found);
    record(view, found);
    spent(view, found);
    served_release(view, found);
    lease_record(view, found);
    if bound(view) {
        makes_nothing_held(view, found);
        experiments_of_held(view, found);
        keeps_status(view, found);
        max_step(view, found);
        lease(view, found);
        taken_back(view, found);
        stopped(view, found);
    }
}

/// The fleet has a say now.
pub(super) fn bound(view: &View<'_>) -> bool {
    match view.facts.governance {
        Governance::StandAlone => false,
        Governance::Unknown => true,
        Governance::Free => view.facts.first_word == FirstWord::Hold,
        Governance::Governed => view.facts.enforcement == Enforcement::Enforce,
    }
}

/// Content that may have pods of its own: it has or had them, or somebody permitted it.
pub(super) fn allowed(view: &View<'_>, digest: &ContentDigest) -> bool {
    let facts = &view.facts;
    let there = facts.served.as_ref() == Some(digest)
        || facts
            .in_flight
            .as_ref()
            .is_some_and(|flight| flight.digest == *digest)
        || facts.succeeded.as_ref() == Some(digest);
    let there = there || glass::lets(view, digest);
    if there || facts.governance != Governance::Governed || facts.record != Record::Present {
        return there;
    }
    let first = facts.served.is_none() && facts.succeeded.is_none() && facts.in_flight.is_none();
    if first
        && (facts.first_deploy_free || facts.passed.contains(digest))
        && !facts.barred.contains(digest)
    {
        return true;
    }
    facts.permit.as_ref().is_some_and(|permit| {
        let live = permit.distrust.is_none()
            && permit.content == *digest
            && facts
                .consumed
                .is_none_or(|consumed| consumed < permit.fence)
            && facts
                .effective
                .is_none_or(|effective| effective <= permit.fence);
        let back = matches!(permit.kind, PermitKind::Rollback { .. });
        let in_time = facts.lease_live && (permit.started || permit.start_by == StartBy::InTime);
        // G2: a permit is for the steps and templates that it names, too.
        let as_fixed = facts.kept.get(digest) == Some(&permit.delivery)
            || facts.spec == *digest && facts.spec_delivery == permit.delivery;
        live && (back || in_time && as_fixed && !facts.barred.contains(digest))
    })
}

/// What is held goes on being served, and scaled: under blue-green also a version that is active and not stable. It has had
/// all its pods, and both the status and the Service say that users are on it.
fn serves_users(view: &View<'_>, one: &Move) -> bool {
    let running = view.running.as_ref();
    let blue_green = running.and_then(|running| running.strategy.blue_green.as_ref());
    let service = blue_green.and_then(|strategy| strategy.active_service.as_deref());
    let service = service.and_then(|name| services::find(view.observed, name));
    let said = view.before.blue_green.as_ref();
    let said = said.and_then(|state| state.active_selector.as_deref());
    let set = view.sets.iter().find(|set| set.name == one.name);
    let noted = set.and_then(|set| set.desired_annotation);
    service.and_then(services::selects).as_ref() == Some(&one.hash)
        && said == Some(one.hash.as_str())
        && noted.is_some_and(|all| one.from >= all)
        && one.to <= view.replicas()
}

fn makes_nothing_held(view: &View<'_>, found: &mut Vec<Violation>) {
    for one in view
        .moves
        .iter()
        .filter(|one| one.to > one.from || one.made)
    {
        if !allowed(view, &one.digest) && !serves_users(view, one) {
            breaks(
                found,
                "held-makes-no-set",
                format!("{} gets {} pods and nobody permitted it", one.name, one.to),
            );
        }
    }
}

/// An Experiment brings up pods of the version that is current.
fn experiments_of_held(view: &View<'_>, found: &mut Vec<Violation>) {
    let canary = view.canary().map(|one| &one.digest);
    let held = canary.is_none_or(|digest| !allowed(view, digest));
    for name in view.experiments_made().filter(|_| held) {
        let detail = format!("{name} brings up pods and nobody permitted it");
        breaks(found, "held-makes-no-set", detail);
    }
}

/// G14: what waits changes neither version nor revision of what is served.
fn keeps_status(view: &View<'_>, found: &mut Vec<Violation>) {
    let at_rest = view.facts.in_flight.is_none() && view.facts.served.is_some();
    if !at_rest || allowed(view, &view.spec.digest) || view.does_nothing() {
        return;
    }
    let back =
        view.facts.permit.as_ref().is_some_and(|permit| {
            permit.content != view.spec.digest && allowed(view, &permit.content)
        });
    if !back && view.plan.status.current_pod_hash != view.before.stable_rs {
        breaks(
            found,
            "held-keeps-status",
            "the current version changes while the spec is held",
        );
    }
}

/// A permit that bounds what is on its way.
fn max_step(view: &View<'_>, found: &mut Vec<Violation>) {
    let (Some(canary), Some(permit)) = (view.canary(), &view.facts.permit) else {
        return;
    };
    let forward = permit.kind == PermitKind::Forward && permit.content == canary.digest;
    let (true, Some(max)) = (forward, permit.max_step) else {
        return;
    };
    if glass::lets(view, &canary.digest) {
        return;
    }
    let reached = view
        .facts
        .in_flight
        .as_ref()
        .filter(|flight| flight.digest == canary.digest)
        .map_or(0, |flight| flight.step);
    bounded(view, max.max(reached), "max-step", found);
}

/// G20, G21: after its end nothing is raised, unless the policy says to finish and the hub is silent.
fn lease(view: &View<'_>, found: &mut Vec<Violation>) {
    let Some(flight) = view.facts.in_flight.as_ref() else {
        return;
    };
    let fleet = flight.permission == Permission::Fleet && !view.facts.lease_live;
    let forward = view.facts.permit.as_ref().is_some_and(|permit| {
        permit.kind == PermitKind::Forward && permit.content == flight.digest
    });
    let finish =
        view.facts.on_hub_loss == OnHubLoss::Finish && view.facts.contact != Contact::Connected;
    let canary = view
        .canary()
        .is_some_and(|canary| canary.digest == flight.digest);
    if fleet
        && forward
        && !finish
        && canary
        && view.facts.served.is_some()
        && view.facts.succeeded.as_ref() != Some(&flight.digest)
        && !glass::lets(view, &flight.digest)
    {
        bounded(view, flight.step, "lease-ends-raising", found);
        for name in view.experiments_made() {
            let detail = format!("{name} brings up pods of what is on its way");
            breaks(found, "lease-ends-raising", detail);
        }
    }
}

/// G2, G14: what is on its way by a permit that counts no more stays within the steps that it came by, whatever list Git has
/// by now, and whichever strategy; where those are lost, at the pods and the users that it has.
fn taken_back(view: &View<'_>, found: &mut Vec<Violation>) {
    let facts = &view.facts;
    let flight = facts.in_flight.as_ref();
    let flight = flight.filter(|flight| flight.permission == Permission::Fleet && !flight.aborted);
    let Some(flight) = flight.filter(|_| facts.served.is_some()) else {
        return;
    };
    let ended = facts.succeeded.as_ref() == Some(&flight.digest);
    let lets = live_permit(facts, &flight.digest).is_some() || glass::lets(view, &flight.digest);
    if ended || lets {
        return;
    }
    if !view.observed.gate.kept.contains_key(&flight.digest) {
        return without_steps(view, &flight.digest, found);
    }
    let on_its_way = view
        .canary()
        .is_some_and(|canary| canary.digest == flight.digest);
    if on_its_way && view.stable().is_some() {
        bounded(view, flight.step, "taken-back-grows-nothing", found);
    }
}

fn without_steps(view: &View<'_>, digest: &ContentDigest, found: &mut Vec<Violation>) {
    const RULE: &str = "taken-back-grows-nothing";
    for one in view.moves.iter().filter(|one| one.digest == *digest) {
        let set = view.sets.iter().find(|set| set.name == one.name);
        let same_replicas = set.is_some_and(|set| set.desired_annotation == Some(view.replicas()));
        if one.to > one.from && same_replicas {
            let detail = format!("{} grows to {} without steps", one.name, one.to);
            breaks(found, RULE, detail);
        }
        let stable = view.plan.status.stable_rs.as_ref() == Some(&one.hash);
        if stable && view.before.stable_rs.as_ref() != Some(&one.hash) {
            let detail = format!("{} becomes stable without steps", one.name);
            breaks(found, RULE, detail);
        }
        for action in &view.plan.actions {
            if let Action::SwitchService { name, to, from } = action
                && *to == one.hash
                && from.as_ref() != Some(to)
            {
                let detail = format!("{name} is switched to {to} without steps");
                breaks(found, RULE, detail);
            }
        }
    }
}

/// G30: while a person has stopped the fleet, what is on its way grows no further than its step, whoever let it start.
fn stopped(view: &View<'_>, found: &mut Vec<Violation>) {
    let facts = &view.facts;
    let flight = facts.in_flight.as_ref().filter(|flight| !flight.aborted);
    let (Some(flight), true) = (flight, facts.stopped.is_some()) else {
        return;
    };
    let on_its_way = view
        .canary()
        .is_some_and(|canary| canary.digest == flight.digest);
    let back = facts.permit.as_ref().is_some_and(|permit| {
        matches!(permit.kind, PermitKind::Rollback { .. }) && permit.content == flight.digest
    });
    let governed = facts.governance == Governance::Governed && facts.record == Record::Present;
    let exempt = back || glass::lets(view, &flight.digest) || facts.served.is_none();
    if on_its_way && governed && !exempt {
        bounded(view, flight.step, "stop-holds-the-step", found);
    }
}

fn bounded(view: &View<'_>, step: i32, rule: &'static str, found: &mut Vec<Violation>) {
    let Some(canary) = view.canary() else { return };
    // A first deploy has no steps to stop at; a step that a client wrote is put back by the next pass that does something.
    if view.stable().is_none() || view.does_nothing() {
        return;
    }
    if let Some(index) = view
        .plan
        .status
        .current_step_index
        .filter(|index| *index > step)
    {
        breaks(found, rule, format!("step {index} is beyond {step}"));
    }
    // Weights may go down along the steps: the most of any that is permitted.
    let permitted: Option<Vec<i32>> = (0..=step.max(0)).map(|at| view.pods_at(at)).collect();
    let Some(most) = permitted.and_then(|all| all.into_iter().max()) else {
        return;
    };
    if canary.to > canary.from && canary.to > most {
        breaks(
            found,
            rule,
            format!(
                "{} gets {} pods, {most} are permitted",
                canary.name, canary.to
            ),
        );
    }
}

/// What rests on the record comes after it.
fn record_first(view: &View<'_>, found: &mut Vec<Violation>) {
    let place = |wanted: fn(&Action) -> bool| view.plan.actions.iter().position(wanted);
    let record = place(|action| matches!(action, Action::RecordGate { .. }));
    let effect = place(|action| {
        matches!(
            action,
            Action::CreateReplicaSet { .. }
                | Action::ScaleReplicaSet { .. }
                | Action::SwitchService { .. }
                | Action::CreateAnalysisRun { .. }
                | Action::CreateExperiment { .. }
                | Action::SetTraffic { .. }
        )
    });
    if let (Some(record), Some(effect)) = (record, effect)
        && record > effect
    {
        breaks(
            found,
            "record-before-effect",
            "the Gate is written after an effect",
        );
    }
}

/// The router sends requests to a version.
fn sent_to(view: &View<'_>, set: &super::view::Move) -> bool {
    let shown = view.shown();
    let mut sides = shown.canary.iter().chain(&shown.stable);
    sides.any(|side| side.weight > 0 && side.pod_template_hash.as_ref() == Some(&set.hash))
}

/// Outcomes only ever rise, and success is what it says.
fn record(view: &View<'_>, found: &mut Vec<Violation>) {
    let Some(status) = view.recorded() else {
        return;
    };
    let before = view
        .observed
        .gate
        .gate()
        .and_then(|gate| gate.status.as_ref());
    let old = before.and_then(|record| record.outcome.as_ref());
    if let (Some(old), Some(new)) = (old, &status.outcome)
        && old != new
        && new.fence <= old.fence
    {
        breaks(
            found,
            "outcome-rises",
            format!("fence {} after {}", new.fence, old.fence),
        );
    }
    if old.is_some() && status.outcome.is_none() {
        breaks(found, "outcome-rises", "an outcome is forgotten");
    }
    // What the member record remembers was judged when it was recorded first.
    let known = |outcome: &&Outcome| {
        old == Some(*outcome) || view.observed.gate.spent.as_ref() == Some(*outcome)
    };
    let fresh = status.outcome.as_ref().filter(|outcome| !known(outcome));
    let served = fresh
        .filter(|outcome| outcome.result == OutcomeResult::Served)
        .map(|outcome| &outcome.digest);
    let known = before
        .and_then(|record| record.served.as_ref())
        .map(|served| &served.digest);
    let newly = status
        .served
        .as_ref()
        .map(|served| &served.digest)
        .filter(|digest| known != Some(digest));
    let routed = view.routed().is_some();
    for digest in [served, newly].into_iter().flatten() {
        let stable = view.stable();
        let whole = stable.is_some_and(|one| {
            one.digest == *digest
                && !one.made
                && one.to == view.replicas()
                && one.available >= view.replicas()
        });
        // Blue-green: old versions may wait for their delay, users get none of them.
        let active = view.plan.status.blue_green.as_ref();
        let active = active.and_then(|state| state.active_selector.as_deref());
        let alone = view.moves.iter().all(|one| {
            one.digest == *digest
                || one.to == 0
                || routed && !sent_to(view, one)
                || active.is_some_and(|active| active != one.hash.as_str())
        });
        if !(whole && alone) || view.plan.status.current_pod_hash != view.plan.status.stable_rs {
            breaks(
                found,
                "served-is-complete",
                "success is recorded before every pod is of that version and available",
            );
        }
    }
}

/// G17: what the member record remembers as spent takes no effect again, and a rebuilt Gate is told.
fn spent(view: &View<'_>, found: &mut Vec<Violation>) {
    let (Some(status), Some(spent)) = (view.recorded(), &view.observed.gate.spent) else {
        return;
    };
    let told = status.outcome.as_ref().map(|outcome| outcome.fence);
    let before = view
        .observed
        .gate
        .gate()
        .and_then(|gate| gate.status.as_ref());
    let old = before.and_then(|record| record.effective.as_ref());
    let effective = status
        .effective
        .as_ref()
        .filter(|new| new.fence <= spent.fence && old.is_none_or(|old| old.fence != new.fence));
    if told.is_none_or(|told| told < spent.fence) || effective.is_some() {
        let detail = format!("the permit with fence {} has ended", spent.fence);
        breaks(found, "spent-stays-spent", detail);
    }
}

/// G18: what was served by a permit is recorded with the permit's release.
fn served_release(view: &View<'_>, found: &mut Vec<Violation>) {
    let Some(status) = view.recorded() else {
        return;
    };
    let (Some(served), Some(outcome)) = (&status.served, &status.outcome) else {
        return;
    };
    let gate = view.observed.gate.gate();
    let before = gate.and_then(|gate| gate.status.as_ref()?.served.as_ref());
    let new = before.is_none_or(|before| before.digest != served.digest);
    let of_permit = outcome.result == OutcomeResult::Served && outcome.digest == served.digest;
    if new && of_permit && served.release.is_none() {
        let detail = format!("{} came with {}", served.digest, outcome.release);
        breaks(found, "served-names-its-release", detail);
    }
}

/// G20: only a grant or a renewal lengthens a lease.
fn lease_record(view: &View<'_>, found: &mut Vec<Violation>) {
    let before = view
        .observed
        .gate
        .gate()
        .and_then(|gate| gate.status.as_ref());
    let old = before.and_then(|record| record.lease.as_ref());
    let new = view.recorded().and_then(|status| status.lease.as_ref());
    // That it has ended may be noted at any time, and is taken back by what runs alone.
    let runs_on = |old: &LeaseRecord, new: &LeaseRecord| {
        old.deadline != new.deadline || old.ended_at.is_some() && new.ended_at.is_none()
    };
    let Some(new) = new.filter(|new| old.is_none_or(|old| runs_on(old, new))) else {
        return;
    };
    let until = view.observed.gate.lease_until.map(StatusTime::from);
    if until.is_none_or(|until| new.deadline > until) {
        let detail = format!(
            "{} is recorded, it ends {until:?}",
            new.deadline.timestamp()
        );
        breaks(found, "lease-is-not-lengthened", detail);
    }
}
