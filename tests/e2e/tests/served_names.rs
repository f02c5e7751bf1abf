//! A name that served is no first deploy (gate.md G10). In: a governed Rollout that was served, and then was deleted together
//! with its Gate, while its FleetRollout has no release. Out: what the cluster remembers of the name alone holds other content
//! under it until a release permits that, and lets the content back that it served.

use agent_api::names::gate_name;
use jiff::Timestamp;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use tests_e2e::fleet::{Fleet, revised};
use tests_e2e::object::{Kind, json as object, text};
use tests_e2e::shop::{NAME, SOON, Shop};
use tests_fleet::agent::NAMESPACE;
use tests_fleet::records::{self, Happening, JournalLine};
use tests_fleet::{HubOptions, eventually};

/// What somebody writes who deploys for the first time: no steps.
async fn push(shop: &Shop, version: &str) {
    let manifest = revised(shop.manifest(version, &json!([])), version);
    shop.apply(&manifest).await.expect("applied");
}

/// One wave that nobody has to approve.
fn intent() -> Value {
    json!({
        "apiVersion": "fleet.groundswell.dev/v1alpha1", "kind": "FleetRollout", "metadata": {"name": NAME},
        "spec": {
            "rollout": {"namespace": "shop", "name": NAME}, "enforcement": "Enforce", "waves": [{"name": "all"}],
        },
    })
}

async fn client(fleet: &Fleet) -> kube::Client {
    let cluster = fleet.bed.first().expect("a cluster");
    cluster.client().await.expect("a client")
}

/// Waits until the record of the cluster says when the name was last served what.
async fn remembered(fleet: &Fleet) -> String {
    let members = Kind::FleetMember.of(&client(fleet).await, NAMESPACE);
    let key = format!("/status/served/shop~1{NAME}/digest");
    eventually("what it served is remembered", SOON, async || {
        let all = members.list(&ListParams::default()).await;
        let all = all.map_err(|error| error.to_string())?;
        let member = all.items.first().ok_or("no FleetMember")?;
        let member = object(member).map_err(|error| error.to_string())?;
        let digest = text(&member, &key).to_owned();
        (!digest.is_empty())
            .then_some(digest)
            .ok_or_else(|| member["status"].to_string())
    })
    .await
    .expect("a mark")
}

async fn uid(fleet: &Fleet) -> Option<String> {
    let gates = Kind::Gate.of(&client(fleet).await, NAMESPACE);
    let gate = gates.get_opt(&gate_name("shop", NAME)).await;
    gate.expect("an answer").and_then(|gate| gate.metadata.uid)
}

/// Deletes the Rollout with all that it owns, and the Gate, and waits until that is rebuilt from the hub (G6): it says that a
/// first deploy is free, for its FleetRollout has no release.
async fn deleted(fleet: &Fleet, shop: &Shop) {
    shop.delete(Kind::Rollout, NAME).await.expect("deleted");
    // The garbage collector would get to them too, but not soon after new kinds came.
    for kind in [Kind::ReplicaSet, Kind::Pod] {
        for owned in shop.all(kind).await.expect("a list") {
            let name = text(&owned, "/metadata/name");
            // Whoever was quicker has done the same.
            let _ = shop.delete(kind, name).await;
        }
    }
    shop.serves(&[]).await.expect("its pods go with it");
    let before = uid(fleet).await.expect("a Gate survives its Rollout");
    let gates = Kind::Gate.of(&client(fleet).await, NAMESPACE);
    let gone = gates
        .delete(&gate_name("shop", NAME), &DeleteParams::default())
        .await;
    gone.expect("deleted");
    eventually("the Gate is another one", SOON, async || {
        match uid(fleet).await {
            Some(uid) if uid != before => Ok(()),
            other => Err(format!("{other:?}, it was {before}")),
        }
    })
    .await
    .expect("rebuilt");
}

/// When the first pod of a version was started.
fn first_start(fleet: &Fleet, version: &str) -> Option<Timestamp> {
    let cluster = fleet.bed.first().expect("a cluster");
    let lines: Vec<JournalLine> = records::read(&cluster.journal()).expect("a journal");
    let image = format!("demo:{version}");
    let of_it = |line: &&JournalLine| line.event == Happening::Started && line.image == image;
    lines.iter().filter(of_it).map(|line| line.time).min()
}

#[tokio::test]
async fn a_name_that_served_is_no_first_deploy_when_rollout_and_gate_are_deleted() {
    let options = HubOptions::default();
    let fleet = Fleet::up(
        "served-names",
        &["one"],
        &options,
        async |hub| Ok(hub.url()),
    );
    let mut fleet = fleet.await.expect("a fleet");
    fleet.apply(&intent()).await.expect("stored");
    let shops = fleet.shops("shop").await.expect("namespaces");
    let shop = &shops[0];
    eventually("the name is governed", SOON, async || {
        uid(&fleet).await.ok_or_else(|| "no Gate".to_owned())
    })
    .await
    .expect("a Gate");
    push(shop, "v1").await;
    shop.healthy("v1").await.expect("a first deploy is free");
    let served = remembered(&fleet).await;

    // Made again with what it served: nothing new.
    deleted(&fleet, shop).await;
    push(shop, "v1").await;
    shop.healthy("v1").await.expect("what it served");

    // Made again with something else: no first deploy, though no release is there.
    deleted(&fleet, shop).await;
    push(shop, "v2").await;
    let held = shop.phase("Paused").await.expect("held");
    let message = text(&held, "/status/message").to_owned();
    assert!(!message.is_empty(), "{held}");
    assert_eq!(first_start(&fleet, "v2"), None, "{message}");
    assert_eq!(remembered(&fleet).await, served, "held is not served");
    let rows = fleet.history("ReleaseOpened").await.expect("history");
    assert_eq!(rows, Vec::<Value>::new(), "what is brought opens nothing");

    // A person starts a release, which permits it.
    let before = Timestamp::now();
    let start = ["release", "start", NAME, "--reason", "made again"];
    fleet.admin.run(&start).await.expect("a release");
    fleet
        .ends("checkout#1", "Succeeded")
        .await
        .expect("through");
    shop.healthy("v2").await.expect("permitted");
    let began = first_start(&fleet, "v2").expect("it started");
    assert!(began > before, "{began} is before the release at {before}");
    eventually("what it served is remembered", SOON, async || {
        let now = remembered(&fleet).await;
        if now == served { Err(now) } else { Ok(()) }
    })
    .await
    .expect("another mark");
    fleet.check().expect("no fault");
}
