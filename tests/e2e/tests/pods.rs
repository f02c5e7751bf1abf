//! What happens to pods that are there: a restart under a real PodDisruptionBudget, metadata that follows the part that a
//! version plays, and autoscalers. In: manifests, budgets, the scale subresource. Out: pods and the Rollout's status.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::deed;
use tests_e2e::object::{Kind, number, text};
use tests_e2e::shop::{NAME, SOON, Shop};
use tests_fleet::eventually;

/// A refused eviction is tried again after 30 s, and then pods are replaced one by one.
const RESTARTED: Duration = Duration::from_secs(150);

fn held_at_20() -> Value {
    json!([{"setWeight": 20}, {"pause": {}}])
}

/// Live pods: UID and labels.
async fn pods(shop: &Shop) -> BTreeMap<String, Value> {
    let all = shop.all(Kind::Pod).await.expect("pods");
    let live = all
        .into_iter()
        .filter(|pod| text(pod, "/metadata/deletionTimestamp").is_empty());
    live.map(|pod| {
        (
            text(&pod, "/metadata/uid").to_owned(),
            pod["metadata"]["labels"].clone(),
        )
    })
    .collect()
}

async fn uids(shop: &Shop) -> BTreeSet<String> {
    pods(shop).await.into_keys().collect()
}

fn budget(shop: &Shop, least: u32) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "least", "namespace": shop.namespace()},
        "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": NAME}}},
    })
}

/// Waits until the budget's controller has counted the pods.
async fn counted(shop: &Shop, allowed: i64) {
    eventually("the budget is counted", SOON, async || {
        let budget = shop.named(Kind::PodDisruptionBudget, "least").await;
        let budget = budget.map_err(|error| error.to_string())?;
        let current = number(&budget, "/status/observedGeneration")
            == number(&budget, "/metadata/generation");
        let right = number(&budget, "/status/disruptionsAllowed") == allowed
            && number(&budget, "/status/currentHealthy") == 3;
        (current && right)
            .then_some(())
            .ok_or(budget["status"].to_string())
    })
    .await
    .expect("counted");
}

#[tokio::test]
async fn a_restart_waits_for_the_budget_and_replaces_one_pod_after_the_other() {
    let (shared, shop) = Shared::with("restart").await.expect("a namespace");
    let mut manifest = shop.manifest("v1", &held_at_20());
    manifest["spec"]["replicas"] = json!(3);
    shop.apply(&manifest).await.expect("applied");
    shop.phase("Healthy").await.expect("healthy");
    shop.serves(&[("v1", 3)]).await.expect("three pods");
    let before = uids(&shop).await;
    shop.apply(&budget(&shop, 3)).await.expect("a budget");
    counted(&shop, 0).await;

    // A pod's age is in whole seconds: those of this second would not be older than it.
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    shop.patch(&deed::restart(at)).await.expect("asked for");
    let refused = eventually("it is said that the budget refuses", SOON, async || {
        let events = shop
            .all(Kind::Event)
            .await
            .map_err(|error| error.to_string())?;
        let found = events
            .iter()
            .find(|event| text(event, "/reason") == "RestartRefused");
        found
            .map(|event| text(event, "/message").to_owned())
            .ok_or(format!("{} events", events.len()))
    })
    .await
    .expect("said");
    assert!(refused.contains("disruption budget least"), "{refused}");
    let rollout = shop.phase("Progressing").await.expect("under way");
    assert_eq!(text(&rollout, "/status/message"), "rollout is restarting");
    assert_eq!(uids(&shop).await, before, "no pod went");

    shop.apply(&budget(&shop, 1))
        .await
        .expect("the budget lets go");
    let mut fewest = 3;
    eventually("restarted", RESTARTED, async || {
        let ready = shop.pods().await.map_err(|error| error.to_string())?;
        fewest = fewest.min(ready.values().sum::<usize>());
        let rollout = shop.rollout().await.map_err(|error| error.to_string())?;
        let done = text(&rollout, "/status/restartedAt") == text(&rollout, "/spec/restartAt")
            && text(&rollout, "/status/phase") == "Healthy";
        done.then_some(()).ok_or(rollout["status"].to_string())
    })
    .await
    .expect("restarted");
    assert!(fewest >= 2, "only {fewest} pods were ready at a time");
    let after = uids(&shop).await;
    assert_eq!(after.len(), 3, "{after:?}");
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");
    let rollout = shop.rollout().await.expect("it");
    let hash = text(&rollout, "/status/stableRS");
    let set = shop
        .named(Kind::ReplicaSet, &format!("{NAME}-{hash}"))
        .await;
    let mark = "/metadata/annotations/argo-rollouts.argoproj.io~1restarted-after";
    assert_eq!(
        text(&set.expect("its set"), mark),
        text(&rollout, "/spec/restartAt")
    );
    shared.check().await.expect("no fault");
}

