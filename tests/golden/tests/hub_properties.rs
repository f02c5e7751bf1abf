//! The hub's engine on random fleets. In: fixed seeds. Out: no plan breaks an invariant, reconciling settles, every release
//! ends once faults stop; planted bugs turn a property red. It must not draw from anything but its seeds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::thread;

use hub_engine::planted::{Bug, Planted};
use hub_engine::{audit, reconcile_with};
use tests_golden::hub_fleet::Fleet;

/// Random fleets and stories.
const CASES: u64 = 5_000;
/// Things that happen in a story.
const EVENTS: usize = 16;
/// Rounds after which nothing is left to do when no fact changes.
const ROUNDS_MAX: usize = 5;
/// Ten-minute rounds in which every open release has to end once faults stop.
const CALM_MAX: usize = 80;
/// A planted bug has to show within so many cases.
const BUG_CASES: u64 = 20_000;
/// Within the stories everything below has to occur: a model that never gets there proves nothing.
const EVERYTHING: [&str; 61] = [
    "GateGoverned",
    "GateWaiting",
    "ReleaseOpened",
    "ChangeSettled",
    "RequestRefused",
    "ReleaseStarted",
    "TargetJoined",
    "ContentBound",
    "DeliveryBound",
    "TargetWaitingForContent",
    "TargetHeld",
    "TargetPermitted",
    "TargetProgressing",
    "TargetSucceeded",
    "TargetFailed",
    "TargetRollingBack",
    "TargetRolledBack",
    "TargetSkipped",
    "TargetRemoved",
    "TargetBehind",
    "TargetUnknown",
    "ApprovalRequested",
    "WaveStarted",
    "ApprovalsVoided",
    "PermitGranted",
    "PermitRevoked",
    "BakeStarted",
    "WavePassed",
    "WaveFailed",
    "ReleaseHalted",
    "RollbackStarted",
    "ReleaseEnded",
    "DigestBarred",
    "DigestUnbarred",
    "TargetPaused",
    "Waiting",
    "Progressing",
    "Halted",
    "RollingBack",
    "Succeeded",
    "Failed",
    "RolledBack",
    "RolledBackPartially",
    "Superseded",
    "Withdrawn",
    "Aborted",
    "ReleasePaused",
    "ReleaseResumed",
    "ReleaseAborted",
    "RollbackAsked",
    "TargetRetried",
    "TargetPassedOver",
    "WavePassedOver",
    "WavePromoted",
    "ReleaseExpedited",
    "GateUngoverned",
    "GateGovernedAgain",
    "GovernanceEnded",
    "GovernanceResumed",
    "PermitForgotten",
    "TargetRestarted",
];
/// The tests' machine has so few.
const THREADS: u64 = 2;

/// One story: the kinds of everything that occurred, or the first thing that goes wrong.
fn story(seed: u64, bug: Bug) -> Result<BTreeSet<&'static str>, String> {
    let mut fleet = Fleet::new(seed);
    tell(&mut fleet, bug)?;
    Ok(fleet.seen)
}

fn tell(fleet: &mut Fleet, bug: Bug) -> Result<(), String> {
    let mut log = Vec::new();
    settle(fleet, bug, &mut log)?;
    for _ in 0..EVENTS {
        log.push(fleet.event());
        settle(fleet, bug, &mut log)?;
    }
    for _ in 0..CALM_MAX {
        if fleet
            .observed
            .releases
            .iter()
            .all(|release| release.phase.ended())
        {
            return Ok(());
        }
        fleet.calm();
        settle(fleet, bug, &mut log)?;
    }
    let reasons: Vec<String> = reconcile_with(&fleet.observed, bug)
        .reasons
        .iter()
        .map(|reason| format!("{:?} {:?} {reason}", reason.release, reason.cluster))
        .collect();
    Err(format!(
        "does not end:\n{}\n{}",
        reasons.join("\n"),
        log.join("\n")
    ))
}

/// Reconciles until nothing is left to do.
fn settle(fleet: &mut Fleet, bug: Bug, log: &mut Vec<String>) -> Result<(), String> {
    for _ in 0..ROUNDS_MAX {
        let plan = reconcile_with(&fleet.observed, bug);
        let found = audit(&fleet.observed, &plan);
        log.extend(
            plan.actions
                .iter()
                .map(|decision| format!("  {}", decision.action)),
        );
        if let Some(violation) = found.first() {
            return Err(format!("{violation}\n{}", log.join("\n")));
        }
        if plan.actions.is_empty() {
            return Ok(());
        }
        fleet.apply(&plan);
        if let Some(lie) = fleet.lies().first() {
            return Err(format!("{lie}\n{}", log.join("\n")));
        }
    }
    Err(format!("does not settle\n{}", log.join("\n")))
}

/// Every second story from this one on: what occurred in them.
fn part(first: u64) -> Result<BTreeSet<&'static str>, String> {
    let mut seen = BTreeSet::new();
    for seed in (first..CASES).step_by(usize::try_from(THREADS).expect("a step")) {
        let told = story(seed, Bug::default());
        seen.extend(told.map_err(|error| format!("seed {seed}: {error}"))?);
    }
    Ok(seen)
}

#[test]
fn stories_keep_the_invariants_settle_end_and_reach_everything() {
    let parts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|first| scope.spawn(move || part(first)))
            .collect();
        let parts = threads.into_iter();
        parts.map(|part| part.join().expect("no panic")).collect()
    });
    let mut seen = BTreeSet::new();
    for part in parts {
        match part {
            Ok(kinds) => seen.extend(kinds),
            Err(error) => panic!("{error}"),
        }
    }
    let missing: Vec<&str> = EVERYTHING
        .iter()
        .copied()
        .filter(|kind| !seen.contains(kind))
        .collect();
    assert!(missing.is_empty(), "no story has {missing:?}");
}

#[test]
fn every_planted_bug_turns_a_property_red() {
    for bug in Planted::ALL {
        let red = (0..BUG_CASES).find(|seed| story(*seed, Bug::planted(bug)).is_err());
        println!("{bug:?}: story {red:?}");
        assert!(
            red.is_some(),
            "{bug:?} is not noticed in {BUG_CASES} stories"
        );
    }
}
