//! Releases through a fleet of two real clusters. In: manifests applied to both at once, an approval, verbs of a person in a
//! cluster. Out: which pods ever started where, and what the releases ended as.

mod again;
mod blue_green;
mod secrets;

use jiff::Timestamp;
use serde_json::{Value, json};
use tests_e2e::deed;
use tests_e2e::fleet::{Fleet, approval, in_two_waves, revised, state};
use tests_e2e::object::text;
use tests_e2e::shop::{NAME, Shop};
use tests_fleet::records::{self, Happening, JournalLine};
use tests_fleet::{Cluster, HubOptions};

/// A pause that only a person ends.
fn by_hand() -> Value {
    json!([{"setWeight": 20}, {"pause": {}}])
}

/// When the first pod of a version of an application was started in a cluster.
fn first_start(cluster: &Cluster, shop: &Shop, version: &str) -> Option<Timestamp> {
    let lines: Vec<JournalLine> = records::read(&cluster.journal()).expect("a journal");
    let image = format!("demo:{version}");
    let started = lines.iter().filter(|line| {
        line.event == Happening::Started
            && line.image == image
            && line.namespace == shop.namespace()
    });
    started.map(|line| line.time).min()
}

/// An application in both clusters, and the fleet that takes it through them.
struct World<'a> {
    fleet: &'a Fleet,
    shops: Vec<Shop>,
}

impl<'a> World<'a> {
    /// Opens the application in both, under a FleetRollout of the same name as its namespace.
    async fn open(fleet: &'a Fleet, namespace: &str) -> Self {
        let mut intent = in_two_waves(namespace, namespace);
        for (wave, bake) in [(0, "2s"), (1, "1s")] {
            intent["spec"]["waves"][wave]["bake"] = json!(bake);
        }
        fleet.apply(&intent).await.expect("stored");
        let shops = fleet.shops(namespace).await.expect("namespaces");
        Self { fleet, shops }
    }

    fn first_start(&self, index: usize, version: &str) -> Option<Timestamp> {
        let cluster = &self.fleet.bed.sandbox.clusters()[index];
        first_start(cluster, &self.shops[index], version)
    }

    /// To both clusters at once, as Argo CD does with a push; the steps of each are its own.
    async fn push(&self, version: &str, steps: [&Value; 2]) {
        for (shop, steps) in self.shops.iter().zip(steps) {
            let manifest = revised(shop.manifest(version, steps), version);
            shop.apply(&manifest).await.expect("applied");
        }
    }

    async fn approve(&self, release: &str) {
        self.fleet.approve(release).await.expect("approved");
    }

    async fn asks_for_approval(&self, release: &str) {
        self.fleet.asks_for_approval(release).await.expect("asks");
    }
}

#[tokio::test]
async fn releases_travel_in_waves_stop_at_a_failure_and_are_taken_back() {
    let options = HubOptions::default();
    let fleet = Fleet::up(
        "fleet",
        &["one", "two"],
        &options,
        async |hub| Ok(hub.url()),
    );
    let mut fleet = fleet.await.expect("a fleet");
    // Four FleetRollouts side by side, as in any fleet.
    tokio::join!(
        canaries(&fleet),
        blue_green::switches(&fleet),
        secrets::are_sent(&fleet),
        again::is_started(&fleet)
    );
    secrets::are_told_to_nobody(&mut fleet).await;
    again::is_registered(&mut fleet).await;
    fleet.check().expect("no fault");
}

async fn canaries(fleet: &Fleet) {
    let world = World::open(fleet, NAME).await;
    let quick = json!([{"setWeight": 20}, {"pause": {"duration": "1s"}}]);
    world.push("v1", [&quick, &quick]).await;
    for shop in &world.shops {
        shop.healthy("v1")
            .await
            .expect("a first deploy waits for nobody");
    }
    good(&world, &quick).await;
    stopped_in_the_first(&world).await;
    taken_back_from_the_first(&world, &quick).await;
}

