//! Digests: the identity of content, and of how it is delivered.
//!
//! In: a pod template or a strategy as written. Out: `v1:` and the SHA-256 of its canonical JSON. Templates of ReplicaSets,
//! which the API server has filled with defaults, are nobody's content: their digests only tell that a spec was copied from
//! one. Must not touch: what is served.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::canonical::canonical;
use crate::names::{ANNOTATION_EPHEMERAL_METADATA, LABEL_POD_HASH};
use crate::pod_template::{PodTemplate, remove_metadata_entry};
use crate::replica_set::ReplicaSet;
use crate::text::text_id;

text_id! {
    /// Identity of a pod template as written: a permit is for exactly one.
    pub struct ContentDigest;
    /// Identity of a strategy and of the analysis templates that it names.
    pub struct DeliveryDigest;
}

/// The form of the canonical text; a new form gets a new prefix.
const FORM: &str = "v1";

/// What was added to a template after it was written, and is no part of its content.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Injected {
    /// Keys of labels that were added.
    pub labels: Vec<String>,
    /// Keys of annotations that were added.
    pub annotations: Vec<String>,
    /// Whether anti-affinity between versions was added.
    pub anti_affinity: bool,
}

/// Digest of a template as written in a Rollout.
pub fn content_digest(template: &PodTemplate) -> ContentDigest {
    content_digest_without(template, &Injected::default())
}

/// Digest of a template, without what was added to it.
pub fn content_digest_without(template: &PodTemplate, injected: &Injected) -> ContentDigest {
    ContentDigest(digest_of(&content(template, injected)))
}

/// What the digest of a spec would be that was copied from a ReplicaSet: its template without the hash label, as it is and
/// without what was added to it.
pub fn stored_digests(set: &ReplicaSet) -> Vec<ContentDigest> {
    let mut digests = vec![
        content_digest(&set.spec.template),
        content_digest_without(&set.spec.template, &injected(set)),
    ];
    digests.dedup();
    digests
}

/// The template of a ReplicaSet as a spec could have it: without the hash label and without what was added to it.
pub fn stored_template(set: &ReplicaSet) -> PodTemplate {
    PodTemplate::of(content(&set.spec.template, &injected(set)))
}

/// What was added to the template of a ReplicaSet, by its annotations.
fn injected(set: &ReplicaSet) -> Injected {
    let annotations = set.metadata.annotations.as_ref();
    let added: Value = annotations
        .and_then(|all| all.get(ANNOTATION_EPHEMERAL_METADATA))
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let keys = |field: &str| -> Vec<String> {
        let map = added.get(field).and_then(Value::as_object);
        map.into_iter()
            .flat_map(|map| map.keys().cloned())
            .collect()
    };
    Injected {
        labels: keys("labels"),
        annotations: keys("annotations"),
        anti_affinity: true,
    }
}

/// A template without the hash label and what was added to it.
pub(crate) fn content(template: &PodTemplate, injected: &Injected) -> Value {
    let mut content = template.value();
    remove_metadata_entry(&mut content, "labels", LABEL_POD_HASH);
    for key in &injected.labels {
        remove_metadata_entry(&mut content, "labels", key);
    }
    for key in &injected.annotations {
        remove_metadata_entry(&mut content, "annotations", key);
    }
    if injected.anti_affinity {
        remove_anti_affinity(&mut content);
    }
    content
}

/// Takes out the anti-affinity terms that select by the hash label.
fn remove_anti_affinity(template: &mut Value) {
    let terms = template
        .pointer_mut("/spec/affinity/podAntiAffinity")
        .and_then(Value::as_object_mut);
    for list in terms.into_iter().flat_map(|terms| terms.values_mut()) {
        if let Some(items) = list.as_array_mut() {
            items.retain(|term| !selects_by_hash(term));
        }
    }
}

/// A required term carries the selector itself, a preferred one inside `podAffinityTerm`.
fn selects_by_hash(term: &Value) -> bool {
    let term = term.get("podAffinityTerm").unwrap_or(term);
    let expressions = term
        .pointer("/labelSelector/matchExpressions")
        .and_then(Value::as_array);
    expressions
        .into_iter()
        .flatten()
        .any(|one| one.get("key").and_then(Value::as_str) == Some(LABEL_POD_HASH))
}

/// Digest of a strategy and the analysis templates that it names, given by name with their specs.
pub fn delivery_digest(strategy: &Value, templates: &[(String, Value)]) -> DeliveryDigest {
    let templates: Map<String, Value> = templates.iter().cloned().collect();
    DeliveryDigest(digest_of(
        &json!({"strategy": strategy, "templates": templates}),
    ))
}

fn digest_of(value: &Value) -> String {
    format!(
        "{FORM}:{}",
        hex::encode(Sha256::digest(canonical(value).as_bytes()))
    )
}

#[cfg(test)]
mod tests;
