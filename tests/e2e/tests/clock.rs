//! An agent whose wall clock is set in mid-canary, an hour forward and an hour back (F52). In: a clock of its own. Out: each
//! pause lasts as long as its step says: it is not over at once, and not an hour late. A clock that is ahead when a permit
//! comes starts nothing, says why in the cluster and at the hub, and what it waits for begins as soon as it is set right (S12).

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::fleet::{Fleet, RELEASE, revised, state};
use tests_e2e::lane::{self, Lane};
use tests_e2e::object::{number, text};
use tests_e2e::shop::NAME;
use tests_fleet::clock::Clock;
use tests_fleet::{AgentOptions, HubOptions, RunDir, eventually};

/// Instance id and namespace.
const ID: &str = "clock";
const HOUR: i64 = 3_600;
/// Of each pause: longer than a busy machine takes to show that it began.
const PAUSE: i64 = 10;

#[tokio::test]
async fn a_pause_lasts_its_length_whatever_the_clock_is_set_to() {
    let shared = Shared::get().await.expect("the shared cluster");
    let clock = Clock::right(shared.run(), ID).expect("a clock");
    let options = AgentOptions {
        environment: clock.environment(),
        ..lane::options(shared, ID)
    };
    let lane = Lane::open_with(shared, ID, &options).await;
    let lane = lane.expect("an agent");
    let shop = &lane.shop;
    let steps = json!([
        {"setWeight": 20}, {"pause": {"duration": PAUSE}},
        {"setWeight": 60}, {"pause": {"duration": PAUSE}},
    ]);
    shop.first("v1", &steps).await.expect("the first version");
    shop.deploy("v2", &steps).await.expect("the second version");
    for (step, from, to) in [(1, 0, HOUR), (3, HOUR, 0)] {
        let paused = shop.paused_at(step).await.expect("in a pause");
        let begun = text(&paused, "/status/pauseConditions/0/startTime");
        let begun: Timestamp = begun.parse().expect("a time");
        clock.set(to).expect("set");
        // Something to look at, with the clock as it is now.
        let touch = json!({"metadata": {"annotations": {"touched": step.to_string()}}});
        shop.patch(&touch).await.expect("touched");
        let over = |rollout: &Value| number(rollout, "/status/currentStepIndex") > step;
        shop.until("behind the pause", over).await.expect("goes on");
        let begun = begun - SignedDuration::from_secs(from);
        let lasted = Timestamp::now().duration_since(begun);
        assert!(lasted.as_secs() >= PAUSE, "S12: step {step}: {lasted:#}");
    }
    shop.healthy("v2").await.expect("healthy");
    lane.close().await.expect("its rights are enough");
}

/// Waits until the hub says this of its one cluster.
async fn noted(fleet: &Fleet, what: &str, wanted: impl Fn(&str) -> bool) {
    eventually(what, RELEASE, async || {
        let clusters = fleet.admin.json(&["get", "clusters"]).await;
        let clusters = clusters.map_err(|error| error.to_string())?;
        match text(&clusters, "/0/note") {
            note if wanted(note) => Ok(()),
            note => Err(note.to_owned()),
        }
    })
    .await
    .expect("it says so");
}

#[tokio::test]
async fn a_permit_that_is_over_by_a_clock_that_is_ahead_waits_for_the_clock() {
    let run = RunDir::temporary("ahead-clock").expect("a folder");
    let clock = Clock::right(&run, "agent").expect("a clock");
    let agent = AgentOptions {
        environment: clock.environment(),
        ..AgentOptions::default()
    };
    let hub = HubOptions {
        lease_seconds: 10,
        ..HubOptions::default()
    };
    let fleet = Fleet::up_with("ahead", &["one"], &hub, &agent, async |hub| Ok(hub.url()));
    let mut fleet = fleet.await.expect("a fleet");
    let intent = json!({
        "apiVersion": "fleet.groundswell.dev/v1alpha1",
        "kind": "FleetRollout",
        "metadata": {"name": NAME},
        "spec": {
            "rollout": {"namespace": NAME, "name": NAME},
            "enforcement": "Enforce",
            "waves": [{"name": "all", "bake": "1s"}],
            "progressDeadline": "10m",
        },
    });
    fleet.apply(&intent).await.expect("stored");
    let shops = fleet.shops(NAME).await.expect("a namespace");
    let shop = shops.first().expect("one cluster");
    let steps = json!([{"setWeight": 20}, {"pause": {"duration": 1}}]);
    let push = async |version| {
        let manifest = revised(shop.manifest(version, &steps), version);
        shop.apply(&manifest).await
    };
    push("v1").await.expect("applied");
    shop.healthy("v1").await.expect("a first deploy is free");

    clock.set(HOUR).expect("set");
    noted(&fleet, "the hub knows of the clock", |note| {
        // What the way of a heartbeat takes makes it a little less.
        note.starts_with("ClockOff: its clock is ") && note.contains(" ahead of the database's")
    })
    .await;
    push("v2").await.expect("applied");
    let said = shop.until("says why it waits", |rollout| {
        text(rollout, "/status/message").starts_with("permitted by release checkout#1, but ")
    });
    let said = said.await.expect("it says so");
    let said = text(&said, "/status/message");
    assert!(said.contains("this cluster's clock, which is 1h"), "{said}");
    let release = fleet.release("checkout#1").await.expect("the release");
    assert_eq!(state(&release, "one"), "Permitted");
    assert!(
        release.to_string().contains("ahead of the database's"),
        "{release}"
    );
    let pods = shop.pods().await.expect("pods");
    let begun = pods.keys().any(|image| image.ends_with("v2"));
    assert!(!begun, "S12: {pods:?}");

    clock.set(0).expect("set right");
    shop.healthy("v2").await.expect("goes on by itself");
    fleet.ends("checkout#1", "Succeeded").await.expect("done");
    noted(&fleet, "the hub knows that it is right", str::is_empty).await;
    fleet.check().expect("no fault");
}
