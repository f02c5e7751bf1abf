//! A Rollout whose workload is gone when the agent starts. In: one pass over it, with a hub to tell. Out: it is told of, with
//! what it serves and without what it wants: silence would be a removal (gate.md G9, G27).

use std::sync::Arc;

use agent_api::Decoded;
use agent_api::names::{ANNOTATION_DIGEST, ANNOTATION_REVISION, LABEL_POD_HASH};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use proto::v1::RolloutState;
use serde_json::{Value, json};

use super::tests::controller;
use super::*;
use crate::cache::Caches;
use crate::link::report::Reports;

const DIGEST: &str = "v1:0011";

/// No workload is there; writes are answered as they were sent.
fn client() -> Client {
    let service = tower::service_fn(|request: http::Request<Body>| async move {
        let read = request.method() == http::Method::GET;
        let sent = request.into_body().collect().await.unwrap().to_bytes();
        let missing = json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": ""});
        let (code, answer) = match serde_json::from_slice::<Value>(&sent) {
            Ok(mut sent) if !read => {
                sent["metadata"]["resourceVersion"] = json!("2");
                sent["metadata"]["uid"] = json!("rollout-uid");
                (200, sent)
            }
            Ok(_) | Err(_) => (404, missing),
        };
        let body = Body::from(answer.to_string().into_bytes());
        let answer = http::Response::builder().status(code).body(body);
        Ok::<_, std::io::Error>(answer.unwrap())
    });
    Client::new(service, "default")
}

fn rollout() -> Decoded<Rollout> {
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "rollout-uid", "generation": 1, "resourceVersion": "1",
        },
        "spec": {
            "replicas": 2, "strategy": {"canary": {}},
            "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        },
        "status": {"phase": "Healthy", "currentPodHash": "abc", "stableRS": "abc"},
    });
    serde_json::from_value(object).unwrap()
}

fn set() -> Value {
    let labels = json!({"app": "web", LABEL_POD_HASH: "abc"});
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": "web-abc", "namespace": "shop", "uid": "set-uid", "labels": labels,
            "annotations": {ANNOTATION_REVISION: "1", ANNOTATION_DIGEST: DIGEST},
            "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": "rollout-uid", "controller": true,
            }],
        },
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}},
        "status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2},
    })
}

/// What the hub is told of at Hello after one pass, with what was told before it.
async fn told(before: Option<&RolloutState>) -> Vec<RolloutState> {
    let caches = Arc::new(Caches::default());
    caches.rollouts.show(rollout());
    caches
        .replica_sets
        .show(serde_json::from_value(set()).unwrap());
    let mut controller = controller(&client(), caches);
    let reports = Arc::new(Reports::new(true));
    controller.applier.reports = Arc::clone(&reports);
    let key = ObjectKey::new("shop", "web");
    if let Some(before) = before {
        reports.state(&key, before.clone());
    }
    let outcome = controller.reconcile(&Work::Rollout(key)).await;
    assert!(
        matches!(outcome, Ok(Outcome::Done(_))),
        "{:?}",
        outcome.err()
    );
    reports.begin()
}

#[tokio::test]
async fn a_rollout_whose_workload_is_gone_is_told_of_at_the_start() {
    let at_start = told(None).await;
    assert_eq!(at_start.len(), 1);
    assert_eq!(at_start[0].spec, None);
    assert_eq!(at_start[0].served_digest, DIGEST);
    let said = &at_start[0].message;
    assert!(said.contains("there is no Deployment"), "{said}");
    // What was said of it while its workload was there stands.
    let mut before = at_start[0].clone();
    before.message = String::from("as it was");
    assert_eq!(told(Some(&before)).await, vec![before]);
}
