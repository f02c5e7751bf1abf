//! Plans that the audit refuses. In: fixed seeds and planted bugs. Out: what is committed in their place breaks no invariant,
//! starts nothing, tells every cluster what is stopped, and comes to rest. It must not look at how a plan is made.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use hub_engine::planted::{Bug, Planted};
use hub_engine::reason::Why;
use hub_engine::verb::Stop;
use hub_engine::{Action, Decided, Observed, audit, decide_with};
use tests_golden::hub_fleet::Fleet;

/// Stories with each bug.
const CASES: u64 = 200;
/// Things that happen in one.
const EVENTS: usize = 16;
/// As in `hub_properties`.
const ROUNDS_MAX: usize = 5;
/// So many of the bugs have to break a rule of the audit somewhere; the others only never come to rest.
const REFUSED_LEAST: usize = 14;

/// What is wrong with a plan in place of a refused one.
fn wrong(observed: &Observed, decided: &Decided) -> Option<String> {
    let plan = &decided.plan;
    if let Some(violation) = audit(observed, plan).first() {
        return Some(violation.to_string());
    }
    let tells =
        |action: &Action| matches!(action, Action::Govern { .. } | Action::RevokePermit { .. });
    let starts = plan.actions.iter().find(|one| !tells(&one.action));
    if let Some(starts) = starts {
        return Some(format!("it does more: {}", starts.action));
    }
    let says = |why: &Why| matches!(why, Why::NotDecided { what } if *what == decided.refused);
    let said = plan.reasons.iter().all(|reason| says(&reason.why));
    (!said || plan.reasons.is_empty()).then(|| format!("it says: {:?}", plan.reasons))
}

/// Clusters that are not told what a person said.
fn untold(fleet: &Fleet) -> Option<String> {
    let state = &fleet.observed;
    let stopped = state.stopped.as_ref().map(Stop::message);
    let other = |cluster: &&std::sync::Arc<hub_engine::observed::Cluster>| {
        let gate = cluster.gate.as_ref();
        let elsewhere = state.conflicts.contains_key(&cluster.name) || cluster.gone.is_some();
        !elsewhere && gate.is_some_and(|gate| gate.terms.stopped != stopped)
    };
    let cluster = state.clusters.iter().find(other)?;
    Some(format!("{} is not told: {stopped:?}", cluster.name))
}

/// Whether a plan was refused.
fn settle(fleet: &mut Fleet, bug: Bug) -> Result<bool, String> {
    let mut refused = false;
    for _ in 0..ROUNDS_MAX {
        let decided = decide_with(&fleet.observed, bug)?;
        let restrained = !decided.refused.is_empty();
        refused |= restrained;
        if restrained && let Some(wrong) = wrong(&fleet.observed, &decided) {
            return Err(format!("for {}: {wrong}", decided.refused));
        }
        fleet.apply(&decided.plan);
        if restrained && let Some(untold) = untold(fleet) {
            return Err(untold);
        }
        if decided.plan.actions.is_empty() {
            return Ok(refused);
        }
    }
    // Some bugs never come to rest; what stands for a refused plan does.
    if refused && !decide_with(&fleet.observed, bug)?.refused.is_empty() {
        return Err("what stands for a refused plan does not come to rest".to_owned());
    }
    Ok(refused)
}

fn story(seed: u64, bug: Bug) -> Result<bool, String> {
    let mut fleet = Fleet::new(seed);
    let mut refused = settle(&mut fleet, bug)?;
    for _ in 0..EVENTS {
        fleet.event();
        refused |= settle(&mut fleet, bug)?;
    }
    Ok(refused)
}

#[test]
fn what_stands_for_a_refused_plan_starts_nothing_and_tells_what_is_stopped() {
    let mut refused = BTreeSet::new();
    for bug in Planted::ALL {
        for seed in 0..CASES {
            match story(seed, Bug::planted(bug)) {
                Ok(true) => _ = refused.insert(format!("{bug:?}")),
                Ok(false) => {}
                Err(error) => panic!("{bug:?}, seed {seed}: {error}"),
            }
        }
    }
    assert!(refused.len() >= REFUSED_LEAST, "{refused:?}");
}
