//! Faults between hubs and agents (F16–F22, F25, F26). In: cuts at every message, silence of either direction, messages that
//! come twice, late, in the wrong order or from somebody else. Out: every release ends once, on the newest word.

use std::time::Duration;

use hub_engine::release::{ReleasePhase, TargetState, WavePhase};
use hub_engine::{ClusterName, FleetRolloutName};
use proto::v1::StopRequest;
use proto::v1::refusal::Code;
use proto::v1::report::Body;
use tests_bench::fleet::rollout::digest;
use tests_faults::history::rows;
use tests_faults::peer::{End, Peer};
use tests_faults::puppet::{Puppet, hello};
use tests_faults::world::{NAME, SOON, Setting, World};
use tests_fleet::eventually;
use tests_fleet::proxy::link::Fault;

use crate::hub::story;

/// A stream that is half open is noticed by pings, 10 s apart, whose answer is waited for 10 s.
const NOTICED: Duration = Duration::from_secs(30);
/// So many words change what an agent should hold; even, so that the last one lets go.
const WORDS: usize = 60;

#[tokio::test]
async fn f16_a_stream_that_is_cut_at_every_message() {
    const CUTS: usize = 20;
    let setting = Setting {
        waves: vec![CUTS],
        ..Setting::of("f16")
    };
    let mut world = World::up(setting).await.expect("a world");
    for (agent, pieces) in world.agents.iter().zip(1..) {
        agent.link.cut_after(pieces);
    }
    // Whoever has fewer messages is cut in the next ones.
    for release in 1..=3 {
        story(&mut world, release, ReleasePhase::Succeeded).await;
    }
    let cuts: u64 = world.agents.iter().map(|agent| agent.link.cuts()).sum();
    assert_eq!(cuts, CUTS as u64, "each stream was cut once");
    world.check().await;
}

#[tokio::test]
async fn f17_a_stream_that_fell_silent_is_replaced() {
    let mut world = World::up(Setting::of("f17")).await.expect("a world");
    let before = world.agents[2].sessions();
    world.agents[2].link.silence();
    world.want(2);
    // The others go on, and nobody takes silence for success.
    let first = |release: &hub_engine::release::Release| {
        release.waves[0].phase == WavePhase::Passed
            && release.targets[1].state == TargetState::Succeeded
    };
    let seen = world.until(1, "is in its second wave", SOON, first).await;
    assert_ne!(seen.expect("seen").waves[1].phase, WavePhase::Passed);
    let is = |release: &hub_engine::release::Release| release.phase == ReleasePhase::Succeeded;
    world.until(1, "ends", NOTICED, is).await.expect("L2");
    assert!(world.agents[2].sessions() > before);
    world.check().await;
}

/// The last cluster as a puppet.
async fn puppet(world: &mut World) -> Puppet {
    let agent = world.agents.last_mut().expect("an agent").stop().await;
    Puppet::of(&agent.expect("it ran"))
        .await
        .expect("a session")
}

async fn count(world: &World, kind: &str) -> usize {
    let rows = rows(&world.store).await;
    rows.iter().filter(|row| row.kind == kind).count()
}

#[tokio::test]
async fn f18_whatever_is_said_twice_counts_once() {
    let mut world = World::up(Setting::of("f18")).await.expect("a world");
    let mut puppet = puppet(&mut world).await;
    world.want(2);
    let changed = puppet.rollout.want(2);
    puppet.report(&changed).await.expect("said");
    for _ in 0..3 {
        puppet.repeat(&changed).await.expect("again");
    }
    // The same under new numbers, as after a broken stream.
    puppet.report(&changed).await.expect("once more");
    let (permit, taken) = puppet.permitted().await.expect("a permit");
    puppet.report(&taken).await.expect("said");
    puppet.repeat(&taken).await.expect("again");
    let served = puppet.rollout.serve();
    puppet.report(&served).await.expect("said");
    puppet.repeat(&served).await.expect("again");
    let last = puppet.report(&served).await.expect("once more");
    puppet.peer.acknowledged(last).await.expect("stored");
    // A permit that is over moves nothing.
    assert!(puppet.rollout.permit(&permit).is_empty());
    let resting = puppet.rest();
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    assert_eq!(count(&world, "ReleaseOpened").await, 1);
    assert_eq!(count(&world, "PermitGranted").await, 3);
    assert_eq!(count(&world, "TargetSucceeded").await, 3);
    world.check().await;
    resting.abort();
}

