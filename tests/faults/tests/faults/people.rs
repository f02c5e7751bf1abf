//! People, verdicts and the record (F12, F28, F58, F60–F62, F68). In: words that race with one another and with what agents
//! say, clusters that vanish, hubs that die in between. Out: one order of everything, each word once, a chain that is whole.

use std::time::Duration;

use futures::future::join_all;
use hub_engine::chain::Row;
use hub_engine::release::{Release, ReleasePhase, TargetState, WavePhase};
use proto::v1::act_request::Verb;
use proto::v1::{ActRequest, ApproveRequest, CreateTokenRequest, RevokeClusterRequest};
use serde_json::Value;
use tests_bench::fleet::agent::Agent;
use tests_bench::fleet::script::Seen;
use tests_faults::history::rows;
use tests_faults::puppet::Puppet;
use tests_faults::world::{SOON, Setting, World};
use tests_fleet::eventually;
use tests_fleet::proxy::link::Fault;
use tests_fleet::proxy::trigger::{KillPoint, Moment};

use crate::hub::story;

/// A permit to the release's content.
fn forward(row: &Row) -> bool {
    let action = row.action.as_ref().unwrap_or(&Value::Null);
    row.kind == "PermitGranted" && action["action"]["direction"] == "Forward"
}

fn over(release: &Release) -> bool {
    release.phase.ended()
}

fn act(verb: Verb, key: &str) -> ActRequest {
    ActRequest {
        release: "app#1".to_owned(),
        verb: verb.into(),
        reason: "a storm".to_owned(),
        key: key.to_owned(),
        ..ActRequest::default()
    }
}

#[tokio::test]
async fn f12_two_hubs_agents_and_people_on_the_same_rows() {
    let setting = Setting {
        hubs: 2,
        waves: vec![2, 6],
        takes: Duration::from_millis(400),
        ..Setting::of("f12")
    };
    let mut world = World::up(setting).await.expect("a world");
    world.want(2);
    let open = |_: &Release| true;
    world.until(1, "is open", SOON, open).await.expect("open");
    let people = [
        world.person(0).await.expect("one"),
        world.person(1).await.expect("two"),
    ];
    let document = world.setting.document();
    let storm = (0..24_usize).map(async |index| {
        let mut person = people[index % 2].clone();
        let request = proto::v1::ApplyRequest {
            file_name: "storm.yaml".to_owned(),
            document: document.clone(),
            dry_run: false,
        };
        person.apply(request).await.expect("applied");
        let verb = if index % 3 == 0 {
            Verb::Resume
        } else {
            Verb::Pause
        };
        let key = format!("f12-{index}");
        // Obeyed or refused, but answered: never lost in somebody else's way.
        match person.act(act(verb, &key)).await {
            Ok(_) => {}
            Err(status) => assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status}"),
        }
    });
    join_all(storm).await;
    let mut person = people[0].clone();
    let _ = person.act(act(Verb::Resume, "f12-last")).await;
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    world.check().await;
}

/// A release in whose last wave the agent of the last cluster has ended.
async fn gone_in_mid_wave(setting: Setting) -> (World, Agent) {
    let mut world = World::up(setting).await.expect("a world");
    world.want(2);
    let flies = |release: &Release| release.targets[2].state.in_flight();
    let flies = world.until(1, "flies everywhere", SOON, flies);
    flies.await.expect("flies");
    let gone = world.agents[2].stop().await.expect("it ran");
    (world, gone)
}

#[tokio::test]
async fn f28_a_cluster_that_is_shut_out_in_the_middle_of_a_wave() {
    let setting = Setting {
        waves: vec![1, 2],
        takes: Duration::from_millis(700),
        spec: "  membership: {unreachable: {after: 2s, action: CountAsFailed}}\n",
        ..Setting::of("f28")
    };
    let (mut world, gone) = gone_in_mid_wave(setting).await;
    let mut person = world.person(0).await.expect("a person");
    let revoked = RevokeClusterRequest {
        cluster: "cluster-2".to_owned(),
        reason: "it was deleted".to_owned(),
    };
    person.revoke_cluster(revoked).await.expect("shut out");
    // Whoever still has its certificate is not let in.
    world.agents[2].start(gone.restarted());
    eventually("it is refused", SOON, async || {
        let refused = world.agents[2]
            .script
            .count(|seen| matches!(seen, Seen::Refused(_)));
        (refused > 0)
            .then_some(())
            .ok_or_else(|| "it is not".to_owned())
    })
    .await
    .expect("refused");
    // The release ends by the policy for a silent cluster: it is not good, and it stops nothing for ever.
    let ended = |release: &Release| release.phase == ReleasePhase::Halted || release.phase.ended();
    let release = world
        .until(1, "ends", SOON.saturating_mul(2), ended)
        .await
        .expect("L1");
    assert_eq!(release.targets[2].state, TargetState::Failed);
    assert_ne!(release.phase, ReleasePhase::Succeeded);
    let rows = rows(&world.store).await;
    let good = rows
        .iter()
        .filter(|row| row.kind == "TargetSucceeded" && row.cluster == "cluster-2");
    assert_eq!(good.count(), 0, "S1");
    world.agents[2].stop().await;
    world.until(1, "is over", SOON, over).await.expect("L1");
    World::check_store(&world.store).await;
}

