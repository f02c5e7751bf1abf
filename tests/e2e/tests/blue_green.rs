//! The agent alone in a cluster: blue-green as its users know it, with people who come through the active Service all the
//! time. In: manifests, Services and verbs. Out: what the Services select, the pods, and every answer that people got.

use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::deed;
use tests_e2e::object::{Kind, number, text};
use tests_e2e::shop::{NAME, Shop};
use tests_e2e::visitors::Visitors;

/// The Service of the newest version.
const PREVIEW: &str = "preview";

/// A version under a blue-green strategy.
async fn deploy(shop: &Shop, version: &str, more: &Value) {
    let mut manifest = shop.manifest(version, &json!([]));
    let mut strategy = json!({"activeService": NAME, "previewService": PREVIEW});
    for (field, value) in more.as_object().expect("fields") {
        strategy[field] = value.clone();
    }
    manifest["spec"]["strategy"] = json!({"blueGreen": strategy});
    shop.apply(&manifest).await.expect("applied");
}

fn current(rollout: &Value) -> String {
    text(rollout, "/status/currentPodHash").to_owned()
}

#[tokio::test]
async fn a_version_is_previewed_aborted_promoted_and_taken_back_without_one_failed_request() {
    let (shared, shop) = Shared::with("blue-green").await.expect("a namespace");
    shop.service(PREVIEW).await.expect("a service");
    // Long enough that the old version is there when it is wanted back, and is gone within the test.
    let by_hand = json!({"autoPromotionEnabled": false, "scaleDownDelaySeconds": 15});
    deploy(&shop, "v1", &by_hand).await;
    let v1 = current(&shop.healthy("v1").await.expect("healthy"));
    shop.selected(NAME, &v1).await.expect("selected");
    let cluster = shared.cluster().expect("the cluster");
    let mut visitors = Visitors::start(shared.run(), cluster, &shop).expect("visitors");
    visitors.only("v1").await.expect("v1 answers");

    deploy(&shop, "v2", &by_hand).await;
    let held = shop.phase("Paused").await.expect("held");
    assert_eq!(text(&held, "/status/message"), "BlueGreenPause");
    let v2 = current(&held);
    shop.selected(PREVIEW, &v2).await.expect("selected");
    shop.serves(&[("v1", 5), ("v2", 5)]).await.expect("both");
    assert_eq!(shop.selects(NAME).await.expect("read"), v1);
    // An autoscaler sees the active version alone.
    assert_eq!(number(&held, "/status/HPAReplicas"), 5);
    assert!(text(&held, "/status/selector").contains(&v1), "{held}");

    shop.verb(&deed::abort()).await.expect("aborted");
    shop.phase("Degraded").await.expect("degraded");
    assert_eq!(shop.selects(NAME).await.expect("read"), v1);
    shop.verb(&deed::retry()).await.expect("retried");
    shop.phase("Paused").await.expect("held again");
    let before = visitors.answers().expect("answers");
    let early = before.iter().filter(|answer| answer.version == "v2");
    assert_eq!(early.count(), 0, "nobody saw the preview");

    shop.verb(&deed::promote()).await.expect("promoted");
    let done = shop.phase("Healthy").await.expect("healthy");
    assert_eq!(text(&done, "/status/stableRS"), v2);
    shop.selected(NAME, &v2).await.expect("selected");
    visitors.only("v2").await.expect("v2 answers");
    // The old version still has its pods: back without a pause and without a new pod.
    shop.serves(&[("v1", 5), ("v2", 5)]).await.expect("both");
    deploy(&shop, "v1", &by_hand).await;
    let back = shop.phase("Healthy").await.expect("healthy");
    assert_eq!(text(&back, "/status/stableRS"), v1);
    shop.selected(NAME, &v1).await.expect("selected");
    visitors.only("v1").await.expect("v1 answers");
    shop.serves(&[("v1", 5)])
        .await
        .expect("v2 goes after its delay");

    let answers = visitors.answers().expect("answers");
    let failed: Vec<_> = answers.iter().filter(|answer| answer.failed()).collect();
    assert!(failed.is_empty(), "of {}: {failed:?}", answers.len());
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn a_missing_service_is_waited_for_and_a_deleted_rollout_lets_go_of_its_own() {
    let (shared, shop) = Shared::with("blue-green-services")
        .await
        .expect("a namespace");
    deploy(&shop, "v1", &json!({})).await;
    let invalid = shop.phase("Degraded").await.expect("invalid");
    let message = text(&invalid, "/status/message");
    assert!(message.starts_with("InvalidSpec: "), "{message}");
    assert!(
        message.contains("spec.strategy.blueGreen.previewService"),
        "{message}"
    );
    assert!(shop.all(Kind::ReplicaSet).await.expect("sets").is_empty());

    shop.service(PREVIEW).await.expect("a service");
    let v1 = current(&shop.healthy("v1").await.expect("by itself"));
    shop.selected(NAME, &v1).await.expect("selected");
    shop.selected(PREVIEW, &v1).await.expect("selected");
    let managed = "/metadata/annotations/argo-rollouts.argoproj.io~1managed-by-rollouts";
    let active = shop.named(Kind::Service, NAME).await.expect("read");
    assert_eq!(text(&active, managed), NAME);

    shop.delete(Kind::Rollout, NAME).await.expect("deleted");
    shop.selected(NAME, "").await.expect("selected");
    shop.selected(PREVIEW, "").await.expect("selected");
    let active = shop.named(Kind::Service, NAME).await.expect("read");
    assert_eq!(text(&active, managed), "");
    shared.check().await.expect("no fault");
}
