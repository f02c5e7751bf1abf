//! Releases through a fleet of two real clusters. In: manifests applied to both at once, an approval, verbs of a person in a
//! cluster. Out: which pods ever started where, and what the releases ended as.

use jiff::Timestamp;
use serde_json::{Value, json};
use tests_e2e::deed;
use tests_e2e::fleet::{Fleet, state, wave_phase};
use tests_e2e::object::text;
use tests_e2e::shop::{NAME, Shop};
use tests_fleet::records::{self, Happening, JournalLine};
use tests_fleet::{Cluster, HubOptions};

const WAVES: [&str; 2] = ["one", "two"];

fn intent() -> Value {
    json!({
        "apiVersion": "fleet.groundswell.dev/v1alpha1",
        "kind": "FleetRollout",
        "metadata": {"name": NAME},
        "spec": {
            "rollout": {"namespace": "shop", "name": NAME},
            "enforcement": "Enforce",
            "waves": [
                {"name": "first", "clusters": {"matchLabels": {"name": "one"}}, "bake": "2s"},
                {"name": "rest", "clusters": {"matchLabels": {"name": "two"}},
                 "approval": {"before": {"required": 1, "groups": ["sre"]}}, "bake": "1s"},
            ],
            "onFailure": {"action": "Rollback", "scope": "Touched"},
            "progressDeadline": "2m",
            "onHubLoss": "Finish",
        },
    })
}

/// A pause that only a person ends.
fn by_hand() -> Value {
    json!([{"setWeight": 20}, {"pause": {}}])
}

/// When the first pod of a version was started in a cluster.
fn first_start(cluster: &Cluster, version: &str) -> Option<Timestamp> {
    let lines: Vec<JournalLine> = records::read(&cluster.journal()).expect("a journal");
    let image = format!("demo:{version}");
    let started = lines
        .iter()
        .filter(|line| line.event == Happening::Started && line.image == image);
    started.map(|line| line.time).min()
}

struct World {
    fleet: Fleet,
    shops: Vec<Shop>,
}

impl World {
    async fn up() -> Self {
        let options = HubOptions::default();
        let fleet = Fleet::up("fleet", &WAVES, &options, async |hub| Ok(hub.url()))
            .await
            .expect("a fleet");
        let mut shops = Vec::new();
        for cluster in fleet.bed.sandbox.clusters() {
            shops.push(Shop::open(cluster, "shop").await.expect("a namespace"));
        }
        Self { fleet, shops }
    }

    fn cluster(&self, index: usize) -> &Cluster {
        &self.fleet.bed.sandbox.clusters()[index]
    }

    /// To both clusters at once, as Argo CD does with a push; the steps of each are its own.
    async fn push(&self, version: &str, steps: [&Value; 2]) {
        for (shop, steps) in self.shops.iter().zip(steps) {
            let mut manifest = shop.manifest(version, steps);
            manifest["metadata"]["annotations"] =
                json!({"fleet.groundswell.dev/revision": format!("revision-of-{version}")});
            shop.apply(&manifest).await.expect("applied");
        }
    }

    async fn approve(&self, release: &str) {
        let sam = self.fleet.hub.person("sam", &["sre"]).expect("a person");
        let approve = [
            "approve",
            release,
            "--wave",
            "rest",
            "--comment",
            "looks good",
            "--yes",
        ];
        sam.run(&approve).await.expect("approved");
    }

    async fn asks_for_approval(&self, release: &str) {
        let asks = |release: &Value| wave_phase(release, "rest") == "WaitingForApproval";
        self.fleet
            .release_until(release, "asks for approval", asks)
            .await
            .expect("asks");
    }
}

#[tokio::test]
async fn releases_travel_in_waves_stop_at_a_failure_and_are_taken_back() {
    let mut world = World::up().await;
    world.fleet.apply(&intent()).await.expect("stored");
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
    world.fleet.check().expect("no fault");
}

/// v2 goes through the first cluster, waits for a person, and goes through the second.
async fn good(world: &World, steps: &Value) {
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
    assert_eq!(first_start(world.cluster(1), "v2"), None);

    let dana = world
        .fleet
        .hub
        .person("dana", &["developers"])
        .expect("a person");
    let approve = [
        "approve",
        name,
        "--wave",
        "rest",
        "--comment",
        "mine",
        "--yes",
    ];
    let refused = dana.output(&approve).await.expect("an answer");
    assert!(!refused.status.success(), "dana is not of sre");
    let before = Timestamp::now();
    world.approve(name).await;
    world.fleet.ends(name, "Succeeded").await.expect("through");
    world.shops[1]
        .healthy("v2")
        .await
        .expect("through the second cluster");
    let began = first_start(world.cluster(1), "v2").expect("it started");
    assert!(began > before, "{began} is before the approval at {before}");
    let permits = world.fleet.history("PermitGranted").await.expect("history");
    assert_eq!(permits.len(), 2, "one for each cluster: {permits:?}");
}

/// v3 is aborted in the first cluster; the second never starts it.
async fn stopped_in_the_first(world: &World) {
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
        first_start(world.cluster(1), "v3"),
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
async fn taken_back_from_the_first(world: &World, quick: &Value) {
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
