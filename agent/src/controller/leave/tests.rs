//! Experiments of a Rollout that begin anew. In: a Rollout at the step that makes one, or taken back, the Experiment with a
//! status that somebody cleared. Out: what the API server is asked to make.

use std::sync::{Arc, Mutex};

use agent_api::digest::content_digest;
use agent_api::names::{ANNOTATION_DIGEST, ANNOTATION_REVISION, LABEL_POD_HASH, LABEL_STEP_INDEX};
use agent_api::pod_hash::{pod_hash, steps_hash};
use agent_api::{CanaryStep, PodTemplate};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::super::tests::controller;
use super::*;
use crate::cache::Caches;

const NAMESPACE: &str = "shop";

fn template(version: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": format!("web:{version}")}]},
    })
}

fn hash(version: &str) -> String {
    pod_hash(&PodTemplate::of(template(version)), None).to_string()
}

fn steps() -> Value {
    json!([
        {"setWeight": 0},
        {"experiment": {"duration": "1m", "templates": [{"name": "canary", "specRef": "canary"}]}},
    ])
}

fn rollout(status: Value) -> Value {
    let walked: Vec<CanaryStep> = serde_json::from_value(steps()).unwrap();
    let mut whole = json!({
        "phase": "Progressing", "observedGeneration": "2", "currentPodHash": hash("v2"), "stableRS": hash("v1"),
        "currentStepHash": steps_hash(&walked),
    });
    let fields = status.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(fields);
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {
            "name": "web", "namespace": NAMESPACE, "uid": "rollout-uid", "generation": 2, "resourceVersion": "1",
            "annotations": {ANNOTATION_REVISION: "2"},
        },
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template("v2"),
            "strategy": {"canary": {"steps": steps()}},
        },
        "status": whole,
    })
}

fn owned_by_rollout() -> Value {
    json!([{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": "rollout-uid", "controller": true}])
}

fn set(version: &str, revision: &str, replicas: i32) -> Value {
    let hash = hash(version);
    let labels = json!({"app": "web", LABEL_POD_HASH: hash});
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("web-{hash}"), "namespace": NAMESPACE, "uid": format!("{version}-uid"), "labels": labels,
            "annotations": {
                ANNOTATION_REVISION: revision,
                ANNOTATION_DIGEST: content_digest(&PodTemplate::of(template(version))),
            },
            "ownerReferences": owned_by_rollout(),
        },
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template(version)},
        "status": {"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas},
    })
}

fn experiment() -> Value {
    let labels = json!({LABEL_POD_HASH: hash("v2"), LABEL_STEP_INDEX: "1"});
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Experiment",
        "metadata": {
            "name": name(), "namespace": NAMESPACE, "uid": "experiment-uid", "resourceVersion": "1",
            "labels": labels, "ownerReferences": owned_by_rollout(),
        },
        "spec": {"duration": "1m", "templates": [
            {"name": "canary", "selector": {"matchLabels": {"app": "web"}}, "template": template("v2")},
        ]},
    })
}

fn name() -> String {
    format!("web-{}-2-1", hash("v2"))
}

/// Requests that write, with what they say.
type Written = Arc<Mutex<Vec<(String, Value)>>>;

fn client(written: &Written) -> Client {
    let written = Arc::clone(written);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let written = Arc::clone(&written);
        async move {
            let (parts, body) = request.into_parts();
            let kind = parts.uri.path().split('/').nth(6).unwrap_or_default();
            let sent = body.collect().await.unwrap().to_bytes();
            let mut answer: Value = serde_json::from_slice(&sent).unwrap();
            let what = format!("{} {kind}", parts.method);
            written.lock().unwrap().push((what, answer.clone()));
            answer["metadata"]["resourceVersion"] = json!("2");
            answer["metadata"]["uid"] = json!("of-the-answer");
            let body = Body::from(answer.to_string().into_bytes());
            Ok::<_, std::io::Error>(http::Response::new(body))
        }
    });
    Client::new(service, "default")
}

/// One pass over the Experiment, beside a Rollout with this status. Gives what was made, and what the Experiment says.
async fn pass(rollout: Option<Value>) -> (Vec<String>, String) {
    let (written, caches) = (Written::default(), Arc::new(Caches::default()));
    if let Some(rollout) = rollout {
        caches
            .rollouts
            .show(serde_json::from_value(rollout).unwrap());
    }
    for set in [set("v1", "1", 2), set("v2", "2", 0)] {
        caches
            .replica_sets
            .show(serde_json::from_value(set).unwrap());
    }
    caches
        .experiments
        .show(serde_json::from_value(experiment()).unwrap());
    let controller = controller(&client(&written), Arc::clone(&caches));
    let outcome = controller
        .experiment(&ObjectKey::new(NAMESPACE, name()))
        .await;
    assert!(matches!(outcome, Ok(Outcome::Done(_))));
    let written = written.lock().unwrap().clone();
    let made = written.iter().filter(|(what, _)| what.starts_with("POST"));
    let made = made.map(|(what, _)| what.clone()).collect();
    let said = written
        .iter()
        .find_map(|(_, body)| body.pointer("/status/message")?.as_str());
    (made, said.unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_experiment_of_a_step_that_waits_for_it_begins() {
    let waits = rollout(json!({"currentStepIndex": 1, "canary": {"currentExperiment": name()}}));
    let (made, said) = pass(Some(waits)).await;
    assert_eq!(
        (made, said.as_str()),
        (vec!["POST replicasets".to_owned()], "")
    );
}

#[tokio::test]
async fn an_experiment_whose_rollout_does_not_wait_for_it_begins_nothing() {
    let aborted =
        json!({"currentStepIndex": 0, "abort": true, "abortedAt": "2026-01-01T00:00:00Z"});
    let mut paused =
        rollout(json!({"currentStepIndex": 1, "canary": {"currentExperiment": name()}}));
    paused["spec"]["paused"] = json!(true);
    let mut of_another = rollout(json!({"currentStepIndex": 1}));
    of_another["metadata"]["uid"] = json!("of-another");
    for (rollout, why) in [
        (Some(rollout(aborted)), "aborted"),
        (Some(paused), "paused"),
        (Some(rollout(json!({"currentStepIndex": 2}))), ""),
        (Some(of_another), "it is not there"),
        (None, "it is not there"),
    ] {
        let (made, said) = pass(rollout).await;
        assert!(made.is_empty(), "{why}: {made:?}");
        let said = said.strip_prefix("waits for its Rollout: ");
        assert!(
            said.is_some_and(|said| said.contains(why)),
            "{why}: {said:?}"
        );
    }
}
