//! Time (F23, F24, F52, F53, F59). In: hours that pass at once, clocks that differ, windows that close. Out: only the database's
//! time opens anything, and a jump never shortens what has to be waited for.

use std::time::Duration;

use hub_engine::release::{Release, ReleasePhase, TargetState, WavePhase};
use jiff::{SignedDuration, Timestamp};
use tests_bench::fleet::script::Seen;
use tests_faults::history::rows;
use tests_faults::world::{SOON, Setting, World};
use tests_fleet::eventually;

use crate::hub::story;

const HOUR: i64 = 3_600;
/// No deadline and no silence ends a target before the jumps of these tests do.
const PATIENT: &str =
    "  membership: {unreachable: {after: 72h, action: CountAsFailed}}\n  progressDeadline: 72h\n";

/// A world with a clock of its own and its clusters.
async fn skewed(setting: Setting) -> World {
    let mut world = World::skewed(setting).await.expect("hubs");
    world.members().await.expect("clusters");
    world
}

fn permits(world: &World) -> usize {
    world
        .agents
        .iter()
        .map(tests_faults::agents::Player::permits)
        .sum()
}

fn first_passed(release: &Release) -> bool {
    release.waves[0].phase == WavePhase::Passed
}

#[tokio::test]
async fn f23_outcomes_of_six_hours_without_a_hub_arrive_once() {
    six_hours_without_a_hub("f23", PATIENT).await;
}

/// S7: what no hub could hear is no silence, and six hours without one are no deadline.
#[tokio::test]
async fn f23_six_hours_without_a_hub_fail_nothing_by_the_default_policy() {
    six_hours_without_a_hub("f23-default", "").await;
}

async fn six_hours_without_a_hub(test: &'static str, spec: &'static str) {
    let setting = Setting {
        lease_seconds: 3,
        takes: Duration::from_millis(800),
        spec,
        ..Setting::of(test)
    };
    let mut world = skewed(setting).await;
    world.want(2);
    eventually("every agent has its permit", SOON, async || {
        match permits(&world) {
            3 => Ok(()),
            count => Err(format!("{count} have")),
        }
    })
    .await
    .expect("permitted");
    world.hubs[0].hub.process().kill().await.expect("killed");
    // Every agent comes to its end alone, and one program starts again with what is in its cluster.
    eventually("all have ended", SOON, async || {
        let ended = |one: &&tests_faults::agents::Player| {
            one.script.count(|seen| matches!(seen, Seen::Ended(_))) == 1
        };
        match world.agents.iter().filter(ended).count() {
            3 => Ok(()),
            count => Err(format!("{count} have")),
        }
    })
    .await
    .expect("ended");
    world.agents[2].restart().await;
    world.jump(6 * HOUR).await.expect("later");
    world.hubs[0].again().await.expect("a hub again");
    world.ends(1, ReleasePhase::Succeeded).await.expect("L4");
    let succeeded = rows(&world.store).await;
    let succeeded = succeeded.iter().filter(|row| row.kind == "TargetSucceeded");
    assert_eq!(succeeded.count(), 3, "L4: once each");
    world.check().await;
}

/// A window from an hour before the database's time to an hour after it.
fn window(from: Timestamp) -> String {
    let begins = from - SignedDuration::from_hours(1);
    let minute = begins.strftime("%M %H").to_string();
    format!(
        "  windows: [{{allow: {{cron: \"{minute} * * *\", duration: 2h, timezone: Etc/UTC}}}}]\n"
    )
}

/// The same document with further lines of its spec.
async fn reapply(world: &World, lines: &str) {
    let document = world.setting.document();
    let document = document.replacen("  waves:\n", &format!("{lines}  waves:\n"), 1);
    world.apply(&document).await.expect("applied");
}

