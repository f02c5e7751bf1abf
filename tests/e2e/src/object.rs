//! Kubernetes objects as JSON. In: a client and a kind. Out: objects as the API server has them, no field lost to a type.

use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::Value;
use tests_fleet::{Error, Result};

/// What the tests read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of argoproj.io.
    Rollout,
    /// Of argoproj.io.
    AnalysisRun,
    /// Of argoproj.io.
    Experiment,
    /// Of our own group.
    Gate,
    /// Of our own group.
    FleetMember,
    /// Of apps.
    Deployment,
    /// Of apps.
    ReplicaSet,
    /// Of batch.
    Job,
    /// Of policy.
    PodDisruptionBudget,
    /// Of coordination.k8s.io.
    Lease,
    /// Of the core.
    Pod,
    /// Of the core.
    Service,
    /// Of the core.
    Event,
    /// Of the core.
    Secret,
    /// Of autoscaling.
    HorizontalPodAutoscaler,
}

impl Kind {
    fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Kind::Rollout => ("argoproj.io", "v1alpha1", "Rollout", "rollouts"),
            Kind::AnalysisRun => ("argoproj.io", "v1alpha1", "AnalysisRun", "analysisruns"),
            Kind::Experiment => ("argoproj.io", "v1alpha1", "Experiment", "experiments"),
            Kind::Gate => ("fleet.groundswell.dev", "v1alpha1", "Gate", "gates"),
            Kind::FleetMember => (
                "fleet.groundswell.dev",
                "v1alpha1",
                "FleetMember",
                "fleetmembers",
            ),
            Kind::PodDisruptionBudget => {
                let plural = "poddisruptionbudgets";
                ("policy", "v1", "PodDisruptionBudget", plural)
            }
            Kind::ReplicaSet => ("apps", "v1", "ReplicaSet", "replicasets"),
            Kind::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Kind::Job => ("batch", "v1", "Job", "jobs"),
            Kind::Lease => ("coordination.k8s.io", "v1", "Lease", "leases"),
            Kind::Pod => ("", "v1", "Pod", "pods"),
            Kind::Service => ("", "v1", "Service", "services"),
            Kind::Event => ("", "v1", "Event", "events"),
            Kind::Secret => ("", "v1", "Secret", "secrets"),
            Kind::HorizontalPodAutoscaler => (
                "autoscaling",
                "v2",
                "HorizontalPodAutoscaler",
                "horizontalpodautoscalers",
            ),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// The objects of this kind in a namespace.
    pub fn of(self, client: &kube::Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), namespace, &self.resource())
    }
}

/// An object as plain JSON.
pub fn json(object: &DynamicObject) -> Result<Value> {
    serde_json::to_value(object).map_err(Error::parse("an object"))
}

/// The text at a JSON pointer; empty if there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The number at a JSON pointer; 0 if there is none, as Kubernetes leaves zeros out.
pub fn number(object: &Value, pointer: &str) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

/// The places at which two values differ, as JSON pointers with both values.
pub fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut all = Vec::new();
    compare(expected, found, String::new(), &mut all);
    all
}

fn compare(expected: &Value, found: &Value, at: String, all: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in one {
                let at = format!("{at}/{key}");
                match other.get(key) {
                    Some(other) => compare(value, other, at, all),
                    None => all.push(format!("{at}: {value} is missing")),
                }
            }
            let added = other.iter().filter(|(key, _)| !one.contains_key(*key));
            all.extend(added.map(|(key, value)| format!("{at}/{key}: {value} was not expected")));
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (value, other)) in one.iter().zip(other).enumerate() {
                compare(value, other, format!("{at}/{index}"), all);
            }
        }
        (one, other) if one == other => {}
        (one, other) => all.push(format!("{at}: {one} expected, {other} found")),
    }
}
