//! Kinds, decoding and trimming.

use kube_core::Resource;
use serde_json::{Value, json};

use super::{Decoded, Trim};
use crate::gate::Gate;
use crate::replica_set::ReplicaSet;
use crate::rollout::Rollout;

#[test]
fn kinds_are_where_the_api_has_them() {
    assert_eq!(
        Rollout::url_path(&(), Some("shop")),
        "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts"
    );
    assert_eq!(
        ReplicaSet::url_path(&(), Some("shop")),
        "/apis/apps/v1/namespaces/shop/replicasets"
    );
    let cluster = crate::analysis::ClusterAnalysisTemplate::url_path(&(), None);
    assert_eq!(
        cluster,
        "/apis/argoproj.io/v1alpha1/clusteranalysistemplates"
    );
    assert_eq!(
        Gate::url_path(&(), Some("a")),
        "/apis/fleet.groundswell.dev/v1alpha1/namespaces/a/gates"
    );
}

#[test]
fn a_new_object_says_what_it_is() {
    let written = serde_json::to_value(ReplicaSet::default()).unwrap();
    assert_eq!(
        (&written["apiVersion"], &written["kind"]),
        (&json!("apps/v1"), &json!("ReplicaSet"))
    );
}

#[test]
fn items_of_a_list_need_not_say_what_they_are_but_may_not_lie() {
    assert!(serde_json::from_value::<ReplicaSet>(json!({"metadata": {}, "spec": {}})).is_ok());
    let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}});
    let error = serde_json::from_value::<ReplicaSet>(other)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("kind is Deployment, not ReplicaSet"),
        "{error}"
    );
}

/// A Gate that lost what must not be lost: never an ungoverned one.
fn unreadable(spec: Value) {
    let gate = json!({"metadata": {"name": "shop.checkout"}, "spec": spec});
    let decoded: Decoded<Gate> = serde_json::from_value(gate.clone()).unwrap();
    assert_eq!(decoded.metadata().name.as_deref(), Some("shop.checkout"));
    assert!(decoded.object.is_err(), "{gate}");
}

#[test]
fn a_gate_that_cannot_be_read_keeps_its_name_and_says_why() {
    let rollout = json!({"namespace": "shop", "name": "checkout"});
    unreadable(json!(null));
    unreadable(json!({}));
    unreadable(json!({"rollout": rollout, "incarnation": 1, "version": 1}));
    unreadable(json!({"rollout": rollout, "governed": "yes", "incarnation": 1, "version": 1}));
    unreadable(
        json!({"rollout": rollout, "governed": true, "incarnation": 1, "version": 1, "permit": {"digest": "v1:a"}}),
    );
    unreadable(json!({
        "rollout": rollout, "governed": true, "incarnation": 1, "version": 1,
        "policy": {"onHubLoss": {"action": "Explode"}},
    }));
    let good = json!({"metadata": {"name": "g"}, "spec": {"rollout": rollout, "governed": true, "incarnation": 1, "version": 1}});
    let decoded: Decoded<Gate> = serde_json::from_value(good).unwrap();
    assert!(decoded.object.unwrap().spec.governed);
}

#[test]
fn trimming_drops_bulk_and_keeps_meaning() {
    let annotations = |digest: Option<&str>| {
        let mut all =
            json!({"kubectl.kubernetes.io/last-applied-configuration": "{}", "keep": "me"});
        if let Some(digest) = digest {
            all["fleet.groundswell.dev/digest"] = json!(digest);
        }
        all
    };
    for (digest, spec_is_kept) in [(None, true), (Some("v1:aa"), false)] {
        let mut set: ReplicaSet = serde_json::from_value(json!({
            "metadata": {"managedFields": [{"manager": "a"}], "annotations": annotations(digest)},
            "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "shop"}}, "spec": {
                "volumes": [{"name": "v"}],
                "containers": [{"name": "a", "image": "demo:v1"}, {"name": "without"}],
                "initContainers": [{"name": "b", "image": "init:v1"}],
            }}},
        }))
        .unwrap();
        set.trim();
        assert_eq!(set.metadata.managed_fields, None);
        let kept = set.metadata.annotations.unwrap();
        assert!(
            kept.contains_key("keep")
                && !kept.contains_key("kubectl.kubernetes.io/last-applied-configuration")
        );
        // Images tell whether the spec could be what is stored here; nothing else of the pods is needed then.
        let template = set.spec.template.value();
        let spec = template.get("spec");
        assert_eq!(spec.unwrap().get("volumes").is_some(), spec_is_kept);
        assert_eq!(set.spec.template.images(), ["demo:v1", "init:v1"]);
        assert_eq!(
            set.spec.template.labels().get("app").map(String::as_str),
            Some("shop")
        );
    }
}

#[test]
fn the_core_group_has_no_slash() {
    let text = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"selector":{"app":"web"}}}"#;
    let service: crate::Service = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&service).unwrap(), text);
}
