//! An agent whose wall clock is set in mid-canary or in an Experiment, an hour forward and an hour back (F52). In: a clock of
//! its own. Out: each pause lasts as long as its step says, and an Experiment as its duration: it is not over at once, and not
//! an hour late. A cluster whose clock is ahead when a release comes gets no permit in vain; the hub says why, and what it waits
//! for begins as soon as the clock is set right (S12).

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::fleet::{Fleet, RELEASE, revised, state};
use tests_e2e::lane::{self, Lane};
use tests_e2e::object::{Kind, number, text};
use tests_e2e::shop::{NAME, SOON, Shop};
use tests_fleet::clock::Clock;
use tests_fleet::{AgentOptions, HubOptions, Result, RunDir, eventually};

/// Instance id and namespace.
const ID: &str = "clock";
const HOUR: i64 = 3_600;
/// Of each pause and Experiment: longer than a busy machine takes to show that it began.
const PAUSE: i64 = 10;

#[tokio::test]
async fn what_lasts_a_while_lasts_it_whatever_the_clock_is_set_to() {
    let shared = Shared::get().await.expect("the shared cluster");
    let clock = Clock::right(shared.run(), ID).expect("a clock");
    let options = AgentOptions {
        environment: clock.environment(),
        ..lane::options(shared, ID)
    };
    let lane = Lane::open_with(shared, ID, &options).await;
    let lane = lane.expect("an agent");
    pauses(&lane.shop, &clock).await;
    experiments(&lane.shop, &clock).await;
    lane.close().await.expect("its rights are enough");
}

async fn pauses(shop: &Shop, clock: &Clock) {
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
}

async fn experiments(shop: &Shop, clock: &Clock) {
    let template = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate",
        "metadata": {"name": "there", "namespace": shop.namespace()},
        "spec": {"metrics": [{
            "name": "there", "count": 3, "interval": "3s", "successCondition": "result[0] >= 0",
            "provider": {"prometheus": {"query": "vector(0)"}},
        }]},
    });
    shop.apply(&template).await.expect("a template");
    for (name, from, to) in [("forward", 0, HOUR), ("back", HOUR, 0)] {
        let begun = begin(shop, name).await.expect("it runs");
        let begun = text(&begun, "/status/availableAt");
        let begun: Timestamp = begun.parse().expect("a time");
        clock.set(to).expect("set");
        let touch = json!({"metadata": {"annotations": {"touched": name}}});
        let touched = shop.patch_named(Kind::Experiment, name, &touch).await;
        touched.expect("touched");
        becomes(shop, name, "Successful").await.expect("it ends");
        let begun = begun - SignedDuration::from_secs(from);
        let lasted = Timestamp::now().duration_since(begun);
        assert!(lasted.as_secs() >= PAUSE, "S12: {name}: {lasted:#}");
    }
}

/// An Experiment with an analysis that measures three times within its duration.
async fn begin(shop: &Shop, name: &str) -> Result<Value> {
    let manifest = shop.manifest("v1", &json!([]));
    let pods = manifest.pointer("/spec/template").cloned();
    shop.apply(&shop.labelled(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Experiment",
        "metadata": {"name": name, "namespace": shop.namespace()},
        "spec": {
            "duration": format!("{PAUSE}s"), "scaleDownDelaySeconds": 0,
            "templates": [{
                "name": "one", "selector": {"matchLabels": {"app": NAME}}, "template": pods.unwrap_or_default(),
            }],
            "analyses": [{"name": "there", "templateName": "there", "requiredForCompletion": true}],
        },
    })))
    .await?;
    becomes(shop, name, "Running").await
}

async fn becomes(shop: &Shop, name: &str, phase: &str) -> Result<Value> {
    eventually(&format!("{name} is {phase}"), SOON, async || {
        let found = shop.named(Kind::Experiment, name).await;
        let found = found.map_err(|error| error.to_string())?;
        let is = text(&found, "/status/phase").to_owned();
        if is == phase { Ok(found) } else { Err(is) }
    })
    .await
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
async fn a_cluster_whose_clock_is_ahead_is_permitted_once_it_is_right() {
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
    eventually("the release says why it waits", RELEASE, async || {
        let release = fleet.release("checkout#1").await;
        let release = release.map_err(|error| error.to_string())?;
        let said = release.to_string();
        let why = "not permitted, for its agent would not start: the cluster's clock is ";
        match state(&release, "one") {
            "Held" if said.contains(why) => Ok(()),
            _ => Err(said),
        }
    })
    .await
    .expect("it says so");
    let waits = shop.until("waits for its wave", |rollout| {
        text(rollout, "/status/message").starts_with("waiting for wave 1 of 1 (all)")
    });
    waits.await.expect("it waits");
    let pods = shop.pods().await.expect("pods");
    let begun = pods.keys().any(|image| image.ends_with("v2"));
    assert!(!begun, "S12: {pods:?}");

    clock.set(0).expect("set right");
    shop.healthy("v2").await.expect("goes on by itself");
    fleet.ends("checkout#1", "Succeeded").await.expect("done");
    noted(&fleet, "the hub knows that it is right", str::is_empty).await;
    fleet.check().expect("no fault");
}
