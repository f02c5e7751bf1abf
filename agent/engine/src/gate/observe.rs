//! From what is observed to the facts the gate decides from.
//!
//! In: `Observed`, the spec's digests, the ReplicaSets' views. Out: `Facts`. It must not decide.

use agent_api::{
    ContentDigest, Direction, Enforcement, FirstContact, Gate, GateSpec, GateStatus, HubLossAction,
    Outcome, OutcomeResult, RolloutRef, RolloutStatus, StatusTime,
};
use jiff::Timestamp;

use super::facts::{
    Contact, Facts, FirstWord, InFlight, OnHubLoss, Permission, PermitFacts, PermitKind, Record,
    StartBy, Verb,
};
use super::found::found_step;
use super::glass::{self, Glass};
use super::record::recorded_step;
use crate::bluegreen;
use crate::effective::Effective;
use crate::observed::{GateRecord, HubContact, Observed};
use crate::planted::{Bug, Planted};
use crate::sets::{SetView, by_hash};

/// A clock that is off by so many seconds is told: less is what a word is under way, and clocks of a cluster differ by as much.
const CLOCK_OFF: i64 = 30;

/// Reduces what is observed to facts.
pub fn facts(observed: &Observed, spec: &Effective, views: &[SetView], bug: Bug) -> Facts {
    let gate = observed.gate.gate();
    let status = observed.rollout.status.clone().unwrap_or_default();
    let served = by_hash(views, status.stable_rs.as_ref()).map(|view| view.digest.clone());
    let in_flight = in_flight(gate, &status, views, served.as_ref(), bug);
    let record = gate.and_then(|gate| gate.status.as_ref());
    let outcome = last_outcome(observed, bug);
    let hub = gate.map(|gate| &gate.spec);
    Facts {
        governance: observed.gate.governance,
        first_word: first_word(observed),
        enforcement: hub.map_or(Enforcement::Enforce, |hub| hub.policy.enforcement),
        record: match observed.gate.record {
            GateRecord::Missing => Record::Missing,
            GateRecord::Undecodable(_) => Record::Undecodable,
            GateRecord::Present(_) => Record::Present,
        },
        fleet_rollout: fleet_rollout(observed),
        contact: contact(observed),
        on_hub_loss: hub.map_or(OnHubLoss::Finish, on_hub_loss),
        lease_live: observed.gate.lease_live || bug.is(Planted::LeaseEndless),
        verb: verb(&status, in_flight.as_ref(), gate),
        spec: spec.digest.clone(),
        spec_delivery: spec.delivery.clone(),
        served,
        in_flight,
        succeeded: succeeded(record, outcome).or_else(|| observed.gate.served_before.clone()),
        permit: gate.and_then(|gate| permit(observed, gate, bug)),
        consumed: outcome.map(|outcome| outcome.fence),
        effective: record
            .and_then(|record| record.effective.as_ref())
            .map(|effective| effective.fence),
        barred: hub
            .map(|hub| hub.barred.iter().cloned().collect())
            .unwrap_or_default(),
        failed: outcome
            .filter(|outcome| outcome.result == OutcomeResult::Failed)
            .map(|outcome| outcome.digest.clone()),
        kept: observed
            .gate
            .kept
            .iter()
            .map(|(digest, kept)| (digest.clone(), kept.delivery.clone()))
            .collect(),
        healthy: record
            .map(|record| {
                record
                    .kept
                    .iter()
                    .filter(|kept| kept.last_served_at.is_some())
            })
            .into_iter()
            .flatten()
            .map(|kept| kept.digest.clone())
            .collect(),
        gone: observed
            .gate
            .missing_config
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(digest, _)| digest.clone())
            .collect(),
        first_deploy_free: observed.gate.first_deploy_free,
        passed: observed.gate.passed.clone(),
        stopped: observed.gate.stopped.clone(),
        moved_on: hub.is_some_and(moved_on),
        waits_for: hub.and_then(waits_for),
        glass: glass_of(observed, bug),
    }
}

/// What last succeeded here: as recorded, or, where the record lacks its last outcome, as remembered beside it. A record that
/// says nothing leaves it to what is remembered of the name.
fn succeeded(record: Option<&GateStatus>, last: Option<&Outcome>) -> Option<ContentDigest> {
    let recorded = record.and_then(|record| record.outcome.as_ref());
    let beside = last
        .filter(|last| last.result == OutcomeResult::Served)
        .filter(|last| recorded.is_none_or(|recorded| recorded.fence < last.fence));
    let served = record.and_then(|record| record.served.as_ref());
    beside
        .map(|outcome| &outcome.digest)
        .or(served.map(|served| &served.digest))
        .cloned()
}

