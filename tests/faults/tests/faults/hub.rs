//! Faults of hub processes (F1–F5). In: kills at chosen commits, stops, a second hub. Out: the same end as without them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hub_engine::release::{Release, ReleasePhase, TargetState, WavePhase};
use nix::sys::signal::Signal;
use proto::v1::ApproveRequest;
use tests_faults::history::kinds;
use tests_faults::world::{SOON, Setting, World, outline};
use tests_fleet::eventually;
use tests_fleet::proxy::link::Fault;
use tests_fleet::proxy::trigger::{KillPoint, Moment};

/// The lease of the deciding hub and the time that another one takes to see that it is over (`hub/src/leader.rs`).
const TTL_AND_ELECTION: Duration = Duration::from_secs(6 + 2);
/// Beyond that, on a busy machine.
const SLACK: Duration = Duration::from_secs(4);

/// Transactions of a release that passes, by the row that only they write.
pub const FORWARD: [&str; 7] = [
    "ReleaseOpened",
    "WaveStarted",
    "PermitGranted",
    "TargetSucceeded",
    "BakeStarted",
    "WavePassed",
    "ReleaseEnded",
];
/// Of one that goes back.
const BACK: [&str; 6] = [
    "TargetFailed",
    "WaveFailed",
    "RollbackStarted",
    "TargetRollingBack",
    "TargetRolledBack",
    "ReleaseEnded",
];

pub async fn story(world: &mut World, number: u64, phase: ReleasePhase) -> Release {
    world.want(number + 1);
    world.ends(number, phase).await.expect("it ends")
}

/// Ends the hub at each of these rows in turn, in one release, and starts it again: nothing of it passes from that moment on,
/// and then it is killed.
async fn kills(world: &mut World, moment: Moment, at: &[&str]) {
    let all = kinds(&world.store, "app#1").await;
    for mark in at {
        assert!(all.contains_key(*mark), "no row is called {mark}: {all:?}");
        // Committed with the row before, at which the hub was ended already: it was tried.
        if kinds(&world.store, "app#2").await.get(*mark) == all.get(*mark) {
            continue;
        }
        let station = &mut world.hubs[0];
        let point = KillPoint {
            number: 1,
            moment,
            pid: 0,
        };
        // Before the next life begins: it may decide before we know that it runs.
        station.commits.trigger().arm_at(mark, point);
        if station.hub.process().ended().is_some() {
            station.again().await.expect("the next life");
        } else {
            world.want(3);
        }
        let station = &mut world.hubs[0];
        let struck = station.commits.trigger().struck(SOON).await;
        struck.unwrap_or_else(|error| panic!("at {mark}: {error}"));
        station.hub.process().kill().await.expect("killed");
    }
    let station = &mut world.hubs[0];
    station.commits.trigger().release();
    station.again().await.expect("the last life");
}

/// Nothing is decided twice and nothing is left out: of every kind there are as many rows as without a kill.
pub fn same(clean: &BTreeMap<String, usize>, killed: &BTreeMap<String, usize>) {
    // Where a cluster stands while it waits, and what it shows, depends on when it is looked at.
    let passing = [
        "GateWaiting",
        "TargetProgressing",
        "TargetWaitingForContent",
        "TargetBehind",
    ];
    let told = |kinds: &BTreeMap<String, usize>| {
        let mut kinds = kinds.clone();
        kinds.retain(|kind, _| !passing.contains(&kind.as_str()));
        kinds
    };
    assert_eq!(told(clean), told(killed));
}

async fn forward(test: &'static str, moment: Moment) {
    let setting = Setting {
        wave_fields: vec![", bake: 1s"],
        ..Setting::of(test)
    };
    let mut world = World::up(setting).await.expect("a world");
    let clean = story(&mut world, 1, ReleasePhase::Succeeded).await;
    kills(&mut world, moment, &FORWARD).await;
    let killed = world.ends(2, ReleasePhase::Succeeded).await.expect("ends");
    assert_eq!(outline(&clean), outline(&killed));
    let (clean, killed) = (
        kinds(&world.store, "app#1").await,
        kinds(&world.store, "app#2").await,
    );
    same(&clean, &killed);
    world.check().await;
}