#[tokio::test]
async fn f24_a_hub_that_returns_after_the_window_starts_nothing() {
    let setting = Setting {
        takes: Duration::from_millis(800),
        spec: PATIENT,
        ..Setting::of("f24")
    };
    let mut world = skewed(setting).await;
    let now = world.store.now().await.expect("the time");
    reapply(&world, &window(now)).await;
    world.want(2);
    let flies = |release: &Release| release.targets[0].state.in_flight();
    world.until(1, "flies", SOON, flies).await.expect("flies");
    world.hubs[0].hub.process().kill().await.expect("killed");
    world.jump(6 * HOUR).await.expect("later");
    let before = permits(&world);
    world.hubs[0].again().await.expect("a hub again");
    // What was in flight has ended, and the next wave waits for tomorrow's window.
    world
        .until(1, "has its first wave behind it", SOON, first_passed)
        .await
        .expect("L4");
    world.looked().await.expect("looked");
    assert_eq!(permits(&world), before, "S12");
    world.jump(23 * HOUR + HOUR / 2).await.expect("tomorrow");
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    world.check().await;
}

#[tokio::test]
async fn f52_a_clock_that_jumps_back_does_not_end_a_bake() {
    let setting = Setting {
        wave_fields: vec![", bake: 30m"],
        spec: PATIENT,
        ..Setting::of("f52")
    };
    let mut world = skewed(setting).await;
    world.want(2);
    let bakes = |release: &Release| release.waves[0].phase == WavePhase::Baking;
    world.until(1, "bakes", SOON, bakes).await.expect("bakes");
    let before = permits(&world);
    for seconds in [-HOUR, HOUR / 3] {
        world.jump(seconds).await.expect("a jump");
        world.looked().await.expect("looked");
        assert_eq!(permits(&world), before, "S12: {seconds}");
    }
    world.jump(HOUR).await.expect("later");
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    world.check().await;
}

