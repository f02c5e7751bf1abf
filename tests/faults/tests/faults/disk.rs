//! A database whose disk is full (F11). In: a disk that fills in the middle of a release, under the tables or under the log. Out:
//! the hub starts nothing and says why to whoever asks; with room again the release comes to the end that it has without.

use std::time::Duration;

use hub_engine::release::{Release, ReleasePhase};
use proto::v1::ListClustersRequest;
use tests_faults::agents::Player;
use tests_faults::database::Database;
use tests_faults::world::{SOON, Setting, World};
use tests_fleet::{RunDir, eventually};
use tonic::Code;

use crate::hub::story;
use crate::postgres::same_end;

/// What PostgreSQL says of a full disk.
const FULL: &str = "No space left on device";
/// A page of the history has room for a row or two, as at the end of a full one: next to nothing fits into what is allocated.
const FULL_PAGES: &str = "alter table history set (fillfactor = 10)";
/// Of the first release in all three clusters, and of the second in its first wave.
const PERMITTED: usize = 3 + 1;

/// A release without a fault, and a second one whose first cluster is under way; and what the first came to.
async fn in_the_middle(test: &'static str) -> (World, Release) {
    let setting = Setting {
        wave_fields: vec![", bake: 2s"],
        takes: Duration::from_secs(1),
        ..Setting::of(test)
    };
    let run = RunDir::temporary(test).expect("a folder");
    let database = Database::on_a_disk(&run).await.expect("a database");
    let world = World::hubs_on(setting, run, database).await;
    let mut world = world.expect("hubs");
    world.members().await.expect("clusters");
    let full = world.database.psql(&[FULL_PAGES]).await;
    full.expect("few rows a page");
    let clean = story(&mut world, 1, ReleasePhase::Succeeded).await;
    world.want(3);
    let flies = |release: &Release| release.targets[0].state.in_flight();
    world.until(2, "flies", SOON, flies).await.expect("flies");
    (world, clean)
}

fn fill(world: &mut World) {
    let disk = world.database.own_server().disk().expect("a disk");
    disk.fill().expect("full");
}

fn make_room(world: &mut World) {
    let disk = world.database.own_server().disk().expect("a disk");
    disk.make_room().expect("room");
}

fn permits(world: &World) -> usize {
    world.agents.iter().map(Player::permits).sum()
}

#[tokio::test]
async fn f11_a_disk_that_is_full_under_the_tables_stops_every_start() {
    let (mut world, clean) = in_the_middle("f11-tables").await;
    fill(&mut world);
    let said = world.hubs[0].hub.process().said(FULL, SOON).await;
    said.expect("it says so, once");
    let server = world.database.own_server();
    eventually("it is refused again and again", SOON, async || {
        let refused = server.log().matches(FULL).count();
        (refused >= 4)
            .then_some(())
            .ok_or_else(|| format!("{refused} times"))
    })
    .await
    .expect("it tries");

    let mut person = world.person(0).await.expect("a person");
    let listed = person.list_clusters(ListClustersRequest {}).await;
    let listed = listed.expect("what can be read is shown").into_inner();
    assert_eq!(listed.clusters.len(), 3);
    let document = world.setting.document().replacen("100%", "99%", 1);
    let refused = world.apply(&document).await.expect_err("no room");
    let refused = refused.to_string();
    for words in [
        FULL,
        "make room there",
        "the hub starts nothing until it does",
    ] {
        assert!(refused.contains(words), "{refused}");
    }
    let release = world.release(2).await.expect("it is there");
    assert_eq!(release.phase, ReleasePhase::Progressing);
    assert!(permits(&world) <= PERMITTED, "S14");

    make_room(&mut world);
    same_end(&mut world, &clean).await;
}

/// The log cannot grow: PostgreSQL ends itself rather than promise a commit, and does not come back before there is room.
#[tokio::test]
async fn f11_a_disk_that_is_full_under_the_log_loses_nothing() {
    let (mut world, clean) = in_the_middle("f11-log").await;
    fill(&mut world);
    // What comes next needs another segment. Who asks for it may be told that it was, or not live to hear it.
    let _ = world.database.psql(&["select pg_switch_wal()"]).await;
    let server = world.database.own_server();
    let panicked = server.said("PANIC", SOON).await.expect("it ends itself");
    assert!(panicked.contains(FULL), "{panicked}");
    let refused = eventually("nobody can answer", SOON, async || {
        let mut person = world.person(0).await.map_err(|error| error.to_string())?;
        let listed = person.list_clusters(ListClustersRequest {}).await;
        listed.err().ok_or_else(|| "it is there".to_owned())
    });
    let refused = refused.await.expect("a sentence");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    let words = "the hub starts nothing until it does";
    assert!(refused.message().contains(words), "{refused}");
    assert!(permits(&world) <= PERMITTED, "S14");

    let server = world.database.own_server();
    server.stop().await.expect("at its end");
    make_room(&mut world);
    let run = RunDir::temporary("f11-log-again").expect("a folder");
    let server = world.database.own_server();
    server.again(&run).await.expect("it recovers");
    same_end(&mut world, &clean).await;
}