async fn back(test: &'static str, moment: Moment) {
    let setting = Setting {
        waves: vec![2, 1],
        spec: "  onFailure: {action: Rollback, scope: Touched}\n",
        ..Setting::of(test)
    };
    let mut world = World::up(setting).await.expect("a world");
    // In the last cluster both versions fail, after the others have finished.
    for version in [2, 3] {
        world.agents[2].script.fails(version);
    }
    let clean = story(&mut world, 1, ReleasePhase::RolledBack).await;
    kills(&mut world, moment, &BACK).await;
    let killed = world.ends(2, ReleasePhase::RolledBack).await.expect("ends");
    assert_eq!(outline(&clean), outline(&killed));
    let (clean, killed) = (
        kinds(&world.store, "app#1").await,
        kinds(&world.store, "app#2").await,
    );
    same(&clean, &killed);
    world.check().await;
}

#[tokio::test]
async fn f01_a_hub_killed_before_each_commit_of_a_release() {
    forward("f01-before", Moment::BeforeForward).await;
}

#[tokio::test]
async fn f01_a_hub_killed_after_each_commit_of_a_release() {
    forward("f01-after", Moment::AfterReply).await;
}

#[tokio::test]
async fn f01_a_hub_killed_before_each_commit_of_a_rollback() {
    back("f01-back-before", Moment::BeforeForward).await;
}

#[tokio::test]
async fn f01_a_hub_killed_after_each_commit_of_a_rollback() {
    back("f01-back-after", Moment::AfterReply).await;
}

async fn at_an_approval(test: &'static str, moment: Moment) {
    let setting = Setting {
        waves: vec![1],
        wave_fields: vec![", approval: {before: {required: 1, groups: [groundswell-admins]}}"],
        ..Setting::of(test)
    };
    let mut world = World::up(setting).await.expect("a world");
    world.want(2);
    let waits = |release: &Release| release.waves[0].phase == WavePhase::WaitingForApproval;
    let release = world.until(1, "asks", SOON, waits).await.expect("asks");
    let request = ApproveRequest {
        release: "app#1".to_owned(),
        plan_digest: release.plan_digest,
        ..ApproveRequest::default()
    };
    let station = &mut world.hubs[0];
    let point = KillPoint {
        number: 1,
        moment,
        pid: station.hub.process().pid(),
    };
    station.commits.trigger().arm_at("WaveApproved", point);
    let mut person = world.person(0).await.expect("a person");
    let unheard = person.approve(request.clone()).await;
    unheard.expect_err("its hub is gone");
    let station = &mut world.hubs[0];
    station.hub.process().killed(SOON).await.expect("killed");
    station.commits.trigger().release();
    station.again().await.expect("the next life");
    // Whether it counted is in the database; a person asks again, and it counts once.
    let mut person = world.person(0).await.expect("a person");
    let again = person.approve(request).await;
    if moment == Moment::BeforeForward {
        again.expect("the first was never there");
    }
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    let given = kinds(&world.store, "app#1").await;
    assert_eq!(given.get("WaveApproved"), Some(&1));
    world.check().await;
}

#[tokio::test]
async fn f01_a_hub_killed_before_an_approval_is_stored() {
    at_an_approval("f01-approval-before", Moment::BeforeForward).await;
}

#[tokio::test]
async fn f01_a_hub_killed_after_an_approval_is_stored() {
    at_an_approval("f01-approval-after", Moment::AfterReply).await;
}

#[tokio::test]
async fn f02_a_hub_that_dies_twenty_times() {
    const LIVES: u64 = 20;
    let mut world = World::up(Setting::of("f02")).await.expect("a world");
    let mut seed = 0x5eed_u64;
    let mut release = 0;
    for _ in 0..LIVES {
        let open = match release {
            0 => false,
            number => world
                .release(number)
                .await
                .is_none_or(|release| !release.phase.ended()),
        };
        if !open {
            release += 1;
            world.want(release + 1);
        }
        // Numerical Recipes' generator: which of the first commits of a life is its last one.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let station = &mut world.hubs[0];
        let point = KillPoint {
            number: 1 + (seed >> 33) % 8,
            moment: if (seed >> 40) & 1 == 0 {
                Moment::BeforeForward
            } else {
                Moment::AfterReply
            },
            pid: station.hub.process().pid(),
        };
        station.commits.trigger().arm(Some(point));
        let struck = station.commits.trigger().struck(SOON).await;
        struck.expect("agents keep every hub busy");
        station.hub.process().killed(SOON).await.expect("killed");
        station.commits.trigger().release();
        station.again().await.expect("the next life");
    }
    for number in 1..=release {
        let ended = world.ends(number, ReleasePhase::Succeeded).await;
        let ended = ended.expect("L1");
        let succeeded = |state: TargetState| state == TargetState::Succeeded;
        assert!(ended.targets.iter().all(|one| succeeded(one.state)));
    }
    world.check().await;
}

