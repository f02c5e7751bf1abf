//! The term is there, what somebody wrote stays, and identity does not see it.

use serde_json::{Value, json};

use super::inject;
use crate::digest::{Injected, content_digest, content_digest_without};
use crate::pod_hash::PodHash;
use crate::pod_template::PodTemplate;
use crate::strategy::AntiAffinity;

fn check(affinity: Value, wish: Value, list: &str, terms: usize) {
    let mut spec = json!({"containers": [{"name": "main", "image": "shop:v1"}]});
    if !affinity.is_null() {
        spec["affinity"] = affinity;
    }
    let written = PodTemplate::of(json!({"spec": spec}));
    let wish: AntiAffinity = serde_json::from_value(wish).unwrap();
    let injected = inject(&written, &wish, &PodHash("abc".into()));
    let path = format!("/spec/affinity/podAntiAffinity/{list}");
    let value = injected.value();
    let found = value.pointer(&path).unwrap().as_array().unwrap();
    assert_eq!(found.len(), terms, "{injected:?}");
    let text = found.last().unwrap().to_string();
    for part in [
        "rollouts-pod-template-hash",
        "\"abc\"",
        "kubernetes.io/hostname",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let without = Injected {
        anti_affinity: true,
        ..Injected::default()
    };
    assert_eq!(
        content_digest_without(&injected, &without),
        content_digest(&written)
    );
    assert_ne!(content_digest(&injected), content_digest(&written));
}

#[test]
fn a_term_is_added_and_never_part_of_the_content() {
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {}});
    let list = "requiredDuringSchedulingIgnoredDuringExecution";
    check(Value::Null, required.clone(), list, 1);
    let own = json!({"podAntiAffinity": {list: [
        {"labelSelector": {"matchLabels": {"app": "other"}}, "topologyKey": "zone"},
    ]}});
    check(own, required.clone(), list, 2);
    check(json!({"nodeAffinity": {"x": 1}}), required, list, 1);
    let preferred = json!({"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 7}});
    let list = "preferredDuringSchedulingIgnoredDuringExecution";
    check(json!({"podAntiAffinity": null}), preferred, list, 1);
}
