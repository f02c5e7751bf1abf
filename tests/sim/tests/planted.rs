//! Each planted bug is found, and its seed is told. In: bugs of the shell and of both engines, the record. Out: a seed that
//! turns red. It must not know how a bug is found.
//!
//! `planted.txt` says by which seed each bug was found last, and against which rule it went; the search begins there: it is
//! what one run wrote down, not the first seed that shows the bug, and no promise. Whatever it says, the bug has to be seen
//! again, in a life that is sound without it; where the recorded seed does not show it any more, all others are tried as if
//! there were no record, so that a stale one costs time and nothing else. `UPDATE=1` writes what is found.
//!
//! `rules.tsv` lists every rule. A bug that it names for a rule has to be found by a check of that rule: this is how each
//! check has been seen to fail.
#![allow(clippy::panic)]

mod rules;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;

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
const AGENT: [agent::Planted; 6] = [
    agent::Planted::GateOpen,
    agent::Planted::MaxStepIgnored,
    agent::Planted::AnalysisAssumedGood,
    agent::Planted::StatusNeverSettles,
    agent::Planted::MarkUnread,
    agent::Planted::StartByHere,
];

/// The same where no audit of an engine is asked: what really happened is enough to find these.
const UNAUDITED_HUB: [hub::Planted; 16] = [
    hub::Planted::ExpiryIgnored,
    hub::Planted::ReleaseBudgetIgnored,
    hub::Planted::ObserveIgnored,
    hub::Planted::SpentStays,
    hub::Planted::UnknownCountsAsDone,
    hub::Planted::ContactIgnored,
    hub::Planted::RollbackInWaveOrder,
    hub::Planted::BakeIgnored,
    hub::Planted::ApprovalIgnored,
    hub::Planted::ConcurrencyIgnored,
    hub::Planted::AnyOutcomeCounts,
    hub::Planted::BudgetIgnored,
    hub::Planted::WindowIgnored,
    hub::Planted::StartByOutsideWindow,
    hub::Planted::PauseIgnored,
    hub::Planted::StopIgnored,
];
const UNAUDITED_AGENT: [agent::Planted; 9] = [
    agent::Planted::StatusNeverSettles,
    agent::Planted::GateOpen,
    agent::Planted::LeaseEndless,
    agent::Planted::SpentForgotten,
    agent::Planted::MaxStepIgnored,
    agent::Planted::AvailabilityIgnored,
    agent::Planted::AnalysisAssumedGood,
    agent::Planted::StartByHere,
    agent::Planted::StepUnseen,
];

/// Bugs that only several FleetRollouts over one fleet show. The others are looked for where there is one: a life of three costs
/// three times as much.
const OF_SEVERAL: [Planted; 13] = [
    Planted::DoubleTaken,
    Planted::FirstSetOfOne,
    Planted::StopOfOneIsOfAll,
    Planted::LetGoTogether,
    Planted::OwnerUnseen,
    Planted::AfterUnseen,
    Planted::ImagesUnseen,
    Planted::OneDigestForAll,
    Planted::GrantsFirst,
    Planted::HashUnseen,
    Planted::GateMisplaced,
    Planted::AdoptedFrees,
    Planted::InboxDropsOldest,
];

/// Bugs that no life of the first five hundred has shown: they can be planted by hand (`sim --bug`), and prove nothing yet.
const NOT_SHOWN: [Planted; 5] = [
    Planted::OlderCopyUnseen,
    Planted::RetryFrees,
    Planted::ConfigUnseen,
    Planted::MissingPassedOver,
    Planted::FirstHastened,
];

/// One test at a time writes the record.
static RECORDING: Mutex<()> = Mutex::new(());

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/planted.txt")
}

/// When a bug was found last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    bug: String,
    /// Against which rule it went.
    rule: String,
    seed: u64,
}

/// A line that says nothing is none.
fn records() -> BTreeSet<Record> {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let (bug, rest) = line.split_once(": ")?;
        let (seed, rule) = rest.split_once(' ')?;
        Some(Record {
            bug: bug.to_owned(),
            rule: rule.to_owned(),
            seed: seed.parse().ok()?,
        })
    });
    lines.collect()
}

fn record(new: Record, rule: Option<&str>) {
    let alone = RECORDING.lock();
    let mut all = records();
    all.retain(|old| old.bug != new.bug || rule.is_some_and(|rule| old.rule != rule));
    all.insert(new);
    let lines = all
        .iter()
        .map(|one| format!("{}: {} {}\n", one.bug, one.seed, one.rule));
    if let Err(error) = std::fs::write(file(), lines.collect::<String>()) {
        panic!("{}: {error}", file().display());
    }
    drop(alone);
}

