//! Faults of the hubs' database (F6–F15). In: crashes, lost replies, backups, a slow or silent network, refused writes. Out:
//! the hub waits, starts nothing that it could not commit, goes on by itself, and asks a person after a restore.

use std::time::{Duration, Instant};

use futures::future::join_all;
use hub_engine::release::{Release, ReleasePhase};
use hub_store::Store;
use proto::v1::{ListClustersRequest, RecoverHubRequest};
use tests_faults::agents::Player;
use tests_faults::database::Database;
use tests_faults::history::{kinds, whole};
use tests_faults::world::{SOON, Setting, World, outline};
use tests_fleet::pooler::Mode;
use tests_fleet::proxy::link::Fault;
use tests_fleet::proxy::postgres::PostgresProxy;
use tests_fleet::proxy::trigger::{KillPoint, Moment};
use tests_fleet::{RunDir, eventually};

use crate::hub::{FORWARD, same, story};

/// A call of a person ends within this, whatever the database does: a connection is waited for 3 s, a statement 5 s.
const ANSWER: Duration = Duration::from_secs(12);

/// The database lost `app#2`, the agents did not: its number is never given again (L5).
const AFTER_THE_LOST: u64 = 3;

fn baked(test: &'static str) -> Setting {
    Setting {
        wave_fields: vec![", bake: 1s"],
        ..Setting::of(test)
    }
}

#[tokio::test]
async fn f06_a_database_that_is_killed_in_the_middle_of_a_transaction() {
    let setting = Setting {
        own_server: true,
        ..baked("f06")
    };
    let mut world = World::up(setting).await.expect("a world");
    let clean = story(&mut world, 1, ReleasePhase::Succeeded).await;
    let mut moment = Moment::BeforeForward;
    for mark in [
        "ReleaseOpened",
        "PermitGranted",
        "TargetSucceeded",
        "WavePassed",
    ] {
        let pid = world.database.own_server().pid();
        let point = KillPoint {
            number: 1,
            moment,
            pid,
        };
        let trigger = world.hubs[0].commits.trigger();
        trigger.arm_at(mark, point);
        if mark == "ReleaseOpened" {
            world.want(3);
        }
        let trigger = world.hubs[0].commits.trigger();
        trigger.struck(SOON).await.expect("struck");
        let (database, run) = (&mut world.database, RunDir::temporary("f06-again"));
        let run = run.expect("a folder");
        let started = database.own_server().after_kill(&run).await;
        started.expect("it recovers");
        world.hubs[0].commits.trigger().release();
        moment = match moment {
            Moment::BeforeForward => Moment::AfterReply,
            Moment::AfterReply | Moment::LostReply | Moment::Silent | Moment::SilentReply => {
                Moment::BeforeForward
            }
        };
    }
    same_end(&mut world, &clean).await;
}

/// The second release comes to the end of the first, which was without a fault, and the hub has lived through it.
pub async fn same_end(world: &mut World, clean: &Release) {
    let end = world.ends(2, ReleasePhase::Succeeded).await.expect("L1");
    assert_eq!(outline(clean), outline(&end));
    same(
        &kinds(&world.store, "app#1").await,
        &kinds(&world.store, "app#2").await,
    );
    world.hubs[0].hub.process().must_run().expect("it lives");
    world.check().await;
}

#[tokio::test]
async fn f07_a_commit_whose_reply_is_lost_is_done_once() {
    let mut world = World::up(baked("f07")).await.expect("a world");
    let clean = story(&mut world, 1, ReleasePhase::Succeeded).await;
    let clean_kinds = kinds(&world.store, "app#1").await;
    for (number, mark) in (2..).zip(FORWARD) {
        let trigger = world.hubs[0].commits.trigger();
        let before = trigger.lost();
        let point = KillPoint {
            number: 1,
            moment: Moment::LostReply,
            pid: 0,
        };
        trigger.arm_at(mark, point);
        let other = story(&mut world, number, ReleasePhase::Succeeded).await;
        let lost = world.hubs[0].commits.trigger().lost();
        assert_eq!(lost, before + 1, "{mark}");
        assert_eq!(outline(&clean), outline(&other), "{mark}");
        same(
            &clean_kinds,
            &kinds(&world.store, &format!("app#{number}")).await,
        );
    }
    world.check().await;
}

