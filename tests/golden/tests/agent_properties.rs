//! Ten thousand random lives of a Rollout: nothing that `audit` forbids, every cut-off pass survived, everything comes to
//! rest; and each planted bug is noticed.
#![allow(clippy::unwrap_used, clippy::panic)]

use agent_engine::planted::{Bug, Planted};
use tests_golden::agent_random::live;

/// Lives; the seeds are their numbers.
const LIVES: u64 = 10_000;
/// Parts they are lived in.
const PARTS: usize = 2;
/// A bug that is not noticed in this many lives is not noticed.
const LIVES_WITH_A_BUG: u64 = 10_000;

/// One part of the lives; parts are tests of their own so that they run beside each other.
fn lives(part: u64) {
    let mut writes = 0;
    for seed in (part..LIVES).step_by(PARTS) {
        match live(seed, Bug::default()) {
            Ok(count) => writes += count,
            Err(failure) => panic!(
                "seed {seed}: {}\n{}",
                failure.what,
                failure.story.join("\n")
            ),
        }
    }
    // Lives in which nothing happens would prove nothing.
    assert!(writes > LIVES / PARTS as u64 * 5, "only {writes} writes");
}

#[test]
fn lives_of_the_first_part() {
    lives(0);
}

#[test]
fn lives_of_the_second_part() {
    lives(1);
}

#[test]
fn every_planted_bug_is_noticed() {
    for bug in Planted::ALL {
        // What the engine's audit allows, the simulation sees by what came of it.
        if bug == Planted::StepUnseen {
            continue;
        }
        let noticed = (0..LIVES_WITH_A_BUG)
            .find_map(|seed| Some((seed, live(seed, Bug::planted(bug)).err()?)));
        let (seed, failure) = noticed.unwrap_or_else(|| panic!("{bug:?} is not noticed"));
        println!("{bug:?}: seed {seed}: {}", failure.what);
    }
}
