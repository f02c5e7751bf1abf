//! Objects that are too much: a Rollout of five thousand steps, one of nearly the largest size that is stored, one that
//! no server should have let in. In: these beside a good one. Out: the good one goes through its canary as ever.

use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::object::{number, text};
use tests_e2e::shop::{NAME, Shop};

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