/// Waits until the database says that it holds what every agent wants now, and nothing is decided on it.
async fn held(world: &World, words: &str) {
    eventually("nothing is decided", SOON, async || {
        let unsettled = "select count(*) from changes where not settled";
        let unsettled = world.database.psql(&[unsettled]).await;
        let unsettled = unsettled.map_err(|error| error.to_string())?;
        let why = world
            .store
            .held()
            .await
            .map_err(|error| error.to_string())?;
        match why {
            Some(why) if why.contains(words) && unsettled.trim() == "3" => Ok(()),
            other => Err(format!("{unsettled} changes; {other:?}")),
        }
    })
    .await
    .expect("held");
}

async fn recover(world: &World) {
    let request = RecoverHubRequest {
        reason: "the backup of tonight".to_owned(),
    };
    let mut person = world.person(0).await.expect("a person");
    let recovered = person.recover_hub(request).await.expect("recovered");
    let message = recovered.into_inner().message;
    assert!(message.contains("goes on in incarnation "), "{message}");
}

/// Every stream breaks, and every agent is handed the newest head of the history.
async fn agents_return(world: &World) {
    let sessions: Vec<usize> = world.agents.iter().map(Player::sessions).collect();
    for agent in &world.agents {
        agent.link.break_off();
    }
    again(world, &sessions).await;
}

/// Every agent has a newer session than these.
async fn again(world: &World, sessions: &[usize]) {
    eventually("all are back", SOON, async || {
        let behind = world.agents.iter().zip(sessions);
        let behind = behind.filter(|(agent, before)| agent.sessions() <= **before);
        match behind.count() {
            0 => Ok(()),
            count => Err(format!("{count} are not")),
        }
    })
    .await
    .expect("back");
}

/// After the recovery every agent comes back twice: it brings a head of a history that is lost, and then one that is not.
async fn come_back(world: &World) {
    for time in ["first", "second"] {
        agents_return(world).await;
        let held = world.store.held().await.expect("asked");
        assert_eq!(
            held, None,
            "an old head is no second restore, the {time} time"
        );
    }
}

#[tokio::test]
async fn f08_a_failover_that_lost_transactions_waits_for_a_person() {
    let setting = Setting {
        own_server: true,
        ..Setting::of("f08")
    };
    let mut world = World::up(setting).await.expect("a world");
    story(&mut world, 1, ReleasePhase::Succeeded).await;
    world.database.own_server().backup().await.expect("a copy");
    story(&mut world, 2, ReleasePhase::Succeeded).await;
    agents_return(&world).await;
    let run = RunDir::temporary("f08-standby").expect("a folder");
    let server = world.database.own_server();
    server.restore_as_standby(&run).await.expect("a standby");
    world.want(4);
    server_promoted(&mut world).await;
    held(&world, "restored").await;
    let permits = permits(&world);
    recover(&world).await;
    let ends = world.ends(AFTER_THE_LOST, ReleasePhase::Succeeded);
    ends.await.expect("L1");
    assert!(self::permits(&world) > permits);
    come_back(&world).await;
    world.check().await;
}

async fn server_promoted(world: &mut World) {
    let server = world.database.own_server();
    server.promote().await.expect("promoted");
}

fn permits(world: &World) -> usize {
    world.agents.iter().map(Player::permits).sum()
}

#[tokio::test]
async fn f09_a_restored_backup_waits_for_a_person() {
    restored_backup("f09", Streams::New).await;
}

/// The sessions of the copy go on as if nothing had been: the hub knows what it sent in them.
#[tokio::test]
async fn f09_a_backup_in_which_every_session_is_the_current_one() {
    restored_backup("f09-current", Streams::OfTheCopy).await;
}

/// Since when the agents' streams are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streams {
    OfTheCopy,
    New,
}

async fn restored_backup(test: &'static str, streams: Streams) {
    let setting = Setting {
        own_server: true,
        ..Setting::of(test)
    };
    let mut world = World::up(setting).await.expect("a world");
    story(&mut world, 1, ReleasePhase::Succeeded).await;
    world.database.own_server().backup().await.expect("a copy");
    story(&mut world, 2, ReleasePhase::Succeeded).await;
    if streams == Streams::New {
        agents_return(&world).await;
    }
    let run = RunDir::temporary(&format!("{test}-restored")).expect("a folder");
    let server = world.database.own_server();
    server.restore(&run).await.expect("restored");
    if streams == Streams::New {
        agents_return(&world).await;
    }
    world.want(4);
    held(&world, "restored from a backup").await;
    recover(&world).await;
    let ends = world.ends(AFTER_THE_LOST, ReleasePhase::Succeeded);
    ends.await.expect("L1");
    come_back(&world).await;
    world.check().await;
}