fn two_hubs(test: &'static str) -> Setting {
    Setting {
        hubs: 2,
        takes: Duration::from_millis(1500),
        ..Setting::of(test)
    }
}

/// Version 2 is on its way in the first wave.
async fn in_flight(world: &mut World) {
    world.want(2);
    let flies = |release: &Release| {
        let mut targets = release.targets.iter();
        targets.any(|target| target.state.in_flight())
    };
    let limit = SOON;
    world.until(1, "flies", limit, flies).await.expect("flies");
}

#[tokio::test]
async fn f03_a_hub_that_stops_in_mid_wave_hands_over_at_once() {
    let mut world = World::up(two_hubs("f03")).await.expect("a world");
    let leader = world.leader().await.expect("a leader");
    in_flight(&mut world).await;
    let begin = Instant::now();
    let status = world.hubs[leader].hub.process().stop().await;
    assert!(status.expect("it stops").success());
    let next = world.leader().await.expect("the other one");
    assert_ne!(next, leader);
    assert!(
        begin.elapsed() < TTL_AND_ELECTION,
        "it gave its lease up: {:?}",
        begin.elapsed()
    );
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    // The old one comes back, as after an upgrade, and does not decide.
    world.hubs[leader].again().await.expect("it starts");
    assert_eq!(world.leader().await.expect("a leader"), next);
    world.want(3);
    world.ends(2, ReleasePhase::Succeeded).await.expect("L1");
    world.check().await;
}

#[tokio::test]
async fn f04_a_leader_that_slept_longer_than_its_lease_writes_nothing_more() {
    let mut world = World::up(two_hubs("f04")).await.expect("a world");
    let leader = world.leader().await.expect("a leader");
    in_flight(&mut world).await;
    let before = world.epoch().await.expect("an epoch");
    let slept = Instant::now();
    let sleeper = world.hubs[leader].hub.process();
    sleeper.signal(Signal::SIGSTOP).expect("stopped");
    // Its agents would notice in 20 s; these have a network that tells them.
    for agent in &world.agents {
        agent.link.break_off();
    }
    eventually("the other one decides", SOON, async || {
        match world.epoch().await.map_err(|error| error.to_string())? {
            epoch if epoch > before => Ok(()),
            epoch => Err(format!("epoch {epoch}")),
        }
    })
    .await
    .expect("L6");
    assert!(slept.elapsed() < TTL_AND_ELECTION + SLACK, "L6");
    let sleeper = world.hubs[leader].hub.process();
    sleeper.signal(Signal::SIGCONT).expect("woken");
    sleeper
        .said("no longer decides", SOON)
        .await
        .expect("it says so");
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    world.want(3);
    world.ends(2, ReleasePhase::Succeeded).await.expect("L1");
    let after = world.epoch().await.expect("an epoch");
    assert_eq!(after, before + 1, "one takeover");
    world.check().await;
}

#[tokio::test]
async fn f05_a_leader_whose_renewals_hang_stops_before_its_lease_is_over() {
    let mut world = World::up(two_hubs("f05")).await.expect("a world");
    let leader = world.leader().await.expect("a leader");
    let before = world.epoch().await.expect("an epoch");
    world.hubs[leader].link.set(Fault::Hold);
    in_flight_without(&mut world, leader).await;
    assert_eq!(world.epoch().await.expect("an epoch"), before + 1);
    // What hung arrives now, and is too late: `check` sees no row of the old epoch after one of the new one.
    world.hubs[leader].link.set(Fault::None);
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    world.want(3);
    world.ends(2, ReleasePhase::Succeeded).await.expect("L1");
    world.check().await;
}

/// The release begins by the other hub's word.
async fn in_flight_without(world: &mut World, leader: usize) {
    for agent in &world.agents {
        agent.link.break_off();
    }
    let other = &mut world.hubs[1 - leader];
    let decides = other.hub.process().said("this hub decides", SOON).await;
    decides.expect("L6");
    in_flight(world).await;
}
