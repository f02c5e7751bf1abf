//! Orphans and names that are taken, with an API server of a few objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_api::Decoded;
use serde_json::{Value, json};

use super::*;

/// Answers reads from objects by path.
fn client(objects: BTreeMap<&'static str, Value>) -> Client {
    let objects = Arc::new(objects);
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let found = objects.get(request.uri().path()).cloned();
        async move {
            let missing = json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": ""});
            let (code, body) = match found {
                Some(object) => (200, object),
                None => (404, missing),
            };
            let body = kube::client::Body::from(body.to_string().into_bytes());
            let answer = http::Response::builder().status(code).body(body);
            Ok::<_, std::io::Error>(answer.unwrap())
        }
    });
    Client::new(service, "default")
}

const ROLLOUT: &str = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/web";
const SET: &str = "/apis/apps/v1/namespaces/shop/replicasets/web-abc";
const RUN: &str = "/apis/argoproj.io/v1alpha1/namespaces/shop/analysisruns/web-abc-1-0";

fn rollout(uid: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "web", "namespace": "shop", "uid": uid},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}},
        },
    })
}

fn controlled(kind: &str, name: &str, uid: &str) -> Value {
    json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": true}])
}

fn set(name: &str, app: &str, owners: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": name, "namespace": "shop", "uid": name, "ownerReferences": owners,
            "labels": {"app": app, "rollouts-pod-template-hash": "abc"},
        },
        "spec": {"selector": {}, "template": {}},
    })
}

/// A Rollout, and nothing else that was observed.
pub(crate) fn alone(rollout: Value) -> Observed {
    Observed::alone(
        serde_json::from_value(rollout).unwrap(),
        "2026-01-01T00:00:00Z".parse().unwrap(),
    )
}

fn observed() -> Observed {
    alone(rollout("now"))
}

fn key() -> ObjectKey {
    ObjectKey::new("shop", "web")
}

fn caches(sets: &[Value]) -> Caches {
    let caches = Caches::default();
    for set in sets {
        let set: Decoded<ReplicaSet> = serde_json::from_value(set.clone()).unwrap();
        caches.replica_sets.show(set);
    }
    caches
}

async fn orphans(caches: &Caches, stored: Option<Value>) -> Vec<String> {
    let objects = stored.map(|rollout| (ROLLOUT, rollout));
    let claims = Claims::new(client(objects.into_iter().collect()));
    let found = claims.orphans(caches, &observed(), &key()).await.unwrap();
    let names = found.into_iter().filter_map(|set| set.metadata.name);
    names.collect()
}

#[tokio::test]
async fn only_what_nobody_owns_is_claimed_and_only_for_a_rollout_that_stays() {
    let mut elsewhere = set("web-else", "web", json!(null));
    elsewhere["metadata"]["namespace"] = json!("other");
    let mut going = set("web-going", "web", json!(null));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let loose = json!([{"apiVersion": "v1", "kind": "Application", "name": "a", "uid": "a"}]);
    let caches = caches(&[
        set("web-free", "web", json!(null)),
        set("web-loose", "web", loose),
        set("web-other", "other", json!(null)),
        set("web-owned", "web", controlled("Rollout", "web", "now")),
        set("web-theirs", "web", controlled("Deployment", "x", "x")),
        elsewhere,
        going,
    ]);
    let there = orphans(&caches, Some(rollout("now"))).await;
    assert_eq!(there, ["web-free", "web-loose"]);
    assert!(
        orphans(&caches, Some(rollout("later"))).await.is_empty(),
        "another Rollout has its name"
    );
    assert!(orphans(&caches, None).await.is_empty(), "it is gone");
    let mut going = rollout("now");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    going["metadata"]["finalizers"] = json!(["orphan"]);
    assert!(
        orphans(&caches, Some(going)).await.is_empty(),
        "it is on its way out"
    );
}

fn run(owners: &Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "web-abc-1-0", "namespace": "shop", "ownerReferences": owners},
    })
}

/// Asks twice, and once more when it does not count any more.
async fn check(kind: NamedKind, object: Option<Value>, by: Option<&str>) {
    let (path, name) = match kind {
        NamedKind::ReplicaSet => (SET, "web-abc"),
        NamedKind::AnalysisRun | NamedKind::Experiment => (RUN, "web-abc-1-0"),
    };
    let objects = object.clone().map(|object| (path, object));
    let claims = Claims::new(client(objects.into_iter().collect()));
    let mut observed = observed();
    assert!(claims.taken(&observed, &key()).await.unwrap().is_empty());
    claims.clashed(&Uid("now".into()), kind, name, observed.now);
    claims.clashed(&Uid("now".into()), kind, name, observed.now);
    let (name, by) = (name.to_owned(), by.map(str::to_owned));
    let expected: Vec<Taken> = by.map(|by| Taken { kind, name, by }).into_iter().collect();
    for _ in 0..2 {
        let taken = claims.taken(&observed, &key()).await.unwrap();
        assert_eq!(taken, expected, "{object:?}");
    }
    observed.now = observed.now.checked_add(COUNTS).unwrap();
    assert!(claims.taken(&observed, &key()).await.unwrap().is_empty());
    assert!(claims.lock().is_empty(), "nothing is kept for ever");
}

#[tokio::test]
async fn a_name_is_taken_for_as_long_as_it_is_anothers() {
    let ours = controlled("Rollout", "web", "now");
    let before = controlled("Rollout", "web", "before");
    let nobody = json!(null);
    let said = Some("Rollout web (uid before)");
    for (app, owners, by) in [
        ("web", &before, said),
        ("other", &nobody, Some("nobody")),
        ("web", &nobody, None),
        ("web", &ours, None),
    ] {
        let object = set("web-abc", app, owners.clone());
        check(NamedKind::ReplicaSet, Some(object), by).await;
    }
    for (owners, by) in [(&before, said), (&nobody, Some("nobody")), (&ours, None)] {
        check(NamedKind::AnalysisRun, Some(run(owners)), by).await;
    }
    check(NamedKind::ReplicaSet, None, None).await;
    check(NamedKind::AnalysisRun, None, None).await;
}