/// A copy so fresh that no agent holds more than it: what agents had said since is told again, and nobody has to do anything.
#[tokio::test]
async fn f09_what_was_said_since_a_fresh_copy_is_said_again() {
    let mut world = World::up(Setting::of("f09-fresh")).await.expect("a world");
    story(&mut world, 1, ReleasePhase::Succeeded).await;
    let sessions: Vec<usize> = world.agents.iter().map(Player::sessions).collect();
    let copied = "update cluster_sessions set reported = reported - 1";
    let lost = "update rollouts set state = jsonb_set(state, '{served}', '\"v1:before\"')";
    let put_back = world.database.psql(&[copied, lost]).await;
    put_back.expect("put back");
    again(&world, &sessions).await;
    let lost = "select count(*) from rollouts where state->>'served' = 'v1:before'";
    let lost = world.database.psql(&[lost]).await.expect("asked");
    assert_eq!(lost.trim(), "0");
    assert_eq!(world.store.held().await.expect("asked"), None);
    story(&mut world, 2, ReleasePhase::Succeeded).await;
    world.check().await;
}

#[tokio::test]
async fn f10_a_slow_database_makes_everything_late_and_nothing_wrong() {
    let setting = Setting {
        waves: vec![1, 5],
        ..Setting::of("f10")
    };
    let mut world = World::up(setting).await.expect("a world");
    // Each of some hundred statements of a decision 30 ms late.
    world.hubs[0]
        .link
        .set(Fault::Delay(Duration::from_millis(15)));
    story(&mut world, 1, ReleasePhase::Succeeded).await;
    // So late that the lease to decide cannot be held.
    world.hubs[0]
        .link
        .set(Fault::Delay(Duration::from_millis(2500)));
    world.want(3);
    let said = world.hubs[0]
        .hub
        .process()
        .said("no longer decides", SOON)
        .await;
    said.expect("S5");
    world.hubs[0].link.set(Fault::None);
    world.ends(2, ReleasePhase::Succeeded).await.expect("L1");
    world.check().await;
}

#[tokio::test]
async fn f10_a_pool_that_is_exhausted_answers_people_and_recovers() {
    let mut world = World::up(Setting::of("f10-pool")).await.expect("a world");
    let person = world.person(0).await.expect("a person");
    world.hubs[0].link.set(Fault::Hold);
    // More than the pool has connections.
    let asked = (0..24).map(async |_| {
        let begin = Instant::now();
        let answer = person.clone().list_clusters(ListClustersRequest {}).await;
        (answer.map(drop), begin.elapsed())
    });
    let limit = tokio::time::timeout(ANSWER.saturating_mul(2), join_all(asked));
    for (answer, took) in limit.await.expect("every call ends") {
        let status = answer.expect_err("the database does not answer");
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
        assert!(took < ANSWER, "{took:?}");
    }
    world.hubs[0].link.set(Fault::None);
    story(&mut world, 1, ReleasePhase::Succeeded).await;
    world.check().await;
}

#[tokio::test]
async fn f10_connections_that_fell_silent_are_given_up() {
    let mut world = World::up(Setting::of("f10-silent")).await.expect("a world");
    world.hubs[0].link.silence();
    story(&mut world, 1, ReleasePhase::Succeeded).await;
    world.check().await;
}

#[tokio::test]
async fn f11_a_database_that_refuses_to_write_stops_every_start() {
    let mut world = World::up(Setting::of("f11")).await.expect("a world");
    let name = world.database.name().to_owned();
    let read_only = |on: &str| {
        let set = format!("alter database {name} set default_transaction_read_only = {on}");
        let end = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}' \
             and pid <> pg_backend_pid() and application_name = 'groundswell-hub'"
        );
        [set, end]
    };
    let on = read_only("on");
    let on: Vec<&str> = on.iter().map(String::as_str).collect();
    world.database.psql(&on).await.expect("read only");
    let renewals = renewals(&world);
    world.want(2);
    let said = world.hubs[0].hub.process().said("read-only", SOON).await;
    said.expect("it says so");
    // The streams are kept, and nobody's lease is renewed by a hub that cannot commit.
    eventually("several words of every agent wait", SOON, async || {
        let log = world.hubs[0].hub.log();
        let waits = log.matches("reports wait").count();
        (waits >= 6).then_some(()).ok_or_else(|| format!("{waits}"))
    })
    .await
    .expect("heard");
    assert_eq!(self::renewals(&world), renewals);
    assert!(world.release(1).await.is_none(), "nothing was decided");
    let off = read_only("off");
    let off = ["set default_transaction_read_only = off", &off[0], &off[1]];
    world.database.psql(&off).await.expect("writable");
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    world.check().await;
}

fn renewals(world: &World) -> usize {
    world.agents.iter().map(Player::renewals).sum()
}