/// The outcome with the highest fence: of the record, or, where the record was deleted since, of the member record.
fn last_outcome(observed: &Observed, bug: Bug) -> Option<&Outcome> {
    let record = observed.gate.gate().and_then(|gate| gate.status.as_ref());
    let recorded = record.and_then(|record| record.outcome.as_ref());
    let spent = observed.gate.spent.as_ref();
    let spent = spent.filter(|_| !bug.is(Planted::SpentForgotten));
    [recorded, spent]
        .into_iter()
        .flatten()
        .max_by_key(|outcome| outcome.fence)
}

fn glass_of(observed: &Observed, bug: Bug) -> Glass {
    // What cannot be recorded cannot count once.
    let Some(gate) = observed.gate.gate() else {
        return Glass::default();
    };
    glass::observe(
        observed.rollout.metadata.annotations.as_ref(),
        gate.status.as_ref(),
        observed.gate.break_glass_admitted,
        bug,
    )
}

fn first_word(observed: &Observed) -> FirstWord {
    if observed.gate.first_contact_done {
        return FirstWord::Done;
    }
    match observed.gate.first_contact {
        FirstContact::Hold => FirstWord::Hold,
        FirstContact::Open => FirstWord::Open,
    }
}

fn fleet_rollout(observed: &Observed) -> String {
    let recorded = observed
        .gate
        .gate()
        .map(|gate| gate.spec.fleet_rollout.to_string());
    observed
        .gate
        .governed_by
        .clone()
        .or(recorded)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Silence counts from the end of the lease, and from the last word where that came later. An end that is not recorded yet is
/// noticed now, and this pass records it: the recorded deadline may be long past, because renewals stay in memory (G20), and a
/// restart makes no silence of the time in which the hub spoke.
fn contact(observed: &Observed) -> Contact {
    let lease = observed
        .gate
        .gate()
        .and_then(|gate| gate.status.as_ref())
        .and_then(|record| record.lease.as_ref());
    let now = observed.now;
    let ended = |at: StatusTime| observed.clock_set.shifted(at).timestamp();
    let ended = lease.map(|lease| lease.ended_at.map_or(now, ended));
    let since = match observed.gate.hub {
        HubContact::Connected => return Contact::Connected,
        HubContact::Lost { since } => ended.map_or(since, |ended| ended.max(since)),
        HubContact::Never => ended.unwrap_or(now),
    };
    Contact::Lost {
        seconds: seconds_between(since, now),
    }
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs().max(0)
}

fn on_hub_loss(hub: &GateSpec) -> OnHubLoss {
    let policy = &hub.policy.on_hub_loss;
    match policy.action {
        HubLossAction::Finish => OnHubLoss::Finish,
        HubLossAction::Hold => OnHubLoss::Hold,
        HubLossAction::Abort => OnHubLoss::Abort {
            after: i64::try_from(policy.after_seconds.unwrap_or(0)).unwrap_or(i64::MAX),
        },
    }
}

/// The canary on its way: the current ReplicaSet, if it is not the stable one.
fn in_flight(
    gate: Option<&Gate>,
    status: &RolloutStatus,
    views: &[SetView],
    served: Option<&ContentDigest>,
    bug: Bug,
) -> Option<InFlight> {
    let current = by_hash(views, status.current_pod_hash.as_ref())?;
    if served == Some(&current.digest) {
        return None;
    }
    let record = gate.and_then(|gate| gate.status.as_ref());
    let effective = record
        .and_then(|record| record.effective.as_ref())
        .filter(|one| one.digest == current.digest);
    let local = record
        .and_then(|record| record.local_permit.as_ref())
        .filter(|one| one.digest == current.digest);
    let marked = current.permitted && !bug.is(Planted::MarkUnread);
    let permission = match (effective, local) {
        (Some(_), _) => Permission::Fleet,
        (None, Some(_)) => Permission::Local,
        // G9: a record that was deleted frees nothing; what the fleet let start carries so itself.
        (None, None) if marked => Permission::Fleet,
        (None, None) => Permission::Nobody,
    };
    let of_fleet = record.filter(|_| permission == Permission::Fleet);
    let found = of_fleet.and_then(|record| found_step(record, &current.digest));
    // Blue-green has two steps: before the active Service is switched, and after.
    let switched =
        bluegreen::active(status, views.iter()).is_some_and(|set| set.hash == current.hash);
    let before = if switched { bluegreen::SWITCHED } else { 0 };
    let claimed = status.current_step_index.unwrap_or(before);
    Some(InFlight {
        digest: current.digest.clone(),
        // Anybody may write the status; only the record says how far the agent itself has gone.
        step: effective
            .and_then(recorded_step)
            .or(found)
            .map_or(claimed, |step| step.min(claimed)),
        aborted: status.abort == Some(true) || status.aborted_at.is_some(),
        permission,
    })
}

fn verb(status: &RolloutStatus, flight: Option<&InFlight>, gate: Option<&Gate>) -> Option<Verb> {
    if status.aborted_at.is_some() && status.abort != Some(true) {
        return Some(Verb::Retry);
    }
    if status.promote_full == Some(true) {
        return Some(Verb::PromoteFull);
    }
    let flight = flight.filter(|flight| flight.permission == Permission::Fleet)?;
    let record = gate.and_then(|gate| gate.status.as_ref())?;
    let effective = record.effective.as_ref();
    let recorded = effective
        .filter(|one| one.digest == flight.digest)
        .and_then(recorded_step)
        .or(found_step(record, &flight.digest))?;
    status
        .current_step_index
        .filter(|claimed| *claimed > recorded)
        .map(Verb::StepTo)
}

fn permit(observed: &Observed, gate: &Gate, bug: Bug) -> Option<PermitFacts> {
    let permit = gate.spec.permit.as_ref()?;
    let effective = gate
        .status
        .as_ref()
        .and_then(|record| record.effective.as_ref());
    let uid = observed.rollout.metadata.uid.as_deref().unwrap_or_default();
    let other = (permit.rollout_uid.as_str() != uid)
        .then(|| "it is for another Rollout of the same name, deleted since".to_owned());
    Some(PermitFacts {
        release: permit.release.to_string(),
        content: permit.digest.clone(),
        delivery: permit.delivery_digest.clone(),
        fence: permit.fence,
        max_step: permit.max_step.filter(|_| !bug.is(Planted::MaxStepIgnored)),
        start_by: start_by(observed, permit.start_by.map(|time| time.timestamp()), bug),
        started: effective.is_some_and(|one| one.fence == permit.fence),
        distrust: observed.gate.distrust.clone().or(other),
        kind: match permit.direction {
            Direction::Forward => PermitKind::Forward,
            Direction::Rollback => PermitKind::Rollback {
                why: permit
                    .why
                    .clone()
                    .unwrap_or_else(|| "the release failed elsewhere".to_owned()),
                phase: gate.spec.policy.rollback_phase,
                steps_backwards: permit.steps_backwards,
            },
        },
    })
}

/// Past either clock (S12). Which one alone, where they are far enough from each other to be told.
fn start_by(observed: &Observed, start_by: Option<Timestamp>, bug: Bug) -> StartBy {
    let hub = observed.gate.hub_time;
    let hub = hub.filter(|_| !bug.is(Planted::StartByHere));
    let here = start_by.is_some_and(|start_by| start_by < observed.now);
    let there = hub.is_some_and(|hub| start_by.is_some_and(|start_by| start_by < hub.now));
    let ahead = hub.map_or(0, |hub| hub.ahead.as_secs());
    match (here, there) {
        (false, false) => StartBy::InTime,
        (true, false) if ahead >= CLOCK_OFF => StartBy::PassedHere { ahead },
        (false, true) if ahead <= -CLOCK_OFF => StartBy::PassedThere {
            behind: ahead.saturating_neg(),
        },
        (true | false, true) | (true, false) => StartBy::Passed,
    }
}

/// The hub speaks of another release than the permit's: Git has moved on.
fn moved_on(hub: &GateSpec) -> bool {
    match (&hub.waiting, &hub.permit) {
        (Some(waiting), Some(permit)) => waiting.release != permit.release,
        (Some(_), None) | (None, _) => false,
    }
}

fn waits_for(hub: &GateSpec) -> Option<String> {
    if !hub.governed {
        let RolloutRef {
            namespace, name, ..
        } = &hub.rollout;
        return Some(format!(
            "held when FleetRollout {} let it go, until Git says something else (or: groundswell break-glass {name} -n \
             {namespace} --held --reason <why>)",
            hub.fleet_rollout
        ));
    }
    let waiting = hub.waiting.as_ref()?;
    // Waves count from 1: without one no open release covers the content, and the hub says in its own words what then.
    if waiting.wave == 0 && !waiting.reason.is_empty() {
        return Some(waiting.reason.clone());
    }
    Some(format!(
        "waiting for wave {} of {} ({}) of release {}",
        waiting.wave, waiting.waves, waiting.wave_name, waiting.release
    ))
}
