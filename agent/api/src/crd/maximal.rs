//! Objects with every field set.
//!
//! In: the table of fields. Out: for each kind one object in which every field has a value of its own, so that a lost
//! or swapped field shows. Must not touch: whether the engine could act on it.

use serde_json::{Map, Value, json};

use super::schema::TIMES;
use super::table::{FieldType, KindRow, Node};
use crate::names::{FLEET_GROUP, ROLLOUTS_GROUP, VERSION};

/// Values for strings that are read as words; by the end of the path.
const WORDS: [(&str, &str); 9] = [
    ("templateStatuses.status", "Progressing"),
    ("analysisRuns.phase", "Failed"),
    (".operator", "In"),
    ("RunStatus.status", "Running"),
    ("metricResults.phase", "Failed"),
    ("measurements.phase", "Inconclusive"),
    ("Rollout.status.phase", "Paused"),
    (".status.phase", "Error"),
    (".observedGeneration", "7"),
];

pub(super) fn from_table(row: &KindRow) -> Value {
    let mut next = 0;
    let mut object = Map::new();
    object.insert(
        "apiVersion".to_owned(),
        json!(format!("{ROLLOUTS_GROUP}/{VERSION}")),
    );
    object.insert("kind".to_owned(), json!(row.kind));
    object.insert("metadata".to_owned(), metadata(row.scope == "Namespaced"));
    for (name, node) in &row.root.fields {
        object.insert(
            name.clone(),
            value(node, &format!("{}.{name}", row.kind), &mut next),
        );
    }
    Value::Object(object)
}

fn metadata(namespaced: bool) -> Value {
    let mut metadata = json!({
        "name": "maximal",
        "labels": {"app": "maximal"},
        "annotations": {"example.com/note": "kept"},
    });
    if let (true, Some(fields)) = (namespaced, metadata.as_object_mut()) {
        fields.insert("namespace".to_owned(), json!("default"));
    }
    metadata
}

/// A value for a node; `next` numbers the values, so that no two are equal.
fn value(node: &Node, path: &str, next: &mut u32) -> Value {
    *next = next.saturating_add(1);
    match node.r#type {
        FieldType::Embedded => embedded(),
        FieldType::Object if node.is_open() => {
            json!({"known-to-nobody": {"deep": [*next, "text", true]}})
        }
        FieldType::Object => object(node, path, next),
        FieldType::Array => Value::Array(
            node.items
                .iter()
                .map(|item| value(item, path, next))
                .collect(),
        ),
        FieldType::String => text(node, path),
        FieldType::Integer => json!(*next),
        FieldType::Boolean => json!(true),
        FieldType::IntOrString if next.is_multiple_of(2) => json!(format!("{next}%")),
        FieldType::IntOrString => json!(*next),
    }
}

fn object(node: &Node, path: &str, next: &mut u32) -> Value {
    let mut fields = Map::new();
    if let Some(values) = &node.values {
        fields.insert("example.com/key".to_owned(), value(values, path, next));
    }
    for (name, field) in &node.fields {
        fields.insert(name.clone(), value(field, &format!("{path}.{name}"), next));
    }
    Value::Object(fields)
}

fn text(node: &Node, path: &str) -> Value {
    let last = path.rsplit('.').next().unwrap_or(path);
    if let Some(first) = node.allowed.first() {
        return json!(first);
    }
    if TIMES.contains(&last) {
        return json!("2026-01-02T03:04:05Z");
    }
    let word = WORDS
        .iter()
        .find(|(end, _)| path.ends_with(end))
        .map(|(_, word)| *word);
    json!(word.unwrap_or(path))
}

/// A template with a field that no version of Kubernetes knows, deep in a container.
fn embedded() -> Value {
    json!({
        "metadata": {"labels": {"app": "maximal"}},
        "spec": {
            "containers": [{
                "name": "main",
                "image": "registry.example.com/maximal:v1",
                "ports": [{"containerPort": 8080, "knownToNobody": {"deep": [1, "text", false]}}],
            }],
            "knownToNobodyEither": 7,
        },
    })
}