/// The manifest with metadata for each part.
fn with_roles(shop: &Shop, version: &str) -> Value {
    let mut manifest = shop.manifest(version, &held_at_20());
    let canary = &mut manifest["spec"]["strategy"]["canary"];
    canary["canaryMetadata"] =
        json!({"labels": {"role": "canary"}, "annotations": {"stage": "trial"}});
    canary["stableMetadata"] = json!({"labels": {"role": "stable"}});
    manifest
}

/// Waits until so many live pods have these roles, empty for none.
async fn roles(shop: &Shop, wanted: &[(&str, usize)]) {
    let wanted: BTreeMap<&str, usize> = wanted.iter().copied().collect();
    eventually(&format!("roles {wanted:?}"), SOON, async || {
        let pods = pods(shop).await;
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for labels in pods.values() {
            *found.entry(text(labels, "/role")).or_default() += 1;
        }
        (found == wanted).then_some(()).ok_or(format!("{found:?}"))
    })
    .await
    .expect("the roles");
}

#[tokio::test]
async fn metadata_follows_the_part_of_a_version_on_live_pods() {
    let (shared, shop) = Shared::with("roles").await.expect("a namespace");
    shop.apply(&with_roles(&shop, "v1")).await.expect("applied");
    let first = shop.healthy("v1").await.expect("healthy");
    roles(&shop, &[("stable", 5)]).await;

    shop.apply(&with_roles(&shop, "v2")).await.expect("applied");
    shop.paused_at(1).await.expect("held");
    roles(&shop, &[("stable", 4), ("canary", 1)]).await;
    let canary = pods(&shop).await;
    let canary = canary
        .iter()
        .find(|(_, labels)| text(labels, "/role") == "canary");
    let canary = canary
        .map(|(uid, _)| uid.clone())
        .expect("the canary's pod");
    shop.verb(&deed::promote_full()).await.expect("promoted");
    let second = shop.healthy("v2").await.expect("done");
    roles(&shop, &[("stable", 5)]).await;
    assert!(
        uids(&shop).await.contains(&canary),
        "the same pod, relabelled"
    );

    // Without the metadata it goes again, and no version comes of it.
    let applied = uids(&shop).await;
    shop.deploy("v2", &held_at_20()).await.expect("applied");
    roles(&shop, &[("", 5)]).await;
    assert_eq!(uids(&shop).await, applied);
    eventually("nothing is left to remember", SOON, async || {
        let sets = shop
            .all(Kind::ReplicaSet)
            .await
            .map_err(|error| error.to_string())?;
        let left = sets.iter().find(|set| {
            let note = "/metadata/annotations/fleet.groundswell.dev~1ephemeral-metadata-before";
            set.pointer(note).is_some()
        });
        left.map_or(Ok(()), |set| Err(set["metadata"].to_string()))
    })
    .await
    .expect("settled");
    let last = shop.phase("Healthy").await.expect("healthy");
    assert_eq!(last["status"]["stableRS"], second["status"]["stableRS"]);
    assert_ne!(last["status"]["stableRS"], first["status"]["stableRS"]);
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn the_scale_subresource_is_followed_in_every_pause_and_never_feeds_an_aborted_version() {
    let (shared, shop) = Shared::with("scales").await.expect("a namespace");
    shop.first("v1", &held_at_20()).await.expect("healthy");
    shop.deploy("v2", &held_at_20()).await.expect("applied");
    shop.paused_at(1).await.expect("held");
    let scale = shop.scale(None).await.expect("a scale");
    assert_eq!(number(&scale, "/spec/replicas"), 5);
    assert_eq!(number(&scale, "/status/replicas"), 5);
    assert_eq!(text(&scale, "/status/selector"), format!("app={NAME}"));

    // In a pause step.
    shop.scale(Some(10)).await.expect("scaled");
    shop.serves(&[("v1", 8), ("v2", 2)]).await.expect("ten");
    // Paused by a person.
    let pause = json!({"spec": {"paused": true}});
    shop.patch(&pause).await.expect("paused");
    shop.scale(Some(5)).await.expect("scaled");
    shop.serves(&[("v1", 4), ("v2", 1)]).await.expect("five");
    shop.patch(&json!({"spec": {"paused": false}}))
        .await
        .expect("resumed");
    // Aborted: argo-rollouts #4973.
    shop.verb(&deed::abort()).await.expect("aborted");
    shop.serves(&[("v1", 5)]).await.expect("back");
    shop.scale(Some(8)).await.expect("scaled");
    shop.serves(&[("v1", 8)])
        .await
        .expect("eight of the stable version");
    // Pods are counted in the status a moment later.
    shop.until("an autoscaler sees eight", |rollout| {
        number(rollout, "/status/HPAReplicas") == 8
    })
    .await
    .expect("counted");
    let scale = shop.scale(None).await.expect("a scale");
    assert_eq!(number(&scale, "/status/replicas"), 8);
    shared.check().await.expect("no fault");
}

/// An autoscaler that wants one pod for every 100m of CPU.
fn autoscaler(shop: &Shop) -> Value {
    json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": NAME, "namespace": shop.namespace()},
        "spec": {
            "scaleTargetRef": {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": NAME},
            "minReplicas": 2,
            "maxReplicas": 20,
            "metrics": [{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "AverageValue", "averageValue": "100m"},
            }}],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0},
                "scaleDown": {"stabilizationWindowSeconds": 0},
            },
        },
    })
}