/// Each seed once, the recorded one first.
fn seeds(recorded: Option<u64>) -> impl Iterator<Item = u64> {
    let recorded = recorded.filter(|seed| *seed < SEEDS_MAX);
    let others = (0..SEEDS_MAX).filter(move |seed| Some(*seed) != recorded);
    recorded.into_iter().chain(others)
}

/// Seeds at which a bug is found, by each rule that names it.
fn found(name: &str, bugs: Bugs) -> Option<String> {
    let rules = rules::named(name);
    let each = rules
        .iter()
        .filter_map(|rule| found_by(name, bugs, Some(rule)));
    let missing: Vec<String> = each.collect();
    if rules.is_empty() {
        return found_by(name, bugs, None);
    }
    (!missing.is_empty()).then(|| missing.join("; "))
}

fn found_by(name: &str, bugs: Bugs, rule: Option<&str>) -> Option<String> {
    let several = bugs.shell.is_some_and(|bug| OF_SEVERAL.contains(&bug));
    let fleets = (!several).then_some(1);
    let mut known = records().into_iter();
    let known = known.find(|one| one.bug == name && rule.is_none_or(|rule| one.rule == rule));
    let recorded = known.map(|one| one.seed);
    for seed in seeds(recorded) {
        let config = Config {
            fleets,
            ..Config::of(seed)
        };
        let found = live(config, bugs).failure;
        let found = found.filter(|failure| rule.is_none_or(|rule| failure.rule == rule));
        // What goes wrong without the bug proves nothing.
        let sound = || live(config, Bugs::default()).failure.is_none();
        if let Some(failure) = found.filter(|_| sound()) {
            println!("{name}: seed {seed}: {}", failure.what);
            if recorded != Some(seed) {
                println!("{name}: its record is {recorded:?}; UPDATE=1 writes {seed}");
            }
            if std::env::var_os("UPDATE").is_some() {
                let new = Record {
                    bug: name.to_owned(),
                    rule: failure.rule,
                    seed,
                };
                record(new, rule);
            }
            return None;
        }
    }
    let by = rule.map_or_else(String::new, |rule| format!(" by {rule}"));
    Some(format!("{name} is not found{by} in {SEEDS_MAX} seeds"))
}

fn all_found(missing: impl Iterator<Item = Option<String>>) {
    let missing: Vec<String> = missing.flatten().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The shell's bugs that lives show.
fn shown() -> impl Iterator<Item = Planted> {
    let all = Planted::ALL.into_iter();
    all.filter(|bug| !NOT_SHOWN.contains(bug))
}

/// Every second one, so that two cores are used.
fn every_second(skipped: usize) {
    let bugs = shown().skip(skipped).step_by(2);
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

#[test]
fn bugs_of_the_hub_are_found_without_its_audit() {
    all_found(UNAUDITED_HUB.into_iter().map(|bug| {
        let bugs = Bugs {
            hub: hub::Bug::planted(bug),
            unaudited: true,
            ..Bugs::default()
        };
        found(&format!("unaudited hub {bug:?}"), bugs)
    }));
}

#[test]
fn bugs_of_the_agent_are_found_without_its_audit() {
    all_found(UNAUDITED_AGENT.into_iter().map(|bug| {
        let bugs = Bugs {
            agent: agent::Bug::planted(bug),
            unaudited: true,
            ..Bugs::default()
        };
        found(&format!("unaudited agent {bug:?}"), bugs)
    }));
}

#[test]
fn whatever_is_recorded_every_seed_is_tried_once() {
    for recorded in [None, Some(0), Some(7), Some(SEEDS_MAX - 1), Some(SEEDS_MAX)] {
        let all: Vec<u64> = seeds(recorded).collect();
        let known = recorded.filter(|seed| *seed < SEEDS_MAX);
        assert_eq!(all.first().copied(), known.or(Some(0)));
        let each: BTreeSet<u64> = all.iter().copied().collect();
        assert_eq!(each, (0..SEEDS_MAX).collect());
        assert_eq!(all.len(), each.len());
    }
}

#[test]
fn every_rule_is_checked_and_has_been_seen_to_fail() {
    let mut known: BTreeSet<String> = BTreeSet::new();
    known.extend(shown().map(|bug| format!("shell {bug:?}")));
    known.extend(HUB.map(|bug| format!("hub {bug:?}")));
    known.extend(AGENT.map(|bug| format!("agent {bug:?}")));
    known.extend(UNAUDITED_HUB.map(|bug| format!("unaudited hub {bug:?}")));
    known.extend(UNAUDITED_AGENT.map(|bug| format!("unaudited agent {bug:?}")));
    let wrong = rules::wrong(&known);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