pub(super) fn gate() -> Value {
    let fence = json!({"incarnation": 1, "version": 42});
    json!({
        "apiVersion": format!("{FLEET_GROUP}/{VERSION}"),
        "kind": "Gate",
        "metadata": {"name": "shop.checkout", "namespace": "default"},
        "spec": {
            "rollout": {"namespace": "shop", "name": "checkout", "uid": "rollout-uid"},
            "fleetRollout": "checkout",
            "governed": true,
            "incarnation": 1,
            "version": 42,
            "policy": {
                "onHubLoss": {"action": "Abort", "afterSeconds": 60},
                "rollbackPhase": "Paused",
                "enforcement": "Observe",
            },
            "waiting": {
                "release": "checkout#2", "wave": 2, "waves": 3, "waveName": "europe", "reason": "waiting for an approval",
            },
            "permit": {
                "release": "checkout#1", "direction": "Rollback", "fence": fence, "digest": "v1:aa",
                "deliveryDigest": "v1:bb", "startBy": "2026-01-02T03:04:05Z", "maxStep": 3, "leaseSeconds": 30,
                "why": "error rate", "stepsBackwards": true, "clusterUid": "cluster-uid", "rolloutUid": "rollout-uid",
                "signature": "c2lnbmF0dXJl", "traceparent": "00-aa-bb-01",
            },
            "barred": ["v1:cc"],
            "traceparent": "00-cc-dd-01",
            "known-to-nobody": {"deep": [1]},
        },
        "status": {
            "served": {
                "digest": "v1:dd", "deliveryDigest": "v1:ee", "podHash": "abc", "release": "checkout#0",
                "generation": 3, "at": "2026-01-02T03:04:06Z",
            },
            "held": {
                "digest": "v1:ff", "deliveryDigest": "v1:gg", "revision": "deadbeef", "images": ["demo:v2"],
                "generation": 4, "since": "2026-01-02T03:04:07Z",
            },
            "effective": {"fence": fence, "digest": "v1:hh", "generation": 5, "at": "2026-01-02T03:04:08Z"},
            "outcome": {
                "fence": fence, "release": "checkout#1", "digest": "v1:ii", "result": "NoRollbackTarget",
                "message": "nothing kept", "generation": 6, "at": "2026-01-02T03:04:09Z",
            },
            "lease": {"grantedSeconds": 30, "deadline": "2026-01-02T03:04:10Z", "endedAt": "2026-01-02T03:04:11Z"},
            "kept": [{
                "digest": "v1:jj", "deliveryDigest": "v1:kk", "name": "checkout-kept-1",
                "lastServedAt": "2026-01-02T03:04:11Z", "keptAt": "2026-01-02T03:04:12Z",
            }],
            "localPermit": {"origin": "FirstDeploy", "digest": "v1:ll"},
            "observedDigest": "v1:mm",
            "breakGlass": [{
                "digest": "v1:nn", "by": "ann", "reason": "hotfix", "over": fence, "release": "checkout#2",
                "at": "2026-01-02T03:04:13Z", "ended": "Served",
            }],
            "withoutHub": "serves what it serves and starts nothing",
            "known-to-nobody": {"deep": [2]},
        },
    })
}

pub(super) fn member() -> Value {
    json!({
        "apiVersion": format!("{FLEET_GROUP}/{VERSION}"),
        "kind": "FleetMember",
        "metadata": {"name": "member", "namespace": "default"},
        "spec": {
            "cluster": "prod-eu", "hub": "https://hub.example.com:7443", "kubeSystemUid": "uid",
            "known-to-nobody": {"deep": [1]},
        },
        "status": {
            "fence": {"incarnation": 1, "version": 42},
            "setHash": "hash",
            "governed": [{"fleetRollout": "checkout", "namespace": "shop", "name": "checkout"}],
            "firstContactDone": true,
            "session": 9,
            "known-to-nobody": {"deep": [2]},
        },
    })
}