/// The load on all pods together.
async fn load(shop: &Shop, cpu: &str) {
    let usage = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "sandbox-usage", "namespace": shop.namespace()},
        "data": {"cpu": cpu},
    });
    shop.apply(&usage).await.expect("a load");
}

/// Waits until the autoscaler has looked at the load that there is and finds the number of pods right.
async fn content(shop: &Shop, replicas: i64) {
    eventually(&format!("{replicas} pods are enough"), SOON, async || {
        let found = shop.named(Kind::HorizontalPodAutoscaler, NAME).await;
        let found = found.map_err(|error| error.to_string())?;
        let average = text(
            &found,
            "/status/currentMetrics/0/resource/current/averageValue",
        );
        let right = number(&found, "/status/desiredReplicas") == replicas
            && number(&found, "/status/currentReplicas") == replicas
            && !average.is_empty();
        right.then_some(()).ok_or(found["status"].to_string())
    })
    .await
    .expect("content");
}

#[tokio::test]
async fn a_real_autoscaler_finds_the_right_number_during_a_canary() {
    let (shared, shop) = Shared::with("autoscaled").await.expect("a namespace");
    let steps = json!([{"setWeight": 34}, {"pause": {}}]);
    load(&shop, "500m").await;
    shop.first("v1", &steps).await.expect("healthy");
    shop.apply(&autoscaler(&shop)).await.expect("an autoscaler");
    content(&shop, 5).await;

    // 34 % of five is closest with one pod of surge: six share the load, and five are still what is wanted.
    let mut canary = shop.manifest("v2", &steps);
    let owned = canary["spec"]
        .as_object_mut()
        .and_then(|spec| spec.remove("replicas"));
    assert!(owned.is_some());
    let template = canary["spec"]["template"].clone();
    shop.patch(&json!({"spec": {"template": template}}))
        .await
        .expect("a new version");
    shop.paused_at(1).await.expect("held");
    shop.serves(&[("v1", 4), ("v2", 2)])
        .await
        .expect("six pods");
    content(&shop, 5).await;
    let scale = shop.scale(None).await.expect("a scale");
    assert_eq!(number(&scale, "/spec/replicas"), 5);

    load(&shop, "1").await;
    content(&shop, 10).await;
    shop.serves(&[("v1", 7), ("v2", 4)])
        .await
        .expect("a third of eleven");
    load(&shop, "300m").await;
    content(&shop, 3).await;
    shop.verb(&deed::abort()).await.expect("aborted");
    shop.serves(&[("v1", 3)]).await.expect("back");
    load(&shop, "800m").await;
    content(&shop, 8).await;
    shop.serves(&[("v1", 8)])
        .await
        .expect("none of the aborted version");
    shared.check().await.expect("no fault");
}