#[tokio::test]
async fn f13_on_a_standby_people_are_answered_and_nothing_is_decided() {
    let setting = Setting {
        own_server: true,
        ..Setting::of("f13")
    };
    let mut world = World::up(setting).await.expect("a world");
    world.database.own_server().backup().await.expect("a copy");
    let run = RunDir::temporary("f13-standby").expect("a folder");
    let server = world.database.own_server();
    server.restore_as_standby(&run).await.expect("a standby");
    world.want(2);
    let said = world.hubs[0].hub.process();
    let said = said.said("in a read-only transaction", SOON).await;
    said.expect("it cannot write");
    eventually("people are answered", SOON, async || {
        let mut person = world.person(0).await.map_err(|error| error.to_string())?;
        let listed = person.list_clusters(ListClustersRequest {}).await;
        let listed = listed.map_err(|status| status.to_string())?;
        match listed.into_inner().clusters.len() {
            3 => Ok(()),
            count => Err(format!("{count} clusters")),
        }
    })
    .await
    .expect("S21");
    assert!(world.release(1).await.is_none(), "S8");
    assert_eq!(permits(&world), 0, "S8");
    whole(&world.store).await;
}

#[tokio::test]
async fn f14_a_pooler_that_keeps_sessions_changes_nothing() {
    let setting = Setting {
        hubs: 2,
        pooler: Some(Mode::Session),
        takes: Duration::from_millis(800),
        ..Setting::of("f14")
    };
    let mut world = World::up(setting).await.expect("a world");
    assert!(world.pooled());
    // Every limit that keeps a hung transaction from outliving a lease is in force.
    let open = "select count(*) from pg_stat_activity where application_name = 'groundswell-hub' \
                and datname = current_database()";
    let open = world.database.psql(&[open]).await.expect("asked");
    assert_ne!(open.trim(), "0");
    let leader = world.leader().await.expect("a leader");
    world.want(2);
    let flies = |release: &Release| release.targets[0].state.in_flight();
    world.until(1, "flies", SOON, flies).await.expect("flies");
    world.hubs[leader]
        .hub
        .process()
        .kill()
        .await
        .expect("killed");
    world.ends(1, ReleasePhase::Succeeded).await.expect("L1");
    world.hubs[leader].again().await.expect("back");
    story(&mut world, 2, ReleasePhase::Succeeded).await;
    world.check().await;
}

#[tokio::test]
async fn f14_a_pooler_that_takes_sessions_apart_is_refused() {
    let setting = Setting {
        pooler: Some(Mode::Transaction),
        ..Setting::of("f14-transaction")
    };
    let error = World::up(setting).await.expect_err("refused").to_string();
    assert!(error.contains("transaction pooling"), "{error}");
}

#[tokio::test]
async fn f15_two_hubs_that_migrate_an_empty_database_at_once() {
    let setting = Setting {
        hubs: 2,
        ..Setting::of("f15")
    };
    let run = RunDir::temporary("f15").expect("a folder");
    let database = Database::shared().await.expect("a database");
    let url = database.url_at(database.address());
    // As other hubs do when they start; each waits for the one before it.
    let rivals = (0..3).map(async |_| Store::connect(&url).expect("a URL").migrate().await);
    let (world, rivals) =
        futures::future::join(World::hubs_on(setting, run, database), join_all(rivals)).await;
    for rival in rivals {
        rival.expect("migrated, or there already");
    }
    let mut world = world.expect("a world");
    world.members().await.expect("clusters");
    story(&mut world, 1, ReleasePhase::Succeeded).await;
    world.check().await;
}

#[tokio::test]
async fn f15_a_migration_that_is_killed_between_its_statements_is_done_by_the_next_life() {
    let run = RunDir::temporary("f15-cut").expect("a folder");
    let database = Database::shared().await.expect("a database");
    let moments = [Moment::BeforeForward, Moment::AfterReply];
    for (number, moment) in [1, 2, 3]
        .into_iter()
        .flat_map(|at| moments.map(|one| (at, one)))
    {
        let proxy = PostgresProxy::start(database.address())
            .await
            .expect("a proxy");
        let point = KillPoint {
            number,
            moment,
            pid: 0,
        };
        proxy.trigger().arm(Some(point));
        let dying = Store::connect(&database.url_at(proxy.address())).expect("a URL");
        dying.migrate().await.expect_err("cut off");
        proxy.trigger().struck(SOON).await.expect("struck");
    }
    let setting = Setting::of("f15-cut");
    let mut world = World::hubs_on(setting, run, database).await.expect("hubs");
    world.members().await.expect("clusters");
    story(&mut world, 1, ReleasePhase::Succeeded).await;
    world.check().await;
}
