//! Several FleetRollouts in one fleet. In: fixed seeds. Out: no plan of one breaks an invariant or what the others are told,
//! every release of each ends once faults stop; planted bugs turn it red. It must not draw from anything but its seeds.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use hub_engine::planted::{Bug, Planted};
use hub_engine::{audit, reconcile_with};
use tests_golden::hub_fleets::Fleets;

/// Stories.
const CASES: u64 = 600;
/// Things that happen in one.
const EVENTS: usize = 24;
/// As in `hub_properties`.
const ROUNDS_MAX: usize = 5;
const CALM_MAX: usize = 400;
/// A bug between FleetRollouts shows within so many stories.
const BUG_CASES: u64 = 400;
/// What only several of them have between them.
const EVERYTHING: [&str; 3] = [
    "WaveStartedAfterAnother",
    "GovernedInstead",
    "PassedInstead",
];

fn settle(fleets: &mut Fleets, bug: Bug, log: &mut Vec<String>) -> Result<(), String> {
    for _ in 0..ROUNDS_MAX {
        let mut still = true;
        for index in 0..fleets.fleets.len() {
            let Some(fleet) = fleets.fleets.get(index) else {
                continue;
            };
            let observed = &fleet.observed;
            let plan = reconcile_with(observed, bug);
            let actions = plan.actions.iter().map(|one| format!("  {}", one.action));
            log.extend(actions);
            if let Some(violation) = audit(observed, &plan).first() {
                return Err(format!("{violation}\n{}", log.join("\n")));
            }
            still &= plan.actions.is_empty();
            if let Some(wrong) = fleets.apply(index, &plan) {
                return Err(format!("{wrong}\n{}", log.join("\n")));
            }
            let fleet = fleets.fleets.get(index);
            if let Some(lie) = fleet.and_then(|fleet| fleet.lies().into_iter().next()) {
                return Err(format!("{lie}\n{}", log.join("\n")));
            }
        }
        if still {
            return Ok(());
        }
    }
    Err(format!("does not settle\n{}", log.join("\n")))
}

fn story(seed: u64, bug: Bug) -> Result<BTreeSet<&'static str>, String> {
    let mut fleets = Fleets::new(seed);
    let mut log = Vec::new();
    settle(&mut fleets, bug, &mut log)?;
    for _ in 0..EVENTS {
        log.push(fleets.event());
        settle(&mut fleets, bug, &mut log)?;
    }
    for _ in 0..CALM_MAX {
        if fleets.ended() {
            return Ok(fleets.seen);
        }
        fleets.calm();
        settle(&mut fleets, bug, &mut log)?;
    }
    let reasons = fleets.fleets.iter().map(|fleet| {
        let reasons = reconcile_with(&fleet.observed, bug).reasons;
        let texts: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        texts.join("; ")
    });
    let reasons: Vec<String> = reasons.collect();
    Err(format!(
        "does not end: {}\n{}",
        reasons.join("\n"),
        log.join("\n")
    ))
}

#[test]
fn several_fleet_rollouts_over_the_same_clusters_keep_their_order_and_end() {
    let mut seen = BTreeSet::new();
    for seed in 0..CASES {
        match story(seed, Bug::default()) {
            Ok(told) => seen.extend(told),
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    let missing: Vec<&str> = EVERYTHING
        .into_iter()
        .filter(|one| !seen.contains(one))
        .collect();
    assert!(missing.is_empty(), "no story has {missing:?}");
}

#[test]
fn bugs_between_fleet_rollouts_turn_it_red() {
    for bug in [
        Planted::OrderIgnored,
        Planted::StopIgnored,
        Planted::WindowIgnored,
    ] {
        let red = (0..BUG_CASES).find(|seed| story(*seed, Bug::planted(bug)).is_err());
        assert!(red.is_some(), "{bug:?} is not noticed in {BUG_CASES}");
    }
}
