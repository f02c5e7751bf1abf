//! The CRDs of Gate and FleetMember.
//!
//! In: nothing. Out: schemas that name what a cluster must not lose and preserve everything else, so that an older
//! agent never drops what a newer one wrote. Must not touch: the argoproj.io kinds.

use serde_json::{Value, json};

use super::document::{Names, assemble};
use super::table::Column;
use crate::names::FLEET_GROUP;

fn column(name: &str, path: &str) -> Column {
    Column {
        name: name.to_owned(),
        r#type: "string".to_owned(),
        path: path.to_owned(),
    }
}

fn age() -> Column {
    Column {
        name: "Age".to_owned(),
        r#type: "date".to_owned(),
        path: ".metadata.creationTimestamp".to_owned(),
    }
}

fn open_object() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn object(spec: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": open_object(),
        },
    })
}

/// Without a status subresource: one patch writes what the hub said and what the agent recorded.
pub(super) fn gate() -> Value {
    let number = json!({"type": "integer", "format": "int64", "minimum": 0});
    let spec = json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "required": ["rollout", "governed", "incarnation", "version"],
        "properties": {
            "governed": {"type": "boolean"},
            "incarnation": number,
            "version": number,
            "rollout": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
                "required": ["namespace", "name"],
                "properties": {"namespace": {"type": "string"}, "name": {"type": "string"}},
            },
        },
    });
    let names = Names {
        group: FLEET_GROUP,
        kind: "Gate",
        plural: "gates",
        short: "gate",
        scope: "Namespaced",
    };
    let columns = [
        column("FleetRollout", ".spec.fleetRollout"),
        column("Permit", ".spec.permit.release"),
        column("Waiting", ".spec.waiting.reason"),
        column("Outcome", ".status.outcome.result"),
        column("Without Hub", ".status.withoutHub"),
        age(),
    ];
    assemble(&names, &columns, &json!({}), &object(&spec))
}

pub(super) fn member() -> Value {
    let names = Names {
        group: FLEET_GROUP,
        kind: "FleetMember",
        plural: "fleetmembers",
        short: "fm",
        scope: "Namespaced",
    };
    let columns = [
        column("Cluster", ".spec.cluster"),
        column("Hub", ".spec.hub"),
        Column {
            r#type: "integer".to_owned(),
            ..column("Version", ".status.fence.version")
        },
        age(),
    ];
    assemble(&names, &columns, &json!({}), &object(&open_object()))
}
