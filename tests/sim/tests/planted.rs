//! Each planted bug is found, and its seed is told. In: bugs of the shell and of both engines. Out: the first seed that turns
//! red. It must not know how a bug is found.
#![allow(clippy::panic)]

use agent_engine::planted as agent;
use hub_engine::planted as hub;
use tests_sim::{Bugs, Config, Planted, live};

/// A bug that is not found within so many seeds is not found.
const SEEDS_MAX: u64 = 500;

/// The hub's bugs that a whole fleet shows. The others change what only the engine's own properties look at.
const HUB: [hub::Planted; 6] = [
    hub::Planted::UnknownCountsAsDone,
    hub::Planted::BakeIgnored,
    hub::Planted::ApprovalIgnored,
    hub::Planted::ConcurrencyIgnored,
    hub::Planted::BudgetIgnored,
    hub::Planted::ContactIgnored,
];
/// The agent's bugs in what a permit allows.
const AGENT: [agent::Planted; 3] = [
    agent::Planted::GateOpen,
    agent::Planted::AnalysisAssumedGood,
    agent::Planted::StatusNeverSettles,
];

/// Bugs that only several FleetRollouts over one fleet show. The others are looked for where there is one: a life of three costs
/// three times as much.
const OF_SEVERAL: [Planted; 4] = [
    Planted::FirstSetOfOne,
    Planted::StopOfOneIsOfAll,
    Planted::LetGoTogether,
    Planted::OwnerUnseen,
];

fn found(name: &str, bugs: Bugs) -> Option<String> {
    let several = bugs.shell.is_some_and(|bug| OF_SEVERAL.contains(&bug));
    let fleets = (!several).then_some(1);
    for seed in 0..SEEDS_MAX {
        let config = Config {
            fleets,
            ..Config::of(seed)
        };
        let found = live(config, bugs).failure;
        // What goes wrong without the bug proves nothing.
        let sound = || live(config, Bugs::default()).failure.is_none();
        if let Some(failure) = found.filter(|_| sound()) {
            println!("{name}: seed {seed}: {}", failure.what);
            return None;
        }
    }
    Some(format!("{name} is not found in {SEEDS_MAX} seeds"))
}

fn all_found(missing: impl Iterator<Item = Option<String>>) {
    let missing: Vec<String> = missing.flatten().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Every second one, so that two cores are used.
fn every_second(skipped: usize) {
    let bugs = Planted::ALL.into_iter().skip(skipped).step_by(2);
    all_found(bugs.map(|bug| {
        let bugs = Bugs {
            shell: Some(bug),
            ..Bugs::default()
        };
        found(&format!("shell {bug:?}"), bugs)
    }));
}

#[test]
fn bugs_of_the_shell_are_found() {
    every_second(0);
}

#[test]
fn the_other_bugs_of_the_shell_are_found() {
    every_second(1);
}

#[test]
fn bugs_of_the_hub_are_found() {
    all_found(HUB.into_iter().map(|bug| {
        let bugs = Bugs {
            hub: hub::Bug::planted(bug),
            ..Bugs::default()
        };
        found(&format!("hub {bug:?}"), bugs)
    }));
}

#[test]
fn bugs_of_the_agent_are_found() {
    all_found(AGENT.into_iter().map(|bug| {
        let bugs = Bugs {
            agent: agent::Bug::planted(bug),
            ..Bugs::default()
        };
        found(&format!("agent {bug:?}"), bugs)
    }));
}