/// A hub whose wall clock is wrong by this; its monotonic clock is right.
fn wrong_clock(by: &str) -> Vec<(String, String)> {
    let all = [
        (
            "LD_PRELOAD",
            tests_fleet::clock::library().expect("libfaketime"),
        ),
        ("FAKETIME", by.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    all.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// A release whose first wave bakes, under a freeze that only the wrong clock is in, and one that only the right one is in.
async fn judged_by_the_database(test: &'static str, by: &str, hours: i64) {
    let setting = Setting {
        environment: wrong_clock(by),
        wave_fields: vec![", bake: 2s"],
        ..Setting::of(test)
    };
    let mut world = World::up(setting).await.expect("a world");
    let log = world.hubs[0].hub.log();
    let first = log.split_whitespace().next().unwrap_or_default();
    let theirs: Timestamp = first.parse().expect("a time in its log");
    let off = Timestamp::now().duration_since(theirs).as_secs().abs();
    assert!(off > 5 * 60, "its clock is right: {theirs}");
    let now = world.store.now().await.expect("the time");
    let freeze = |middle: Timestamp| {
        let half = SignedDuration::from_mins(5);
        let (from, to) = (middle - half, middle + half);
        format!("  freezes: [{{from: {from:.0}, to: {to:.0}, reason: a test}}]\n")
    };
    reapply(&world, &freeze(now)).await;
    world.want(2);
    let opened = |_: &Release| true;
    world.until(1, "is open", SOON, opened).await.expect("open");
    world.looked().await.expect("looked");
    assert_eq!(permits(&world), 0, "frozen by the database's time");
    let elsewhere = now + SignedDuration::from_hours(hours);
    reapply(&world, &freeze(elsewhere)).await;
    world
        .ends(1, ReleasePhase::Succeeded)
        .await
        .expect("not frozen");
    world.check().await;
}

#[tokio::test]
async fn f52_a_hub_whose_clock_is_an_hour_ahead() {
    judged_by_the_database("f52-ahead", "+1h", 1).await;
}

#[tokio::test]
async fn f52_a_hub_whose_clock_jumps_back_an_hour() {
    let mut world = World::up(Setting::of("f52-back")).await.expect("a world");
    world.hubs[0].hub.options().environment = wrong_clock("-1h");
    world.hubs[0].hub.process().kill().await.expect("killed");
    world.hubs[0].again().await.expect("an hour earlier");
    // The certificates of its agents were made in what is now its future.
    story(&mut world, 1, ReleasePhase::Succeeded).await;
    world.check().await;
}

#[tokio::test]
async fn f53_a_hub_and_a_database_whose_clocks_differ_by_ten_minutes() {
    // The clocks of two hubs differ from their database's and from one another.
    let setting = Setting {
        hubs: 2,
        environment: wrong_clock("-10m"),
        takes: Duration::from_millis(800),
        ..Setting::of("f53")
    };
    let mut world = World::up(setting).await.expect("a world");
    let leader = world.leader().await.expect("a leader");
    world.want(2);
    let flies = |release: &Release| release.targets[0].state.in_flight();
    world.until(1, "flies", SOON, flies).await.expect("flies");
    world.hubs[leader].hub.options().environment = wrong_clock("+10m");
    world.hubs[leader]
        .hub
        .process()
        .kill()
        .await
        .expect("killed");
    let epoch = world.epoch().await.expect("an epoch");
    // Neither takes the lease before it is over by the database's time, nor lets it lie.
    eventually("the other one decides", SOON, async || {
        match world.leader().await.map_err(|error| error.to_string())? {
            other if other != leader => Ok(()),
            _ => Err("it is still the old one's lease".to_owned()),
        }
    })
    .await
    .expect("L6");
    world.hubs[leader].again().await.expect("back");
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    assert_eq!(world.epoch().await.expect("an epoch"), epoch + 1, "S5");
    story(&mut world, 2, ReleasePhase::Succeeded).await;
    world.check().await;
}

#[tokio::test]
async fn f59_a_window_that_closes_on_a_wave_and_a_freeze_in_the_middle_of_it() {
    let setting = Setting {
        waves: vec![1, 3],
        wave_fields: vec!["", ""],
        takes: Duration::from_millis(1500),
        spec: PATIENT,
        ..Setting::of("f59")
    };
    let mut world = skewed(setting).await;
    let now = world.store.now().await.expect("the time");
    let one_at_a_time = world.setting.document().replace(
        "{matchLabels: {wave: \"1\"}}, maxConcurrent: 100%",
        "{matchLabels: {wave: \"1\"}}, maxConcurrent: 1",
    );
    let with = |lines: &str| one_at_a_time.replacen("  waves:\n", &format!("{lines}  waves:\n"), 1);
    world.apply(&with(&window(now))).await.expect("applied");
    world.want(2);
    let second = |release: &Release| release.targets[1].state.in_flight();
    world
        .until(1, "is in its second wave", SOON, second)
        .await
        .expect("there");
    // The window closes: what is in flight ends, and nothing follows it.
    world.jump(3 * HOUR).await.expect("later");
    let one = |release: &Release| release.targets[1].state == TargetState::Succeeded;
    world
        .until(1, "lets the flying one end", SOON, one)
        .await
        .expect("ended");
    let before = permits(&world);
    world.looked().await.expect("looked");
    assert_eq!(permits(&world), before, "S12");
    // It opens again, and somebody freezes everything in the middle of the wave.
    world.jump(24 * HOUR).await.expect("tomorrow");
    let two = |release: &Release| release.targets[2].state.in_flight();
    world.until(1, "goes on", SOON, two).await.expect("goes on");
    let now = world.store.now().await.expect("the time");
    let (from, to) = (
        now - SignedDuration::from_mins(1),
        now + SignedDuration::from_hours(48),
    );
    let freeze = format!("  freezes: [{{from: {from:.0}, to: {to:.0}, reason: a test}}]\n");
    world.apply(&with(&freeze)).await.expect("applied");
    let two = |release: &Release| release.targets[2].state == TargetState::Succeeded;
    world
        .until(1, "lets the flying one end", SOON, two)
        .await
        .expect("ended");
    let before = permits(&world);
    world.looked().await.expect("looked");
    assert_eq!(permits(&world), before, "S12");
    world.apply(&with("")).await.expect("applied");
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    world.check().await;
}
