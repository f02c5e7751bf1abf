//! Digests: committed vectors, made by an independent writer, and what is no part of content.

use serde_json::{Value, json};

use super::*;
use crate::pod_template::PodTemplate;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../testdata/digests.json")).unwrap()
}

#[test]
fn content_follows_the_vectors() {
    for vector in vectors()["content"].as_array().unwrap() {
        let digest = content_digest(&PodTemplate::of(vector["template"].clone()));
        assert_eq!(json!(digest), vector["digest"], "{}", vector["name"]);
    }
}

#[test]
fn delivery_follows_the_vectors() {
    for vector in vectors()["delivery"].as_array().unwrap() {
        let templates: Vec<(String, Value)> =
            serde_json::from_value(vector["templates"].clone()).unwrap();
        let digest = delivery_digest(&vector["strategy"], &templates);
        assert_eq!(json!(digest), vector["digest"], "{}", vector["name"]);
        let turned: Vec<_> = templates.into_iter().rev().collect();
        assert_eq!(
            delivery_digest(&vector["strategy"], &turned),
            digest,
            "order of templates"
        );
    }
}

fn plain() -> Value {
    json!({
        "metadata": {"labels": {"app": "shop"}},
        "spec": {"affinity": {"nodeAffinity": {"a": 1}}, "containers": [{"name": "main", "image": "shop:v1"}]},
    })
}

#[test]
fn what_was_injected_is_no_content() {
    let mut changed = plain();
    changed["metadata"]["labels"]["rollouts-pod-template-hash"] = json!("abcd");
    changed["metadata"]["labels"]["role"] = json!("canary");
    changed["metadata"]["annotations"] = json!({"role": "canary"});
    let by_hash = json!({"matchExpressions": [{"key": "rollouts-pod-template-hash", "operator": "In", "values": ["x"]}]});
    changed["spec"]["affinity"]["podAntiAffinity"] = json!({
        "requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": by_hash, "topologyKey": "h"}],
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"labelSelector": by_hash}}],
    });
    let injected = Injected {
        labels: vec!["role".to_owned()],
        annotations: vec!["role".to_owned()],
        anti_affinity: true,
    };
    let before = content_digest(&PodTemplate::of(plain()));
    assert_eq!(
        content_digest_without(&PodTemplate::of(changed.clone()), &injected),
        before
    );
    assert_ne!(content_digest(&PodTemplate::of(changed)), before);
}

#[test]
fn own_anti_affinity_stays() {
    let mut changed = plain();
    let own = json!({"labelSelector": {"matchLabels": {"app": "shop"}}, "topologyKey": "h"});
    changed["spec"]["affinity"]["podAntiAffinity"] =
        json!({"requiredDuringSchedulingIgnoredDuringExecution": [own]});
    let injected = Injected {
        anti_affinity: true,
        ..Injected::default()
    };
    let with_own = PodTemplate::of(changed);
    assert_eq!(
        content_digest_without(&with_own, &injected),
        content_digest(&with_own)
    );
}

#[test]
fn any_change_of_content_is_another_digest() {
    let before = content_digest(&PodTemplate::of(plain()));
    let changes: [fn(&mut Value); 5] = [
        |template| template["spec"]["containers"][0]["image"] = json!("shop:v2"),
        |template| template["spec"]["containers"][0]["new"] = json!({"deep": [1]}),
        |template| template["metadata"]["annotations"] = json!({"a": ""}),
        |template| template["spec"]["hostNetwork"] = json!(false),
        |template| {
            template["spec"]["containers"] = json!([{"name": "main", "image": "shop:v1"}, {}])
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut changed = plain();
        change(&mut changed);
        assert_ne!(
            content_digest(&PodTemplate::of(changed)),
            before,
            "change {index}"
        );
    }
}

#[test]
fn a_spec_copied_from_a_replica_set_is_known_with_and_without_what_was_added() {
    let mut added = plain();
    added["metadata"]["labels"]["role"] = json!("canary");
    let term = json!({
        "labelSelector": {"matchExpressions": [{"key": LABEL_POD_HASH, "operator": "NotIn", "values": ["abc"]}]},
        "topologyKey": "h",
    });
    added["spec"]["affinity"]["podAntiAffinity"] =
        json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]});
    let copied = content_digest(&PodTemplate::of(added.clone()));
    added["metadata"]["labels"][LABEL_POD_HASH] = json!("abc");
    let set: ReplicaSet = serde_json::from_value(json!({
        "metadata": {"annotations": {ANNOTATION_EPHEMERAL_METADATA: "{\"labels\":{\"role\":\"canary\"}}"}},
        "spec": {"template": added},
    }))
    .unwrap();
    let digests = stored_digests(&set);
    assert_eq!(digests, [copied, content_digest(&PodTemplate::of(plain()))]);
    let bare = ReplicaSet::default();
    assert_eq!(stored_digests(&bare).len(), 1);
}
