//! A Rollout that takes its pods from a Deployment. In: the Deployment, its changes. Out: the Rollout's pods take over from
//! the Deployment's one by one, a change of the Deployment is a canary, and without the Deployment what serves goes on.

use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::object::{Kind, number, text};
use tests_e2e::shop::{NAME, SOON, Shop};
use tests_fleet::eventually;

const GENERATION: &str = "/metadata/annotations/rollout.argoproj.io~1workload-generation";

fn deployment(shop: &Shop, version: &str) -> Value {
    let rollout = shop.manifest(version, &json!([]));
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": shop.namespace()},
        "spec": {
            "replicas": 5, "selector": rollout["spec"]["selector"],
            "template": rollout["spec"]["template"],
        },
    })
}

fn naming(shop: &Shop) -> Value {
    let mut rollout = shop.manifest("v1", &json!([{"setWeight": 20}, {"pause": {}}]));
    let spec = rollout["spec"].as_object_mut().expect("a spec");
    spec.remove("template");
    spec.remove("selector");
    let reference = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "name": NAME, "scaleDown": "progressively",
    });
    spec.insert("workloadRef".to_owned(), reference);
    rollout
}

#[tokio::test]
async fn a_deployments_pods_are_taken_over_and_its_changes_are_canaries() {
    let (shared, shop) = Shared::with("workload").await.expect("a namespace");
    shop.apply(&naming(&shop)).await.expect("the Rollout");
    let rollout = shop
        .phase("Degraded")
        .await
        .expect("there is no Deployment yet");
    let message = text(&rollout, "/status/message");
    assert!(
        message.contains("spec.workloadRef.name: there is no Deployment"),
        "{message}"
    );

    shop.apply(&deployment(&shop, "v1"))
        .await
        .expect("the Deployment");
    let rollout = shop.phase("Healthy").await.expect("it recovers by itself");
    eventually("the Deployment has given way", SOON, async || {
        let found = shop.named(Kind::Deployment, NAME).await;
        let found = found.map_err(|error| error.to_string())?;
        match number(&found, "/spec/replicas") {
            0 => Ok(()),
            left => Err(format!("{left} replicas")),
        }
    })
    .await
    .expect("given way");
    shop.serves(&[("v1", 5)])
        .await
        .expect("five pods, and all are the Rollout's");
    assert!(rollout.pointer("/spec/template").is_none(), "{rollout}");
    let first = text(&rollout, "/status/stableRS").to_owned();

    let image = json!({"spec": {"template": {"spec": {"containers": [
        deployment(&shop, "v2")["spec"]["template"]["spec"]["containers"][0],
    ]}}}});
    shop.patch_named(Kind::Deployment, NAME, &image)
        .await
        .expect("set image");
    let rollout = shop.paused_at(1).await.expect("a canary");
    shop.serves(&[("v1", 4), ("v2", 1)])
        .await
        .expect("a pod of five");
    assert_eq!(text(&rollout, "/status/stableRS"), first);
    assert_eq!(
        text(&rollout, GENERATION),
        text(&rollout, "/status/workloadObservedGeneration")
    );
    let found = shop
        .named(Kind::Deployment, NAME)
        .await
        .expect("the Deployment");
    assert_eq!(
        text(&rollout, GENERATION),
        number(&found, "/metadata/generation").to_string()
    );
    assert!(rollout.pointer("/spec/template").is_none());
    assert!(rollout.pointer("/spec/selector").is_none());
    shared.check().await.expect("no fault");
}
