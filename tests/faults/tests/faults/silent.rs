//! A database connection that falls silent in the midst of a transaction (F10): both ends stay open and no byte passes. In: the
//! chosen commit of a release, before the server hears of it and after. Out: the hub gives that connection up within its
//! limit and goes on with another one, and nothing is done twice.

use std::time::Instant;

use hub_engine::release::ReleasePhase;
use tests_faults::history::kinds;
use tests_faults::world::{Setting, World, outline};
use tests_fleet::eventually;
use tests_fleet::proxy::trigger::{KillPoint, Moment};

use crate::hub::{same, story};

/// How long a call may take (`hub_store::CALL_MAX`), and beyond that on a busy machine.
const GIVEN_UP: std::time::Duration =
    hub_store::CALL_MAX.saturating_add(std::time::Duration::from_secs(15));

async fn silent_at(test: &'static str, marks: &[&str], moment: Moment) {
    let setting = Setting {
        wave_fields: vec![", bake: 1s"],
        ..Setting::of(test)
    };
    let mut world = World::up(setting).await.expect("a world");
    let clean = story(&mut world, 1, ReleasePhase::Succeeded).await;
    let clean_kinds = kinds(&world.store, "app#1").await;
    for (number, mark) in (2..).zip(marks) {
        let trigger = world.hubs[0].commits.trigger();
        let before = trigger.lost();
        let point = KillPoint {
            number: 1,
            moment,
            pid: 0,
        };
        trigger.arm_at(mark, point);
        world.want(number + 1);
        let begin = Instant::now();
        let other = eventually("the release goes on", GIVEN_UP, async || {
            let release = world.release(number).await;
            let ended = release.filter(|release| release.phase == ReleasePhase::Succeeded);
            ended.ok_or_else(|| format!("after {:?}", begin.elapsed()))
        });
        let other = other.await.expect(mark);
        let lost = world.hubs[0].commits.trigger().lost();
        assert_eq!(lost, before + 1, "{mark}");
        assert_eq!(outline(&clean), outline(&other), "{mark}");
        let all = kinds(&world.store, &format!("app#{number}")).await;
        same(&clean_kinds, &all);
    }
    world.hubs[0].hub.process().must_run().expect("it lives");
    world.check().await;
}

/// A decision, and what an agent reported: the first transaction that bears either word.
const MARKS: [&str; 2] = ["PermitGranted", "Served"];

#[tokio::test]
async fn f10_a_connection_that_falls_silent_before_a_commit() {
    silent_at("f10-before", &MARKS, Moment::Silent).await;
}

#[tokio::test]
async fn f10_a_connection_that_falls_silent_after_a_commit() {
    silent_at("f10-after", &MARKS, Moment::SilentReply).await;
}
