//! The Rollouts of the benchmark. In: a number, a version, the length of a pause. Out: what a team would write for a small
//! service. Any controller of the CRDs takes it as it is.

use std::time::Duration;

use serde_json::{Value, json};

/// Their namespace.
pub const NAMESPACE: &str = "bench";
/// Pods of each.
pub const REPLICAS: i64 = 2;
/// The first and the second weight, in percent.
pub const WEIGHTS: [u8; 2] = [34, 67];

/// Name of the Rollout of a number.
pub fn name(number: usize) -> String {
    format!("service-{number:04}")
}

/// The Rollout of a number: two pauses between three weights.
pub fn rollout(number: usize, version: &str, pause: Duration) -> Value {
    let name = name(number);
    let pause = json!({"pause": {"duration": pause.as_secs()}});
    let weight = |weight: u8| json!({"setWeight": weight});
    let [first, second] = WEIGHTS;
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": {"app": name}},
            "template": template(&name, version),
            "strategy": {"canary": {"steps": [weight(first), pause, weight(second), pause]}},
        },
    })
}

/// A merge patch that gives it another version.
pub fn update(number: usize, version: &str) -> Value {
    json!({"spec": {"template": template(&name(number), version)}})
}

fn template(name: &str, version: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "service",
                "image": format!("pause:{version}"),
                "ports": [{"name": "http", "containerPort": 8080}],
                "env": [
                    {"name": "SERVICE", "value": name},
                    {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            }],
        },
    })
}
