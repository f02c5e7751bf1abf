//! Lives of the simulated fleet. In: seeds. Out: nothing goes wrong in any, and two runs of a seed are the same. It must not
//! draw from anything but its seeds.
#![allow(clippy::panic)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tests_sim::{Bugs, Config, live};

/// So many seeds are always lived: within them everything below has to be met.
const SEEDS: u64 = 56;
/// Beyond those, seeds are lived for five minutes in a run of all tests; `make soak` has no limit.
const BUDGET: Duration = Duration::from_secs(300);
/// Seeds in which nothing breaks.
const CALM_SEEDS: u64 = 10;
/// Within the seeds everything in these lists has to be met: a model that never gets there proves nothing. Actions that are
/// committed.
const ACTIONS: [&str; 34] = [
    "ApprovalRequested",
    "ApprovalsVoided",
    "BakeStarted",
    "ChangeSettled",
    "ContentBound",
    "DigestBarred",
    "GateGoverned",
    "GateUngoverned",
    "GateWaiting",
    "PermitGranted",
    "PermitRevoked",
    "ReleaseAborted",
    "ReleaseEnded",
    "ReleaseHalted",
    "ReleaseOpened",
    "ReleaseStarted",
    "RequestRefused",
    "RollbackStarted",
    "TargetFailed",
    "TargetHeld",
    "TargetJoined",
    "TargetPaused",
    "TargetPermitted",
    "TargetProgressing",
    "TargetRemoved",
    "TargetRolledBack",
    "TargetRollingBack",
    "TargetSkipped",
    "TargetSucceeded",
    "TargetUnknown",
    "TargetWaitingForContent",
    "WaveFailed",
    "WavePassed",
    "WaveStarted",
];
/// What decisions wait for, and why not.
const REASONS: [&str; 11] = [
    "Barred",
    "Conflict",
    "Disconnected",
    "LetGo",
    "Paused",
    "RollbackUnreachable",
    "Stopped",
    "WaitingForApproval",
    "WaitingForOneOfItsLife",
    "WaitingForRelease",
    "WindowClosed",
];
/// What breaks, and what only some lives have.
const EVENTS: [&str; 45] = [
    "AgentDeaf",
    "AgentDies",
    "AgentStopped",
    "AnswerOfNothing",
    "AppliedAgain",
    "AppliedLate",
    "BoundReached",
    "CertificateRenewed",
    "ClockSet",
    "ClusterAlone",
    "ClusterJoins",
    "ClusterPutBack",
    "ConfigGone",
    "CopyDials",
    "DatabaseAway",
    "DatabasePutBack",
    "EndLost",
    "Enforced",
    "GateDeleted",
    "GateDeletedTakenBack",
    "GlassBroken",
    "GlassStarts",
    "HeldOnPaper",
    "HubDies",
    "HubStopped",
    "JoinAnswerLost",
    "JoinedByToken",
    "KindsUnknown",
    "LaterEnd",
    "LaterWord",
    "OlderCopyPutBack",
    "OtherImagesApproved",
    "OtherMended",
    "PermitBounded",
    "ReportsAgain",
    "RevisionUntold",
    "RolloutDeleted",
    "SameAgain",
    "SetLacks",
    "SetLate",
    "SilenceAborts",
    "StepsChanged",
    "StoppedGoesOn",
    "StreamCut",
    "TokenTriedByAnother",
];

#[test]
fn nothing_goes_wrong_and_every_seed_replays() {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let began = Instant::now();
    for seed in (0_u64..).take_while(|seed| *seed < SEEDS || began.elapsed() < BUDGET) {
        let told = live(Config::of(seed), Bugs::default());
        if let Some(failure) = told.failure {
            panic!("sim --seed {seed}: {}", failure.what);
        }
        let again = live(Config::of(seed), Bugs::default());
        assert_eq!(told.hash, again.hash, "two runs of seed {seed} differ");
        for (kind, count) in told.kinds {
            *seen.entry(kind).or_default() += count;
        }
    }
    println!("met: {seen:?}");
    let everything = ACTIONS.iter().chain(&REASONS).chain(&EVENTS);
    let missing: Vec<&&str> = everything
        .filter(|kind| !seen.contains_key(**kind))
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
