//! Objects that are too much: a Rollout of five thousand steps, one of nearly the largest size that is stored, one that
//! no server should have let in, one whose pods the API server does not take. In: these beside a good one, or the good one
//! itself made bad. Out: the good one goes through its canary as ever, and what was good before goes on.

use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::object::{Kind, number, text};
use tests_e2e::shop::{NAME, SOON, Shop};
use tests_fleet::eventually;

/// Variables, and letters in each: with the rest of the object close to the most that etcd takes.
const VARIABLES: usize = 13;
const LETTERS: usize = 100_000;
const STEPS: usize = 5_000;

async fn beside(shop: &Shop, name: &str, change: impl FnOnce(&mut Value)) {
    let mut manifest = shop.manifest("v1", &json!([]));
    manifest["metadata"]["name"] = json!(name);
    // Pods are not what they hurt with.
    manifest["spec"]["replicas"] = json!(0);
    manifest["spec"]["selector"] = json!({"matchLabels": {"app": name}});
    manifest["spec"]["template"]["metadata"]["labels"] = json!({"app": name});
    change(&mut manifest);
    shop.apply(&manifest).await.expect(name);
}

fn steps(count: usize) -> Value {
    let steps = (0..count).map(|index| match index % 2 {
        0 => json!({"setWeight": 20}),
        _ => json!({"pause": {"duration": 3600}}),
    });
    Value::Array(steps.collect())
}

#[tokio::test]
async fn poisoned_rollouts_hurt_nobody_else() {
    let (shared, shop) = Shared::with("poison").await.expect("a namespace");
    beside(&shop, "long", |manifest| {
        manifest["spec"]["strategy"]["canary"]["steps"] = steps(STEPS);
    })
    .await;
    beside(&shop, "large", |manifest| {
        let bulk = (0..VARIABLES)
            .map(|number| json!({"name": format!("BULK_{number}"), "value": "x".repeat(LETTERS)}));
        manifest["spec"]["template"]["spec"]["containers"][0]["env"] = bulk.collect();
    })
    .await;
    // A word that the schema takes and our type does not know.
    beside(&shop, "undecodable", |_| {}).await;
    let unknown = json!({"status": {"phase": "Enlightened"}});
    shop.verb_of("undecodable", &unknown)
        .await
        .expect("a status");
    beside(&shop, "invalid", |manifest| {
        manifest["spec"]["strategy"]["canary"]["steps"] = json!([{"setWeight": 20, "pause": {}}]);
    })
    .await;
    shop.first(
        "v1",
        &json!([{"setWeight": 20}, {"pause": {"duration": "1s"}}]),
    )
    .await
    .expect("the good one");
    shop.deploy(
        "v2",
        &json!([{"setWeight": 20}, {"pause": {"duration": "1s"}}]),
    )
    .await
    .expect("its next version");
    let good = shop.phase("Healthy").await.expect("healthy");
    assert_eq!(text(&good, "/metadata/name"), NAME);
    assert_eq!(number(&good, "/status/updatedReplicas"), 5);
    shared.check().await.expect("no fault");
}

/// A template with a mount of a volume that there is none of: our kinds take it, a ReplicaSet is refused.
#[tokio::test]
async fn a_template_that_the_api_server_refuses_stops_nothing_else() {
    let shared = Shared::get().await.expect("the shared cluster");
    let cluster = shared.cluster().expect("the cluster");
    let shop = Shop::open(cluster, "refused").await.expect("a namespace");
    let steps = json!([{"setWeight": 20}, {"pause": {"duration": "1s"}}]);
    shop.first("v1", &steps).await.expect("the first version");
    let mut bad = shop.manifest("v2", &steps);
    bad["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "nowhere", "mountPath": "/data"}]);
    shop.apply(&bad).await.expect("a bad template");
    let rollout = shop.phase("Degraded").await.expect("it is said");
    let message = text(&rollout, "/status/message");
    assert!(message.starts_with("InvalidSpec: "), "{message}");
    assert!(message.contains("volumeMounts"), "{message}");
    let progressing = |rollout: &Value| {
        let conditions = rollout.pointer("/status/conditions");
        let all = conditions.and_then(Value::as_array).cloned();
        let mut all = all.unwrap_or_default().into_iter();
        let found = all.find(|one| text(one, "/type") == "Progressing");
        found.map(|one| text(&one, "/reason").to_owned())
    };
    assert_eq!(
        progressing(&rollout).as_deref(),
        Some("ReplicaSetCreateError")
    );
    // An autoscaler is followed.
    shop.scale(Some(7)).await.expect("a scale");
    shop.serves(&[("v1", 7)]).await.expect("seven pods");
    shop.scale(Some(5)).await.expect("a scale");
    shop.serves(&[("v1", 5)]).await.expect("five pods");
    // So is a person who aborts.
    shop.verb(&json!({"status": {"abort": true}}))
        .await
        .expect("abort");
    shop.until("aborted", |rollout| {
        text(rollout, "/status/message").starts_with("RolloutAborted")
    })
    .await
    .expect("aborted");
    eventually("an event tells it", SOON, async || {
        let events = shop
            .all(Kind::Event)
            .await
            .map_err(|error| error.to_string())?;
        let mut reasons = events.iter().map(|event| text(event, "/reason"));
        let told = reasons.any(|reason| reason == "ReplicaSetCreateError");
        told.then_some(()).ok_or_else(|| "no such event".to_owned())
    })
    .await
    .expect("an event");
    // And a corrected template goes its way.
    shop.deploy("v3", &steps).await.expect("a good template");
    shop.healthy("v3").await.expect("healthy");
    shared.check().await.expect("no fault");
}