#[tokio::test]
async fn f28_another_cluster_takes_the_name_of_one_that_was_deleted_in_the_middle_of_a_wave() {
    let setting = Setting {
        waves: vec![1, 2],
        takes: Duration::from_millis(700),
        ..Setting::of("f28-again")
    };
    let (mut world, gone) = gone_in_mid_wave(setting).await;
    world
        .replace(2, 1, "uid-of-another")
        .await
        .expect("it joins under the old name");
    // The same name, nothing of what was there: it takes part from the beginning, by its own permit and its own word.
    let release = world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    assert_eq!(release.targets[2].state, TargetState::Succeeded);
    assert_eq!(world.agents[2].permits(), 1, "it has one permit of its own");
    let rows = rows(&world.store).await;
    let of = |kind: &str| {
        let own = rows.iter().filter(|row| row.cluster == "cluster-2");
        own.filter(|row| row.kind == kind).count()
    };
    assert_eq!(of("TargetRestarted"), 1, "S10");
    assert_eq!(of("PermitGranted"), 2, "one each");
    assert_eq!(of("TargetSucceeded"), 1, "S1");
    // The former one, should it come back, is nobody.
    assert!(Puppet::of(&gone).await.is_err(), "L4");
    world.check().await;
}

#[tokio::test]
async fn f58_approvals_that_race_with_an_abort() {
    let setting = Setting {
        hubs: 2,
        wave_fields: vec![
            "",
            ", approval: {before: {required: 1, groups: [groundswell-admins]}}",
        ],
        ..Setting::of("f58")
    };
    let mut world = World::up(setting).await.expect("a world");
    world.want(2);
    let waits = |release: &Release| release.waves[1].phase == WavePhase::WaitingForApproval;
    let release = world.until(1, "asks", SOON, waits).await.expect("asks");
    let people = [
        world.person(0).await.expect("one"),
        world.person(1).await.expect("two"),
    ];
    let approvals = (0..6_usize).map(async |index| {
        let request = ApproveRequest {
            release: "app#1".to_owned(),
            wave: "wave-1".to_owned(),
            plan_digest: release.plan_digest.clone(),
            comment: String::new(),
            shown: None,
        };
        people[index % 2].clone().approve(request).await.is_ok()
    });
    let aborts = (0..2_usize).map(async |index| {
        let key = format!("f58-{index}");
        people[index]
            .clone()
            .act(act(Verb::Abort, &key))
            .await
            .is_ok()
    });
    let (_, aborted) = futures::future::join(join_all(approvals), join_all(aborts)).await;
    assert!(aborted.iter().any(|done| *done), "an abort is acknowledged");
    let ended = |release: &Release| release.phase.ended();
    world.until(1, "ends", SOON, ended).await.expect("L1");
    let rows = rows(&world.store).await;
    let abort = rows.iter().position(|row| row.kind == "ReleaseAborted");
    let abort = abort.expect("its row");
    let after = rows[abort..]
        .iter()
        .filter(|row| row.kind == "WaveStarted" || forward(row));
    assert_eq!(after.count(), 0, "S19");
    let before = rows[..abort].iter().filter(|row| forward(row));
    assert_ne!(before.count(), 0, "a permit is known by its row");
    let once = rows
        .iter()
        .filter(|row| row.kind == "ReleaseAborted")
        .count();
    assert_eq!(once, 1, "the second abort finds nothing to end");
    world.check().await;
}

#[tokio::test]
async fn f60_the_failure_that_is_one_too_many_comes_with_the_last_success() {
    // All of a wave end in the same moment; which of them is looked at first must not matter.
    for round in 0..3_usize {
        let setting = Setting {
            waves: vec![4, 1],
            wave_fields: vec![", budget: {maxFailed: 1}"],
            ..Setting::of("f60")
        };
        let mut world = World::up(setting).await.expect("a world");
        for bad in [round, round + 1] {
            world.agents[bad].script.fails(2);
        }
        world.want(2);
        let ended = |release: &Release| release.waves[0].phase == WavePhase::Failed;
        let release = world.until(1, "fails", SOON, ended).await.expect("S1");
        assert_eq!(world.agents[4].permits(), 0, "S1");
        let next = release.waves[1].phase;
        assert!(
            [WavePhase::Pending, WavePhase::Skipped].contains(&next),
            "S1"
        );
        world.until(1, "is over", SOON, over).await.expect("L1");
        World::check_store(&world.store).await;
    }
}

/// Under the word itself the hub dies before it has answered; under what follows from it, afterwards.
const ASKED: &str = "RollbackAsked";

