//! Pod templates.

use serde_json::json;

use super::PodTemplate;
use crate::replica_set::ReplicaSet;
use crate::rollout::Rollout;

fn template() -> PodTemplate {
    PodTemplate::of(json!({
        "metadata": {"labels": {"app": "shop"}, "annotations": {"note": "a"}},
        "spec": {
            "initContainers": [{"name": "first", "image": "init:v1", "envFrom": [{"configMapRef": {"name": "from-init"}}]}],
            "containers": [
                {
                    "name": "main",
                    "image": "shop:v1",
                    "env": [
                        {"name": "A", "value": "plain"},
                        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "by-key", "key": "k"}}},
                        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "secret-key", "key": "k"}}},
                        {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "maybe", "key": "k", "optional": true}}},
                    ],
                    "envFrom": [{"secretRef": {"name": "from-secret"}}],
                    "futureField": {"deep": [1, {"er": "text"}]},
                },
                {"name": "side", "image": "side:v2"},
            ],
            "volumes": [
                {"name": "a", "configMap": {"name": "by-volume"}},
                {"name": "b", "secret": {"secretName": "secret-volume"}},
                {"name": "c", "projected": {"sources": [{"configMap": {"name": "projected"}}, {"secret": {"name": "secret-projected"}}]}},
                {"name": "d", "emptyDir": {}},
            ],
            "imagePullSecrets": [{"name": "pull"}],
        },
    }))
}

#[test]
fn tells_images_in_order() {
    assert_eq!(template().images(), ["shop:v1", "side:v2", "init:v1"]);
    assert!(PodTemplate::default().images().is_empty());
}

#[test]
fn tells_config_it_cannot_do_without() {
    let names = template().config_names();
    assert_eq!(
        names.config_maps.into_iter().collect::<Vec<_>>(),
        ["by-key", "by-volume", "from-init", "projected"]
    );
    assert_eq!(
        names.secrets.into_iter().collect::<Vec<_>>(),
        [
            "from-secret",
            "pull",
            "secret-key",
            "secret-projected",
            "secret-volume"
        ]
    );
}

#[test]
fn labels_come_and_go_without_a_trace() {
    let before = template();
    let with = before.with_label("extra", "1");
    assert_eq!(with.labels().get("extra").map(String::as_str), Some("1"));
    assert_eq!(with.labels().get("app").map(String::as_str), Some("shop"));
    assert_eq!(with.without_label("extra"), before);
    assert_eq!(
        PodTemplate::default().with_label("a", "b").value(),
        json!({"metadata": {"labels": {"a": "b"}}})
    );
    let annotated = PodTemplate::of(json!({"metadata": null})).with_annotation("a", "b");
    assert_eq!(
        annotated.annotations().get("a").map(String::as_str),
        Some("b")
    );
}

#[test]
fn knows_when_it_is_empty() {
    assert!(PodTemplate::default().is_empty());
    assert!(PodTemplate::of(json!({})).is_empty());
    assert!(!template().is_empty());
}

/// Rollout → ReplicaSet → back into the Rollout, as an undo does it, each time through the API's JSON.
#[test]
fn an_unknown_field_deep_in_a_container_survives_an_undo() {
    let rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "shop"}}, "template": template()},
    });
    let read: Rollout = serde_json::from_value(rollout.clone()).unwrap();
    let mut set = ReplicaSet::default();
    set.spec.template = read
        .spec
        .template
        .clone()
        .unwrap()
        .with_label("rollouts-pod-template-hash", "abc");
    let set: ReplicaSet = serde_json::from_value(serde_json::to_value(&set).unwrap()).unwrap();
    let mut undone = read;
    undone.spec.template = Some(
        set.spec
            .template
            .without_label("rollouts-pod-template-hash"),
    );
    let written = serde_json::to_value(&undone).unwrap();
    assert_eq!(written["spec"]["template"], rollout["spec"]["template"]);
    assert_eq!(
        written["spec"]["template"]["spec"]["containers"][0]["futureField"]["deep"][1]["er"],
        "text"
    );
}