/// v2 goes through the first cluster, waits for a person, and goes through the second.
async fn good(world: &World<'_>, steps: &Value) {
    world.push("v2", [steps, steps]).await;
    let name = "checkout#1";
    world.asks_for_approval(name).await;
    world.shops[0]
        .healthy("v2")
        .await
        .expect("through the first cluster");
    let held = world.shops[1]
        .phase("Paused")
        .await
        .expect("held in the second");
    let message = text(&held, "/status/message");
    assert_eq!(
        message,
        "waiting for wave 2 of 2 (rest) of release checkout#1"
    );
    assert_eq!(world.first_start(1, "v2"), None);

    let dana = world
        .fleet
        .hub
        .person("dana", &["developers"])
        .expect("a person");
    let refused = dana.output(&approval(name)).await.expect("an answer");
    assert!(!refused.status.success(), "dana is not of sre");
    let before = Timestamp::now();
    world.approve(name).await;
    world.fleet.ends(name, "Succeeded").await.expect("through");
    world.shops[1]
        .healthy("v2")
        .await
        .expect("through the second cluster");
    let began = world.first_start(1, "v2").expect("it started");
    assert!(began > before, "{began} is before the approval at {before}");
    let mut permits = world.fleet.history("PermitGranted").await.expect("history");
    permits.retain(|permit| text(permit, "/release") == name);
    assert_eq!(permits.len(), 2, "one for each cluster: {permits:?}");
}

/// v3 is aborted in the first cluster; the second never starts it.
async fn stopped_in_the_first(world: &World<'_>) {
    world.push("v3", [&by_hand(), &by_hand()]).await;
    world.shops[0]
        .paused_at(1)
        .await
        .expect("at its first step");
    world.shops[0]
        .serves(&[("v2", 4), ("v3", 1)])
        .await
        .expect("a fifth");
    world.shops[0].verb(&deed::abort()).await.expect("aborted");
    let ended = |release: &Value| ["Failed", "RolledBack"].contains(&text(release, "/phase"));
    let release = world
        .fleet
        .release_until("checkout#2", "ends badly", ended)
        .await
        .expect("ended");
    assert_eq!(state(&release, "one"), "Failed", "{release}");
    world.shops[0]
        .serves(&[("v2", 5)])
        .await
        .expect("back on v2");
    world.shops[1]
        .serves(&[("v2", 5)])
        .await
        .expect("as before");
    assert_eq!(
        world.first_start(1, "v3"),
        None,
        "never started in the second"
    );
    world.shops[1]
        .until("says who may lift it", |rollout| {
            text(rollout, "/status/message")
                .starts_with("this content failed before: only a person")
        })
        .await
        .expect("it says so");
}

/// v4 is good in the first cluster and aborted in the second: the first is served v2 again, while Git still says v4.
async fn taken_back_from_the_first(world: &World<'_>, quick: &Value) {
    let name = "checkout#3";
    // In the second cluster it waits to be aborted by hand.
    world.push("v4", [quick, &by_hand()]).await;
    world.asks_for_approval(name).await;
    world.shops[0]
        .healthy("v4")
        .await
        .expect("through the first cluster");
    world.approve(name).await;
    world.shops[1]
        .until("one pod of v4", |rollout| {
            text(rollout, "/status/message") == "CanaryPauseStep"
        })
        .await
        .expect("in canary");
    world.shops[1].verb(&deed::abort()).await.expect("aborted");
    let release = world
        .fleet
        .ends(name, "RolledBack")
        .await
        .expect("taken back");
    assert_eq!(state(&release, "one"), "RolledBack", "{release}");
    assert_eq!(state(&release, "two"), "Failed", "{release}");
    for shop in &world.shops {
        shop.serves(&[("v2", 5)]).await.expect("on v2");
    }
    let rollout = world.shops[0].phase("Degraded").await.expect("says so");
    let message = text(&rollout, "/status/message");
    assert!(
        message.starts_with("RolloutAborted: fleet rollback of release checkout#3"),
        "{message}"
    );
    assert_eq!(
        text(&rollout, "/spec/template/spec/containers/0/image"),
        "demo:v4",
        "Git's word stays"
    );
}
