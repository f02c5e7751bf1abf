//! The CustomResourceDefinition around a schema.
//!
//! In: a kind's names, columns and schema. Out: the CRD as JSON. Must not touch: the schema's content.

use serde_json::{Map, Value, json};

use super::schema;
use super::table::{Column, KindRow};
use crate::names::{ROLLOUTS_GROUP, VERSION};

/// What a CRD says beside its schema.
pub(super) struct Names<'a> {
    pub(super) group: &'a str,
    pub(super) kind: &'a str,
    pub(super) plural: &'a str,
    pub(super) short: &'a str,
    pub(super) scope: &'a str,
}

pub(super) fn from_table(row: &KindRow) -> Value {
    let names = Names {
        group: ROLLOUTS_GROUP,
        kind: &row.kind,
        plural: &row.plural,
        short: &row.short,
        scope: &row.scope,
    };
    let mut subresources = Map::new();
    if row.has_status {
        subresources.insert("status".to_owned(), json!({}));
    }
    if row.has_scale {
        let scale = json!({
            "labelSelectorPath": ".status.selector",
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.HPAReplicas",
        });
        subresources.insert("scale".to_owned(), scale);
    }
    assemble(
        &names,
        &row.columns,
        &Value::Object(subresources),
        &schema::of_kind(&row.root),
    )
}

pub(super) fn assemble(
    names: &Names<'_>,
    columns: &[Column],
    subresources: &Value,
    schema: &Value,
) -> Value {
    let columns: Vec<Value> = columns
        .iter()
        .map(|column| json!({"name": column.name, "type": column.r#type, "jsonPath": column.path}))
        .collect();
    let Names {
        group,
        kind,
        plural,
        short,
        scope,
    } = names;
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "shortNames": [short],
                "singular": kind.to_lowercase(),
            },
            "scope": if *scope == "Cluster" { "Cluster" } else { "Namespaced" },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": schema},
                "subresources": subresources,
            }],
        },
    })
}
