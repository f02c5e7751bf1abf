//! Structural schemas.
//!
//! In: the tree of a kind's fields. Out: its `openAPIV3Schema`. Must not touch: the rest of the CRD.

use serde_json::{Map, Value, json};

use super::table::{FieldType, Node};

/// Fields that hold a time, by their last name; the API server refuses anything else in them.
pub(super) const TIMES: [&str; 14] = [
    "abortedAt",
    "availableAt",
    "completedAt",
    "finishedAt",
    "lastTransitionTime",
    "lastUpdateTime",
    "manualPauseStartedAt",
    "restartAt",
    "restartedAt",
    "resumeAt",
    "rolloutStartedAt",
    "startTime",
    "startedAt",
    "updatedAt",
];

/// Numbers that may need 64 bits, by path or by the end of one; all others are counts of 32 bits.
const LONG: [&str; 7] = [
    ".durationSeconds",
    ".port",
    ".step",
    ".timeout",
    ".timeoutSeconds",
    ".totalManualPauseDurationSeconds",
    ".threshold.",
];

/// The schema of an object of a kind.
pub(super) fn of_kind(root: &Node) -> Value {
    let mut properties = Map::new();
    for name in ["apiVersion", "kind"] {
        properties.insert(name.to_owned(), json!({"type": "string"}));
    }
    properties.insert("metadata".to_owned(), json!({"type": "object"}));
    for (name, node) in &root.fields {
        properties.insert(name.clone(), of_node(node, name));
    }
    json!({"type": "object", "required": ["spec"], "properties": properties})
}

fn of_node(node: &Node, path: &str) -> Value {
    match node.r#type {
        FieldType::Embedded => {
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
        }
        FieldType::Object => of_object(node, path),
        FieldType::Array => {
            let items = node
                .items
                .as_deref()
                .map_or(json!({"type": "object"}), |item| of_node(item, path));
            json!({"type": "array", "items": items})
        }
        FieldType::String => of_string(node, path),
        FieldType::Integer => {
            json!({"type": "integer", "format": if is_long(path) { "int64" } else { "int32" }})
        }
        FieldType::Boolean => json!({"type": "boolean"}),
        FieldType::IntOrString => json!({
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": true,
        }),
    }
}

fn of_object(node: &Node, path: &str) -> Value {
    if node.is_open() {
        return json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    if let Some(values) = &node.values {
        return json!({"type": "object", "additionalProperties": of_node(values, path)});
    }
    let properties: Map<String, Value> = node
        .fields
        .iter()
        .map(|(name, field)| (name.clone(), of_node(field, &format!("{path}.{name}"))))
        .collect();
    if path == "spec.selector" {
        // The selector decides which pods are ours: changed, it would orphan those that run.
        let rule = json!([{"rule": "self == oldSelf", "message": "selector is immutable"}]);
        return json!({"type": "object", "properties": properties, "x-kubernetes-validations": rule});
    }
    json!({"type": "object", "properties": properties})
}

fn of_string(node: &Node, path: &str) -> Value {
    let last = path.rsplit('.').next().unwrap_or(path);
    if !node.allowed.is_empty() {
        json!({"type": "string", "enum": node.allowed})
    } else if TIMES.contains(&last) {
        json!({"type": "string", "format": "date-time"})
    } else {
        json!({"type": "string"})
    }
}

fn is_long(path: &str) -> bool {
    LONG.iter()
        .any(|mark| path.ends_with(mark) || (mark.ends_with('.') && path.contains(mark)))
}