async fn back(world: &mut World, release: u64, mark: &str) {
    let station = &mut world.hubs[0];
    let point = KillPoint {
        number: 1,
        moment: Moment::AfterReply,
        pid: station.hub.process().pid(),
    };
    station.commits.trigger().arm_at(mark, point);
    let mut person = world.person(0).await.expect("a person");
    let request = ActRequest {
        release: format!("app#{release}"),
        ..act(Verb::Rollback, &format!("back-{release}"))
    };
    // Asked again by the same key it is the same word. A hub that is killed right after its commit may have answered.
    let first = person.act(request.clone()).await;
    assert!(first.is_ok() || mark == ASKED, "{first:?}");
    let station = &mut world.hubs[0];
    station
        .commits
        .trigger()
        .struck(SOON)
        .await
        .expect("struck");
    station.hub.process().killed(SOON).await.expect("killed");
    station.commits.trigger().release();
    station.again().await.expect("the next life");
    let mut person = world.person(0).await.expect("a person");
    person.act(request).await.expect("obeyed, once");
    world
        .ends(release, ReleasePhase::RolledBack)
        .await
        .expect("L1");
}

#[tokio::test]
async fn f61_a_rollback_of_a_rollback_while_the_hub_dies() {
    let mut world = World::up(Setting::of("f61")).await.expect("a world");
    story(&mut world, 1, ReleasePhase::Succeeded).await;
    back(&mut world, 1, ASKED).await;
    // Forward again by another version, and back from that one, too.
    world.want(3);
    world.ends(2, ReleasePhase::Succeeded).await.expect("L1");
    back(&mut world, 2, "TargetRolledBack").await;
    let rows = rows(&world.store).await;
    let asked = rows
        .iter()
        .filter(|row| row.kind == "RollbackAsked")
        .count();
    assert_eq!(asked, 2, "F67: each word once");
    world.check().await;
}

#[tokio::test]
async fn f62_a_wave_of_which_nobody_is_heard() {
    let setting = Setting {
        waves: vec![2, 1],
        takes: Duration::from_millis(500),
        ..Setting::of("f62")
    };
    let mut world = World::up(setting).await.expect("a world");
    world.want(2);
    let flies = |release: &Release| {
        let targets = &release.targets[..2];
        targets.iter().all(|one| one.state.in_flight())
    };
    world.until(1, "flies", SOON, flies).await.expect("flies");
    for agent in &world.agents[..2] {
        agent.link.set(Fault::Cut);
    }
    // A cluster counts as connected for 15 s after its last word.
    let unknown = |release: &Release| {
        let targets = &release.targets[..2];
        targets.iter().all(|one| one.state == TargetState::Unknown)
    };
    let limit = SOON.saturating_mul(2);
    let release = world
        .until(1, "knows nothing", limit, unknown)
        .await
        .expect("it says so");
    assert_eq!(release.waves[0].phase, WavePhase::Running, "S1");
    world.looked().await.expect("looked");
    assert_eq!(world.agents[2].permits(), 0, "S1");
    for agent in &world.agents {
        agent.link.set(Fault::None);
    }
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    world.check().await;
}

#[tokio::test]
async fn f68_many_writers_at_the_head_of_one_chain_and_a_kill_between_row_and_head() {
    let setting = Setting {
        hubs: 2,
        ..Setting::of("f68")
    };
    let mut world = World::up(setting).await.expect("a world");
    let people = [
        world.person(0).await.expect("one"),
        world.person(1).await.expect("two"),
    ];
    let token = async |index: usize| {
        let request = CreateTokenRequest {
            cluster: format!("later-{index}"),
            ..CreateTokenRequest::default()
        };
        people[index % 2]
            .clone()
            .create_token(request)
            .await
            .is_ok()
    };
    let made = join_all((0..40).map(&token)).await;
    assert!(
        made.iter().all(|made| *made),
        "S22: each waits for its turn"
    );
    // Its row is written and its transaction is not committed.
    let station = &mut world.hubs[1];
    let point = KillPoint {
        number: 1,
        moment: Moment::BeforeForward,
        pid: station.hub.process().pid(),
    };
    station.commits.trigger().arm_at("TokenCreated", point);
    let made = join_all((40..60).map(&token)).await;
    let station = &mut world.hubs[1];
    station
        .commits
        .trigger()
        .struck(SOON)
        .await
        .expect("struck");
    station.hub.process().killed(SOON).await.expect("killed");
    station.commits.trigger().release();
    station.again().await.expect("the next life");
    assert!(
        made.iter().any(|made| !made),
        "the dead one's are not there"
    );
    let written = rows(&world.store).await;
    let written = written
        .iter()
        .filter(|row| row.kind == "TokenCreated")
        .count();
    // The clusters of the world came by tokens, too.
    let acknowledged = 40 + made.iter().filter(|made| **made).count() + world.agents.len();
    assert!(written >= acknowledged, "{written} of {acknowledged}");
    story(&mut world, 1, ReleasePhase::Succeeded).await;
    world.check().await;
}
