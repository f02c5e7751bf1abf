//! The judgement, judged. In: the witnesses' files of a story that was made up here, once good and then doctored. Out: the
//! good one is found right, and each doctored one wrong for the reason that was put in.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod story;
mod world;

use tests_demo::scenario::{VERSIONS, Version};
use tests_demo::summary::Summary;
use tests_demo::verify::Judgement;

use story::Doctored;
use world::World;

fn judged(world: &World) -> (Judgement, Summary) {
    let folder = tempfile::tempdir().expect("a folder");
    world.write(folder.path());
    tests_demo::verify::run(folder.path()).expect("the evidence is read")
}

/// Wrong for this reason.
fn rejected(world: &World, reason: &str) {
    let (judgement, summary) = judged(world);
    assert!(!summary.right, "not rejected; expected: {reason}");
    let named = judgement.wrong.iter().any(|wrong| wrong.contains(reason));
    assert!(
        named,
        "rejected, but not for `{reason}`: {:#?}",
        judgement.wrong
    );
}

fn version(number: u8) -> Version {
    VERSIONS[usize::from(number) - 1]
}

#[test]
fn the_good_story_is_right() {
    let (judgement, summary) = judged(&story::told(Doctored::No));
    assert_eq!(judgement.wrong, Vec::<String>::new());
    assert!(summary.right);
    let line = |version: &str, cluster: &str| {
        let mut lines = summary.lines.iter();
        lines
            .find(|line| line.version == version && line.cluster == cluster)
            .expect("a line")
    };
    assert_eq!(summary.lines.len(), 15);
    let caught = line("v3", "staging");
    assert_eq!(caught.pods, 1);
    assert!(
        (19.0..=21.0).contains(&caught.highest_share_percent),
        "{caught:?}"
    );
    assert!(caught.failures > 0 && caught.failures < caught.requests);
    assert!(
        caught
            .detection_seconds
            .is_some_and(|seconds| (3.0..12.0).contains(&seconds)),
        "{caught:?}"
    );
    assert!(
        caught.recovery_seconds.is_some_and(|seconds| seconds > 3.0),
        "{caught:?}"
    );
    let never = line("v4", "prod-us");
    assert_eq!(
        (never.pods, never.requests, never.highest_share_percent),
        (0, 0, 0.0)
    );
    assert_eq!(line("v5", "prod-us").highest_share_percent, 100.0);
    assert_eq!(line("v4", "staging").ending, "taken back by the fleet");
}

#[test]
fn a_bad_version_that_reached_production_is_rejected() {
    rejected(
        &story::told(Doctored::BadReachedProduction),
        "v3 in prod-us: pod",
    );
}

#[test]
fn a_wave_before_its_time_is_rejected() {
    rejected(&story::told(Doctored::WaveTooSoon), "v2 started in prod-eu");
}

#[test]
fn a_share_above_the_step_is_rejected() {
    rejected(&story::told(Doctored::ShareTooHigh), "the step takes");
}

#[test]
fn a_cluster_that_was_not_taken_back_is_rejected() {
    rejected(
        &story::told(Doctored::NotTakenBack),
        "v4 in staging: 0 pods of v2 serve at the end",
    );
}

#[test]
fn git_that_was_turned_back_is_rejected() {
    let mut world = story::told(Doctored::No);
    let until = world.pushed(version(5));
    world.rollout_seen("staging", until - 500, version(2));
    rejected(&world, "the Rollout in staging names");
}

#[test]
fn a_load_that_slept_is_rejected() {
    let mut world = story::told(Doctored::No);
    let from = world.pushed(version(4));
    world
        .cluster("prod-eu")
        .answers
        .retain(|(time, _)| !(from..from + 4_000).contains(time));
    rejected(&world, "prod-eu: no answer for 4.0 s");
}

#[test]
fn a_pod_that_only_one_witness_saw_is_rejected() {
    let mut world = story::told(Doctored::No);
    let hidden = world.cluster("prod-us").pods[0].name.clone();
    world
        .cluster("prod-us")
        .hidden_from_journal
        .push(hidden.clone());
    rejected(
        &world,
        &format!("the journal has no start of pod uid-{hidden}"),
    );
}

#[test]
fn a_target_that_was_permitted_twice_is_rejected() {
    let mut world = story::told(Doctored::No);
    let again = world.history.last().cloned().expect("a row");
    world.history.push(again);
    rejected(&world, "was permitted 2 times");
}

#[test]
fn a_pod_that_was_started_again_is_rejected() {
    let mut world = story::told(Doctored::No);
    let at = world.notes_ended() - 200;
    world.pod("prod-us", version(5), at, Some(at + 100));
    rejected(&world, "v5 in prod-us was started 6 times");
}

#[test]
fn a_cluster_that_started_in_its_freeze_is_rejected() {
    let mut world = story::told(Doctored::No);
    world.thawed += 2_000;
    rejected(
        &world,
        "v2 started in prod-us 1.9 s before it was let go of",
    );
}

#[test]
fn a_freeze_that_held_nothing_is_rejected() {
    let mut world = story::told(Doctored::No);
    world.thawed -= 2_000;
    rejected(&world, "which holds nothing back");
}

#[test]
fn a_takeover_that_did_not_happen_is_rejected() {
    let mut world = story::told(Doctored::No);
    world.leaders[1].0 = world.leaders[0].0;
    rejected(&world, "hub-a decided before the kill and after it");
    world.leaders.pop();
    rejected(&world, "the database named no other hub after the kill");
}

#[test]
fn a_takeover_without_a_raised_epoch_is_rejected() {
    let mut world = story::told(Doctored::No);
    world.leaders[1].1 = 1;
    rejected(&world, "hub-b decides by epoch 1, which the killed hub had");
}

#[test]
fn a_wave_that_the_killed_hub_had_let_start_is_rejected() {
    let mut world = story::told(Doctored::No);
    world.leaders[1].2 = world.notes_ended();
    rejected(&world, "before hub-b decided");
}

#[test]
fn a_source_that_is_missing_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    story::told(Doctored::No).write(folder.path());
    let missing = tests_demo::evidence::place::answers(folder.path(), "staging");
    std::fs::remove_file(&missing).expect("it was there");
    let error = tests_demo::verify::run(folder.path()).expect_err("silence is no evidence");
    assert!(error.to_string().contains("staging.ndjson"), "{error}");
}
