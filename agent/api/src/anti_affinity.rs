//! Anti-affinity between versions: pods of a new version keep off the nodes of the stable one.
//!
//! In: a template, the strategy's wish, the stable version. Out: the template with one more term; digests and hashes
//! leave the term out. Must not touch: terms that somebody wrote.

use serde_json::{Map, Value, json};

use crate::names::LABEL_POD_HASH;
use crate::pod_hash::PodHash;
use crate::pod_template::PodTemplate;
use crate::strategy::AntiAffinity;

/// What counts as one place.
const TOPOLOGY: &str = "kubernetes.io/hostname";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The template with the term that keeps its pods off the stable version's nodes.
pub fn inject(template: &PodTemplate, wish: &AntiAffinity, stable: &PodHash) -> PodTemplate {
    let term = json!({
        "labelSelector": {"matchExpressions": [
            {"key": LABEL_POD_HASH, "operator": "In", "values": [stable]},
        ]},
        "topologyKey": TOPOLOGY,
    });
    let (list, term) = match &wish.preferred {
        Some(preferred) => (
            PREFERRED,
            json!({"weight": preferred.weight, "podAffinityTerm": term}),
        ),
        None => (REQUIRED, term),
    };
    template.changed(|value| {
        let terms = ["spec", "affinity", "podAntiAffinity", list]
            .into_iter()
            .try_fold(value, field);
        if let Some(terms) = terms {
            let mut all = terms.as_array().cloned().unwrap_or_default();
            all.push(term);
            *terms = Value::Array(all);
        }
    })
}

/// A field of an object; what is no object is replaced by an empty one.
fn field<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let fields = value.as_object_mut()?;
    Some(fields.entry(name.to_owned()).or_insert(Value::Null))
}

#[cfg(test)]
mod tests;