/// What the hub has of the last cluster.
async fn served(world: &World) -> Option<String> {
    let name = FleetRolloutName::from(NAME);
    let tables = world.store.observe(&name).await.expect("asked");
    let cluster = ClusterName(world.agents.last()?.cluster.clone());
    let tables = tables?;
    let rollout = tables.cluster(&cluster)?.rollout.as_ref()?;
    rollout.served.as_ref().map(ToString::to_string)
}

#[tokio::test]
async fn f19_an_older_report_that_comes_later_changes_nothing() {
    let mut world = World::up(Setting::of("f19")).await.expect("a world");
    let mut puppet = puppet(&mut world).await;
    let old = Body::State(puppet.rollout.state());
    let mut other = puppet.rollout.clone();
    let changed = other.want(2);
    let new = Body::State(other.state());
    // The newer one first, in one message and in two.
    let swapped = vec![(2, new.clone()), (1, old.clone())];
    let session = puppet.session;
    puppet.peer.report(session, swapped).await.expect("said");
    puppet.peer.acknowledged(2).await.expect("stored");
    puppet
        .peer
        .report(session, vec![(4, new)])
        .await
        .expect("said");
    puppet
        .peer
        .report(session, vec![(3, old)])
        .await
        .expect("said");
    puppet
        .peer
        .report(session, vec![(5, changed[0].clone())])
        .await
        .expect("said");
    puppet.peer.acknowledged(5).await.expect("stored");
    let name = FleetRolloutName::from(NAME);
    let tables = world
        .store
        .observe(&name)
        .await
        .expect("asked")
        .expect("there");
    let cluster = ClusterName(puppet.member.cluster.clone());
    let view = tables.cluster(&cluster).expect("it").rollout.clone();
    let held = view
        .and_then(|view| view.held.clone())
        .map(|held| held.to_string());
    assert_eq!(held, Some(digest(2)), "the newest word counts");
}

#[tokio::test]
async fn f20_reports_of_an_earlier_session_are_refused() {
    let mut world = World::up(Setting::of("f20")).await.expect("a world");
    let mut old = puppet(&mut world).await;
    let new = Puppet::open(old.member.clone(), old.rollout.clone(), old.fence);
    let mut new = new.await.expect("a newer session");
    assert!(new.session > old.session);
    // What was on its way when the agent started again.
    let mut before = old.rollout.clone();
    let late = before.want(9);
    old.report(&late).await.expect("on the wire");
    let end = old.peer.end().await;
    assert!(
        matches!(&end, End::Refused(code, _) if *code == i32::from(Code::Superseded)),
        "{end:?}"
    );
    // An old number in the new session is no better.
    new.peer
        .report(old.session, vec![(1, late[0].clone())])
        .await
        .expect("said");
    let end = new.peer.end().await;
    assert!(
        matches!(&end, End::Refused(code, _) if *code == i32::from(Code::Superseded)),
        "{end:?}"
    );
    assert_eq!(served(&world).await, Some(digest(1)));
    assert!(world.release(1).await.is_none(), "nothing was opened by it");
    World::check_store(&world.store).await;
}

