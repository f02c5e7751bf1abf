//! An agent in a single namespace that is in a fleet. In: the rights of deploy/namespaced and deploy/namespaced-fleet alone, a
//! hub. Out: its Rollout is governed, held, permitted and served, and a person may break its glass; it never lacks a right.

use serde_json::{Value, json};
use tests_e2e::bed::Bed;
use tests_e2e::fleet::{Fleet, RELEASE, revised};
use tests_e2e::object::text;
use tests_e2e::shop::{NAME, Shop};
use tests_fleet::agent::NAMESPACE;
use tests_fleet::{Agent, AgentAccess, AgentOptions, Hub, HubOptions, apply, eventually, programs};

use crate::break_glass::{breaks, held, persons, said};

/// One wave that somebody of sre has to approve.
fn intent() -> Value {
    json!({
        "apiVersion": "fleet.groundswell.dev/v1alpha1", "kind": "FleetRollout", "metadata": {"name": NAME},
        "spec": {
            "rollout": {"namespace": NAMESPACE, "name": NAME}, "enforcement": "Enforce",
            "waves": [{"name": "rest", "approval": {"before": {"required": 1, "groups": ["sre"]}}}],
        },
    })
}

async fn push(shop: &Shop, version: &str) {
    let steps = json!([{"setWeight": 20}, {"pause": {"duration": "1s"}}]);
    let manifest = revised(shop.manifest(version, &steps), version);
    shop.apply(&manifest).await.expect("applied");
}

/// A cluster whose agent has rights in its own namespace, and the three objects of deploy/namespaced-fleet by name.
async fn up() -> Fleet {
    tests_fleet::init();
    let bed = Bed::up("namespaced", &["one"]).await.expect("a cluster");
    let hub = Hub::start(&bed.run, &HubOptions::default()).await;
    let hub = hub.expect("the hub");
    let admin = hub.admin().expect("an administrator");
    let cluster = bed.first().expect("the cluster").clone();
    let access = AgentAccess::install_from(&bed.run, &cluster, "namespaced").await;
    let access = access.expect("rights in one namespace");
    let client = cluster.client().await.expect("a client");
    let deploy = programs::workspace().join("deploy");
    for file in ["namespaced-fleet", "agent/break-glass.yaml"] {
        let applied = apply::manifests(&client, &deploy.join(file)).await;
        applied.expect(file);
    }
    let token = admin.run(&["cluster", "token", "one"]).await;
    let options = AgentOptions {
        hub: Some(hub.url()),
        join_token: Some(token.expect("a token").trim().to_owned()),
        more: vec!["--namespaced".to_owned()],
        ..AgentOptions::default()
    };
    let agent = Agent::start(&bed.run, &access, &options).expect("the agent");
    let mut fleet = Fleet {
        agents: vec![agent],
        admin,
        hub,
        bed,
    };
    fleet.connected(1).await.expect("connected");
    fleet
}

#[tokio::test]
async fn an_agent_of_one_namespace_is_governed_held_permitted_and_its_glass_is_broken() {
    let mut fleet = up().await;
    fleet.apply(&intent()).await.expect("stored");
    let cluster = fleet.bed.first().expect("the cluster").clone();
    let elsewhere = Shop::open(&cluster, "elsewhere").await.expect("another");
    push(&elsewhere, "v1").await;
    let shop = Shop::open(&cluster, NAMESPACE).await.expect("its own");
    push(&shop, "v1").await;
    shop.healthy("v1").await.expect("a first deploy is free");

    push(&shop, "v2").await;
    fleet.asks_for_approval("checkout#1").await.expect("asks");
    let message = "waiting for wave 1 of 1 (rest) of release checkout#1";
    let waits = |rollout: &Value| text(rollout, "/status/message") == message;
    shop.until("it waits", waits).await.expect("held");
    shop.serves(&[("v1", 5)]).await.expect("v2 waits");
    fleet.approve("checkout#1").await.expect("approved");
    fleet
        .ends("checkout#1", "Succeeded")
        .await
        .expect("through");
    shop.healthy("v2").await.expect("permitted and served");

    let [ann, bob] = persons(&fleet, 0, NAMESPACE).await;
    push(&shop, "v3").await;
    fleet.asks_for_approval("checkout#2").await.expect("asks");
    let digest = held(&fleet, 0, NAMESPACE, "").await;
    fleet.hub.process().kill().await.expect("gone");
    let by_bob = breaks(&bob, NAMESPACE, &digest, "mine").await;
    assert!(!by_bob.status.success(), "{}", said(&by_bob));
    let by_ann = breaks(&ann, NAMESPACE, &digest, "INC-7").await;
    assert!(by_ann.status.success(), "{}", said(&by_ann));
    shop.healthy("v3").await.expect("started without the hub");
    fleet.hub.again(&fleet.bed.run).await.expect("back");
    eventually("the history tells of it", RELEASE, async || {
        let rows = fleet.history("GlassBroken").await;
        let rows = rows.map_err(|error| error.to_string())?;
        match rows.as_slice() {
            [row] if text(row, "/message").starts_with(&format!("ann started {digest}")) => Ok(()),
            _ => Err(format!("{rows:?}")),
        }
    })
    .await
    .expect("told");
    let untouched = elsewhere.rollout().await.expect("a Rollout");
    assert_eq!(untouched.pointer("/status/phase"), None, "{untouched}");
    fleet.connected(1).await.expect("it came back");
    fleet.check().expect("its rights are enough");
}
