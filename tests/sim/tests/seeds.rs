//! Lives of the simulated fleet. In: seeds. Out: nothing goes wrong in any, and two runs of a seed are the same. It must not
//! draw from anything but its seeds.
#![allow(clippy::panic)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tests_sim::{Bugs, Config, live};

/// So many seeds are always lived: within them everything below has to be committed.
const SEEDS: u64 = 28;
/// Beyond those, seeds are lived for five minutes in a run of all tests; `make soak` has no limit.
const BUDGET: Duration = Duration::from_secs(300);
/// Seeds in which nothing breaks.
const CALM_SEEDS: u64 = 10;
/// Within the seeds everything below has to be committed: a model that never gets there proves nothing.
const EVERYTHING: [&str; 13] = [
    "GateGoverned",
    "ReleaseOpened",
    "ChangeSettled",
    "ContentBound",
    "WaveStarted",
    "PermitGranted",
    "TargetSucceeded",
    "TargetFailed",
    "TargetUnknown",
    "WavePassed",
    "WaveFailed",
    "ReleaseEnded",
    "TargetRolledBack",
];

#[test]
fn nothing_goes_wrong_and_every_seed_replays() {
    let mut seen = BTreeSet::new();
    let began = Instant::now();
    for seed in (0_u64..).take_while(|seed| *seed < SEEDS || began.elapsed() < BUDGET) {
        let told = live(Config::of(seed), Bugs::default());
        if let Some(failure) = told.failure {
            panic!("sim --seed {seed}: {}", failure.what);
        }
        let again = live(Config::of(seed), Bugs::default());
        assert_eq!(told.hash, again.hash, "two runs of seed {seed} differ");
        seen.extend(told.kinds);
    }
    let missing: Vec<&str> = EVERYTHING
        .into_iter()
        .filter(|kind| !seen.contains(kind))
        .collect();
    assert!(missing.is_empty(), "no seed has {missing:?}");
}

#[test]
fn without_faults_everything_settles() {
    for seed in 0..CALM_SEEDS {
        let config = Config {
            faults: false,
            ..Config::of(seed)
        };
        if let Some(failure) = live(config, Bugs::default()).failure {
            panic!("sim --calm --seed {seed}: {}", failure.what);
        }
    }
}