#[tokio::test]
async fn f21_two_agents_with_one_identity() {
    let mut world = World::up(Setting::of("f21")).await.expect("a world");
    let mut first = puppet(&mut world).await;
    // A copied secret in the same cluster: the newest has the session, and the other one hears of it.
    let second = Puppet::open(first.member.clone(), first.rollout.clone(), first.fence).await;
    let second = second.expect("a session");
    first.beat().await.expect("said");
    let end = first.peer.end().await;
    let End::Refused(code, message) = end else {
        panic!("{end:?}");
    };
    assert_eq!(code, i32::from(Code::Superseded));
    assert!(
        message.contains("two agents share one identity"),
        "{message}"
    );
    // In another cluster: the one that is bound keeps its session, and people are told.
    let mut thief = hello(&second.member, &second.rollout, second.fence);
    thief.kube_system_uid = "another cluster".to_owned();
    let mut stolen = Peer::open(&second.member, thief).await.expect("a stream");
    let end = stolen.welcome().await.expect_err("refused");
    assert!(
        matches!(&end, End::Refused(code, _) if *code == i32::from(Code::DuplicateIdentity)),
        "{end:?}"
    );
    let refusals = world.store.refusal_list(10).await.expect("asked");
    assert!(refusals.iter().any(|one| one.kind == "DuplicateIdentity"));
    let resting = second.rest();
    world.want(2);
    let is =
        |release: &hub_engine::release::Release| release.targets[1].state == TargetState::Succeeded;
    world.until(1, "goes on", SOON, is).await.expect("goes on");
    assert!(!resting.is_finished(), "the bound one keeps its session");
    resting.abort();
}

async fn one_way(test: &'static str, fault: Fault) {
    let setting = Setting {
        takes: Duration::from_millis(500),
        ..Setting::of(test)
    };
    let mut world = World::up(setting).await.expect("a world");
    world.agents[2].link.set(fault);
    let permits = world.agents[2].permits();
    world.want(2);
    let others =
        |release: &hub_engine::release::Release| release.targets[1].state == TargetState::Succeeded;
    let seen = world.until(1, "leaves one behind", SOON, others).await;
    assert_ne!(seen.expect("seen").phase, ReleasePhase::Succeeded);
    assert_eq!(world.agents[2].permits(), permits);
    // Both ends give the stream up; then the network is whole again.
    let ended = "stream ended: ";
    eventually("the hub gave it up", NOTICED, async || {
        let log = world.hubs[0].hub.log();
        let gone = log
            .lines()
            .any(|line| line.contains(ended) && line.contains("cluster-2"));
        gone.then_some(()).ok_or_else(|| "not yet".to_owned())
    })
    .await
    .expect("L2");
    let phase = world.release(1).await.expect("there").phase;
    assert_eq!(phase, ReleasePhase::Progressing, "silence is no success");
    world.agents[2].link.set(Fault::None);
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    world.check().await;
}

#[tokio::test]
async fn f22_only_what_the_hub_says_is_lost() {
    one_way("f22-down", Fault::LostDown).await;
}

#[tokio::test]
async fn f22_only_what_the_agent_says_is_lost() {
    one_way("f22-up", Fault::LostUp).await;
}

#[tokio::test]
async fn f26_an_agent_that_stops_reading_makes_nobody_wait() {
    let setting = Setting {
        waves: vec![1, 4],
        ..Setting::of("f26")
    };
    let mut world = World::up(setting).await.expect("a world");
    let begin = std::time::Instant::now();
    story(&mut world, 1, ReleasePhase::Succeeded).await;
    let usual = begin.elapsed();
    // It has said Hello, and reads nothing of what it is sent from then on: a set for each word, all of them whole.
    let slow = puppet(&mut world).await;
    world.agents[4].link.set(Fault::Hold);
    let mut person = world.person(0).await.expect("a person");
    for word in 0..WORDS {
        let request = StopRequest {
            fleet_rollout: NAME.to_owned(),
            lift: word % 2 == 1,
            reason: "back and forth".to_owned(),
            ..StopRequest::default()
        };
        person.stop(request).await.expect("taken");
    }
    let begin = std::time::Instant::now();
    for agent in &mut world.agents[..4] {
        agent.want(3);
    }
    let others = |release: &hub_engine::release::Release| {
        let mut targets = release.targets.iter();
        targets
            .all(|one| one.cluster.as_str() == "cluster-4" || one.state == TargetState::Succeeded)
    };
    let limit = usual.saturating_mul(2) + Duration::from_secs(3);
    world
        .until(2, "is through elsewhere", limit, others)
        .await
        .expect("L3");
    println!("{usual:?} without, {:?} beside it", begin.elapsed());
    drop(slow);
}
