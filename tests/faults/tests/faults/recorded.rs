//! The version before (F3, F27, S14). In: the database of an older hub, recorded in the middle of a release: schema 14, from
//! before the history kept its actions. Out: this version takes it over as it stands, goes on, and its history is whole.
//! `UPDATE=1` records the database of the hub that is built now; rename it after its schema.

use std::time::Duration;

use hub_engine::release::{Release, ReleasePhase, TargetState, WavePhase};
use hub_store::approval::NewApproval;
use tests_faults::World;
use tests_faults::database::Database;
use tests_faults::saga::Saga;
use tests_faults::world::{SOON, Setting, outline};
use tests_fleet::eventually;

/// The newest one.
const RECORDED: &str = "schema-14.sql";
/// Waits for an approval of its second wave.
const CLUSTERS: [&str; 2] = ["cluster-0", "cluster-1"];

fn waits(release: &Release) -> bool {
    release.waves[1].phase == WavePhase::WaitingForApproval
}

async fn record() {
    let setting = Setting {
        waves: vec![1, 1],
        wave_fields: vec![
            ", bake: 1s",
            ", approval: {before: {required: 1, groups: [sre]}}",
        ],
        takes: Duration::from_millis(100),
        ..Setting::of("recorded")
    };
    let mut world = World::up(setting).await.expect("a world");
    world.want(2);
    world.until(1, "asks", SOON, waits).await.expect("asks");
    world
        .database
        .record("recorded.sql")
        .await
        .expect("written");
}

#[tokio::test]
async fn f27_the_database_of_the_version_before_is_taken_over_in_mid_release() {
    if std::env::var_os("UPDATE").is_some() {
        record().await;
    }
    let database = Database::shared().await.expect("a database");
    database.fill(RECORDED).await.expect("as it was recorded");
    let mut saga = Saga::adopt(database, &CLUSTERS, 2).await;
    let release = saga.release().await.expect("its release");
    assert_eq!(release.phase, ReleasePhase::Progressing);
    assert!(waits(&release));
    assert_eq!(release.targets[0].state, TargetState::Succeeded);
    saga.rest().await;
    let still = saga.release().await.expect("its release");
    assert!(waits(&still), "nothing was decided that was not asked for");
    approved(&mut saga).await;
    // The next one is this version's own from its first row on.
    saga.want(None);
    eventually("its second wave asks", SOON, async || {
        saga.rest().await;
        let release = saga.release().await.ok_or("there is none")?;
        waits(&release)
            .then_some(())
            .ok_or_else(|| outline(&release).join(", "))
    })
    .await
    .expect("its bake ends");
    approved(&mut saga).await;
    assert_eq!(saga.end().await.serves, [true, true]);
    tests_faults::history::whole(saga.store()).await;
}

/// Somebody agrees to the second wave, and the release passes.
async fn approved(saga: &mut Saga) {
    let release = saga.release().await.expect("a release");
    let approval = NewApproval {
        release: release.id.clone(),
        wave: Some("wave-1".into()),
        plan_digest: release.plan_digest.clone(),
        person: "ann".into(),
        groups: vec!["sre".into()],
        comment: String::new(),
        shown: release.waves.get(1).map(|wave| release.shown(wave)),
    };
    saga.store()
        .approval_add(&approval)
        .await
        .expect("approved");
    saga.rest().await;
    let ended = saga.release().await.expect("the release");
    assert_eq!(ended.phase, ReleasePhase::Succeeded);
}
