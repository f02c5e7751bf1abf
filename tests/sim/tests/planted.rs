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

fn found(name: &str, bugs: Bugs) -> Option<String> {
    for seed in 0..SEEDS_MAX {
        let found = live(Config::of(seed), bugs).failure;
        // What goes wrong without the bug proves nothing.
        let sound = || live(Config::of(seed), Bugs::default()).failure.is_none();
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

#[test]
fn bugs_of_the_shell_are_found() {
    all_found(Planted::ALL.into_iter().map(|bug| {
        let bugs = Bugs {
            shell: Some(bug),
            ..Bugs::default()
        };
        found(&format!("shell {bug:?}"), bugs)
    }));
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
