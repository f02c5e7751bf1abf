//! Break-glass in a real cluster (gate.md G16). In: a version that the fleet holds, a hub that is gone, one person with the
//! right and one without. Out: who is refused by the API server, what starts, once, and a history that tells of it later.

use std::path::{Path, PathBuf};
use std::process::Output;

use agent_api::names::gate_name;
use serde_json::{Value, json};
use tests_e2e::fleet::{Fleet, RELEASE, in_two_waves, revised};
use tests_e2e::object::{Kind, text};
use tests_e2e::shop::{NAME, Shop};
use tests_fleet::{HubOptions, apply, eventually, kubeconfig, programs};

/// The agent's own namespace.
const AGENT: &str = "groundswell";

fn quick() -> Value {
    json!([{"setWeight": 20}, {"pause": {"duration": "1s"}}])
}

async fn push(shop: &Shop, version: &str) {
    let manifest = revised(shop.manifest(version, &quick()), version);
    shop.apply(&manifest).await.expect("applied");
}

/// Ann has the right in a namespace of a cluster; bob may do everything else with a Rollout there.
pub(crate) async fn persons(fleet: &Fleet, index: usize, namespace: &str) -> [PathBuf; 2] {
    let cluster = &fleet.bed.sandbox.clusters()[index];
    let client = cluster.client().await.expect("a client");
    let bind = |name: &str, kind: &str, role: &str, person: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": person}],
        })
    };
    let edits = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "edits", "namespace": namespace},
        "rules": [{"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["*"]}],
    });
    for object in [
        edits,
        bind("bob", "Role", "edits", "bob"),
        bind("ann", "ClusterRole", "groundswell-break-glass", "ann"),
    ] {
        apply::yaml(&client, &object.to_string(), "the test")
            .await
            .expect("applied");
    }
    ["ann", "bob"].map(|person| {
        let path = fleet.run().join(&format!("{person}.kubeconfig"));
        kubeconfig::write_as(&path, &cluster.kubeconfig(), person).expect("a kubeconfig");
        path
    })
}

/// `groundswell break-glass` as a person, for the application in a namespace; it is given no hub.
pub(crate) async fn breaks(person: &Path, namespace: &str, digest: &str, reason: &str) -> Output {
    let program = programs::program("groundswell").expect("built");
    tokio::process::Command::new(program)
        .env("KUBECONFIG", person)
        .args([
            "break-glass",
            NAME,
            "-n",
            namespace,
            "--digest",
            digest,
            "--reason",
            reason,
        ])
        .output()
        .await
        .expect("it runs")
}

pub(crate) fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// What the Gate of the application in a namespace of a cluster holds, other than a digest.
pub(crate) async fn held(fleet: &Fleet, index: usize, namespace: &str, other: &str) -> String {
    let client = fleet.bed.sandbox.clusters()[index]
        .client()
        .await
        .expect("a client");
    eventually("content is held", RELEASE, async || {
        let gates = Kind::Gate.of(&client, AGENT);
        let gate = gates.get(&gate_name(namespace, NAME)).await;
        let gate = gate.map_err(|error| error.to_string())?;
        let gate = tests_e2e::object::json(&gate).map_err(|error| error.to_string())?;
        let digest = text(&gate, "/status/held/digest").to_owned();
        let fresh = !digest.is_empty() && digest != other;
        fresh.then_some(digest).ok_or_else(|| gate.to_string())
    })
    .await
    .expect("held")
}

#[tokio::test]
async fn who_has_the_right_starts_what_is_held_without_the_hub_once() {
    let options = HubOptions::default();
    let fleet = Fleet::up(
        "glass",
        &["one", "two"],
        &options,
        async |hub| Ok(hub.url()),
    );
    let mut fleet = fleet.await.expect("a fleet");
    fleet
        .apply(&in_two_waves(NAME, "shop"))
        .await
        .expect("stored");
    let shops = fleet.shops("shop").await.expect("namespaces");
    let [ann, bob] = persons(&fleet, 1, "shop").await;
    for shop in &shops {
        push(shop, "v1").await;
    }
    for shop in &shops {
        shop.healthy("v1").await.expect("a first deploy is free");
    }
    for shop in &shops {
        push(shop, "v2").await;
    }
    fleet.asks_for_approval("checkout#1").await.expect("asks");
    let two = &shops[1];
    two.phase("Paused").await.expect("held");
    fleet.hub.process().kill().await.expect("gone");
    let digest = held(&fleet, 1, "shop", "").await;
    refused(two, &bob, &ann, &digest).await;
    let broken = breaks(&ann, "shop", &digest, "the fix for INC-7").await;
    assert!(broken.status.success(), "{}", said(&broken));
    two.healthy("v2").await.expect("started without the hub");
    // What the word was for is served; the next content is none of its business.
    push(two, "v3").await;
    held(&fleet, 1, "shop", &digest).await;
    two.serves(&[("v2", 5)])
        .await
        .expect("v3 waits for the hub");
    fleet.hub.again(&fleet.bed.run).await.expect("back");
    let told = eventually("the history tells of it", RELEASE, async || {
        let rows = fleet
            .history("GlassBroken")
            .await
            .map_err(|error| error.to_string())?;
        rows.first().cloned().ok_or_else(|| "no row".to_owned())
    });
    let told = told.await.expect("told");
    assert_eq!(text(&told, "/cluster"), "two");
    assert_eq!(text(&told, "/release"), "checkout#1");
    let message = text(&told, "/message");
    assert!(
        message.starts_with(&format!("ann started {digest}"))
            && message.ends_with("the fix for INC-7"),
        "{message}"
    );
    assert_eq!(
        fleet.history("GlassBroken").await.expect("history").len(),
        1
    );
    fleet.check().expect("no fault");
}

/// Without the right, in another's name, without a reason: the API server says why not, and nothing starts.
async fn refused(two: &Shop, bob: &Path, ann: &Path, digest: &str) {
    let by_bob = breaks(bob, "shop", digest, "mine").await;
    let words = said(&by_bob);
    assert!(!by_bob.status.success(), "{words}");
    assert!(
        words.contains("bob may not break the glass: it needs the verb override"),
        "{words}"
    );
    for (text, by, why) in [
        (
            format!("{digest} mine"),
            "bob",
            "break-glass-by has to be ann",
        ),
        (digest.to_owned(), "ann", "has to be `<digest> <reason>`"),
    ] {
        let client = kubeconfig::impatient_client(ann).await.expect("a client");
        let patch = json!({"metadata": {"annotations": {
            "fleet.groundswell.dev/break-glass": text, "fleet.groundswell.dev/break-glass-by": by,
        }}});
        let rollouts = Kind::Rollout.of(&client, "shop");
        let merge = kube::api::Patch::Merge(&patch);
        let answer = rollouts
            .patch(NAME, &kube::api::PatchParams::default(), &merge)
            .await;
        let answer = answer.expect_err("refused").to_string();
        assert!(answer.contains(why), "{answer}");
    }
    two.phase("Paused").await.expect("still held");
}
