//! Fixtures of the agent's engine: short YAML in, a full `Observed` out.
//!
//! In: `observed.yaml`, in which `hash(v2)`, `digest(v2)` and `delivery` stand for the real values of version v2. Out:
//! `Observed`, and text in which the real values are names again. It must not know what a plan should be.

mod gate;
mod objects;

use std::collections::{BTreeMap, BTreeSet};

use agent_api::digest::content_digest;
use agent_api::names::{
    ANNOTATION_DESIRED_REPLICAS, ANNOTATION_DIGEST, ANNOTATION_REVISION, LABEL_POD_HASH,
};
use agent_api::pod_hash::{pod_hash, steps_hash};
use agent_api::{
    AnalysisRun, ContentDigest, LabelSelector, Pod, PodHash, PodTemplate, ReplicaSet, Rollout,
    Service, WeightDestination, Weights, Workload, WorkloadKind,
};
use agent_engine::{HpaCounting, Observed, TrafficObserved};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use gate::{GatePart, gate_observed};
use objects::{
    PodPart, RefusedClaimPart, RefusedPart, RefusedSetPart, ServicePart, TakenPart, TemplatePart,
    pod, refusal, refused_claim, refused_set, service, taken, templates,
};

/// What can be wrong with a fixture.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The YAML cannot be read.
    #[error("the fixture cannot be read: {0}")]
    Yaml(String),
    /// A part of it is no object of its kind.
    #[error("the fixture's {0} cannot be read: {1}")]
    Part(&'static str, serde_json::Error),
}

/// Versions that fixtures speak of.
pub const VERSIONS: [&str; 5] = ["v1", "v2", "v3", "v4", "v5"];
/// Name of every fixture's Rollout.
pub const NAME: &str = "web";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fixture {
    /// What the case shows; for people.
    #[allow(dead_code)]
    about: String,
    now: Timestamp,
    rollout: RolloutPart,
    #[serde(default)]
    replica_sets: Vec<SetPart>,
    #[serde(default)]
    analysis_runs: Vec<Value>,
    #[serde(default)]
    experiments: Vec<Value>,
    /// The version whose template was read.
    stable_template: Option<String>,
    #[serde(default)]
    templates: Vec<TemplatePart>,
    #[serde(default)]
    bad_conditions: BTreeMap<String, String>,
    #[serde(default)]
    services: Vec<ServicePart>,
    traffic: Option<TrafficPart>,
    #[serde(default)]
    defaulted: bool,
    pods: Option<Vec<PodPart>>,
    #[serde(default)]
    refused: Vec<RefusedPart>,
    status_written: Option<Timestamp>,
    #[serde(default)]
    busy: bool,
    refused_set: Option<RefusedSetPart>,
    #[serde(default)]
    refused_claims: Vec<RefusedClaimPart>,
    #[serde(default)]
    hpa_counts_all: bool,
    workload: Option<WorkloadPart>,
    #[serde(default)]
    taken: Vec<TakenPart>,
    gate: Option<GatePart>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RolloutPart {
    version: String,
    /// A client wrote the template back as the API server had stored it in a ReplicaSet.
    #[serde(default)]
    undone: bool,
    #[serde(default = "five")]
    replicas: i32,
    #[serde(default = "one")]
    generation: i64,
    revision: Option<i64>,
    #[serde(default)]
    steps: Vec<Value>,
    #[serde(default)]
    canary: Map<String, Value>,
    /// Blue-green instead of a canary.
    blue_green: Option<Map<String, Value>>,
    #[serde(default)]
    spec: Map<String, Value>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    /// Field → who wrote it last, `status.abort: kubectl`.
    #[serde(default)]
    authors: BTreeMap<String, String>,
    status: Option<Map<String, Value>>,
}

fn five() -> i32 {
    5
}
fn one() -> i64 {
    1
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SetPart {
    version: String,
    revision: i64,
    desired: i32,
    available: Option<i32>,
    #[serde(default)]
    foreign: bool,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    min_ready_seconds: Option<i32>,
    /// Day of its making, if that is not its revision.
    created: Option<i64>,
    deleting: Option<Timestamp>,
    /// Nobody owns it.
    #[serde(default)]
    orphan: bool,
    /// It has other labels than the selector.
    #[serde(default)]
    strays: bool,
    /// Why its pods cannot be made.
    failure: Option<String>,
    /// Labels of its template beyond what is written.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// The workload that `spec.workloadRef` names.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WorkloadPart {
    #[serde(default)]
    kind: WorkloadKind,
    version: String,
    #[serde(default = "one")]
    generation: i64,
    replicas: Option<i32>,
}

/// What the router shows; the versions are names such as `v2`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TrafficPart {
    canary: Option<(String, i32)>,
    stable: Option<(String, i32)>,
    verified: Option<bool>,
    #[serde(default)]
    routes: BTreeSet<String>,
    error: Option<String>,
}

/// The template of a version, as written in Git.
pub fn template(version: &str) -> PodTemplate {
    PodTemplate::of(json!({
        "metadata": {"labels": {"app": NAME}},
        "spec": {"containers": [{"name": NAME, "image": format!("demo:{version}")}]},
    }))
}

/// The same after the API server's defaulting.
pub fn defaulted(version: &str) -> PodTemplate {
    PodTemplate::of(json!({
        "metadata": {"labels": {"app": NAME}},
        "spec": {
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "containers": [{"name": NAME, "image": format!("demo:{version}"), "imagePullPolicy": "IfNotPresent"}],
        },
    }))
}

/// The hash of a version.
pub fn hash(version: &str) -> PodHash {
    pod_hash(&template(version), None)
}

/// The digest of a version.
pub fn digest(version: &str) -> ContentDigest {
    content_digest(&template(version))
}

/// Reads a fixture.
pub fn observed(yaml: &str) -> Result<Observed, Error> {
    let mut text = yaml.to_owned();
    for version in VERSIONS {
        text = text.replace(&format!("hash({version})"), hash(version).as_str());
        text = text.replace(&format!("digest({version})"), digest(version).as_str());
    }
    let mut fixture: Fixture =
        serde_saphyr::from_str(&text).map_err(|error| Error::Yaml(error.to_string()))?;
    let part = |name: &'static str| move |error| Error::Part(name, error);
    let rollout = serde_json::from_value(rollout(&fixture.rollout)).map_err(part("rollout"))?;
    let mut observed = Observed {
        taken: std::mem::take(&mut fixture.taken)
            .into_iter()
            .map(taken)
            .collect(),
        templates: templates(std::mem::take(&mut fixture.templates)),
        bad_conditions: std::mem::take(&mut fixture.bad_conditions),
        traffic: fixture.traffic.take().map(traffic),
        refused: std::mem::take(&mut fixture.refused)
            .into_iter()
            .map(refusal)
            .collect(),
        status_written: fixture.status_written,
        busy: fixture.busy,
        stable_template: fixture.stable_template.as_deref().map(template),
        refused_set: fixture.refused_set.take().map(refused_set),
        refused_claims: std::mem::take(&mut fixture.refused_claims)
            .into_iter()
            .map(refused_claim)
            .collect(),
        workload: fixture.workload.take().map(workload),
        ..Observed::alone(rollout, fixture.now)
    };
    if fixture.defaulted {
        observed.defaulted = Some(defaulted(&fixture.rollout.version));
    }
    if fixture.hpa_counts_all {
        observed.settings.hpa_counting = HpaCounting::ArgoRollouts;
    }
    if let Some(pods) = fixture.pods.take() {
        let pods: Result<Vec<Pod>, _> = pods
            .into_iter()
            .map(|one| serde_json::from_value(pod(one)))
            .collect();
        observed.pods = Some(pods.map_err(part("pods"))?);
    }
    replica_sets(&mut fixture, &mut observed)?;
    let services = fixture.services.into_iter().map(service);
    let services: Result<Vec<Service>, _> = services.map(serde_json::from_value).collect();
    observed.services = services.map_err(part("services"))?;
    for run in fixture.analysis_runs {
        observed.analysis_runs.push(
            serde_json::from_value::<AnalysisRun>(analysis_run(run))
                .map_err(part("analysisRuns"))?,
        );
    }
    for one in fixture.experiments {
        let one = serde_json::from_value(one).map_err(part("experiments"))?;
        observed.experiments.push(one);
    }
    if let Some(gate) = fixture.gate.take() {
        observed.gate = gate_observed(gate, &observed)?;
    }
    Ok(observed)
}

/// The ReplicaSets, and what the API server made of the templates of those that were undone.
fn replica_sets(fixture: &mut Fixture, observed: &mut Observed) -> Result<(), Error> {
    let steps = step_hash(&rollout(&fixture.rollout));
    for set in &mut fixture.replica_sets {
        for value in set.annotations.values_mut() {
            // `STEPS` stands for the hash of the steps.
            *value = value.replace("STEPS", &steps);
        }
        let value = replica_set(&fixture.rollout, set);
        let read: ReplicaSet =
            serde_json::from_value(value).map_err(|error| Error::Part("replicaSets", error))?;
        if fixture.rollout.undone && !set.foreign {
            let name = read.metadata.name.clone().unwrap_or_default();
            let stored = vec![content_digest(&defaulted(&set.version))];
            observed.stored.insert(name, stored);
        }
        observed.replica_sets.push(read);
    }
    Ok(())
}

fn workload(part: WorkloadPart) -> Workload {
    let pods = part.kind != WorkloadKind::PodTemplate;
    Workload {
        kind: part.kind,
        name: NAME.to_owned(),
        generation: part.generation,
        replicas: part.replicas,
        selector: pods.then(|| LabelSelector {
            match_labels: [("app".to_owned(), NAME.to_owned())].into(),
            ..LabelSelector::default()
        }),
        template: template(&part.version),
    }
}

fn rollout(part: &RolloutPart) -> Value {
    let mut canary = part.canary.clone();
    canary.insert("steps".to_owned(), Value::Array(part.steps.clone()));
    let strategy = match &part.blue_green {
        Some(blue_green) => json!({"blueGreen": blue_green}),
        None => json!({"canary": canary}),
    };
    let mut annotations = part.annotations.clone();
    if let Some(revision) = part.revision {
        annotations.insert(ANNOTATION_REVISION.to_owned(), revision.to_string());
    }
    let written = if part.undone {
        defaulted(&part.version)
    } else {
        template(&part.version)
    };
    let mut value = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {
            "name": NAME, "namespace": "shop", "uid": "rollout-uid", "generation": part.generation,
            "annotations": annotations,
            "managedFields": part.authors.iter().map(managed).collect::<Vec<_>>(),
        },
        "spec": {
            "replicas": part.replicas,
            "selector": {"matchLabels": {"app": NAME}},
            "template": written,
            "strategy": strategy,
        },
    });
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        if part.spec.contains_key("workloadRef") {
            spec.remove("template");
            spec.remove("selector");
        }
        spec.extend(part.spec.clone());
    }
    if let Some(status) = &part.status {
        let mut status = status.clone();
        // Steps as they are, unless the case says that they were others.
        if !part.steps.is_empty() && !status.contains_key("currentStepHash") {
            status.insert(
                "currentStepHash".to_owned(),
                Value::String(step_hash(&value)),
            );
        }
        if let Some(fields) = value.as_object_mut() {
            fields.insert("status".to_owned(), Value::Object(status));
        }
    }
    value
}

fn managed((field, manager): (&String, &String)) -> Value {
    let (half, field) = field.split_once('.').unwrap_or((field, ""));
    json!({
        "manager": manager, "operation": "Update", "time": "2026-01-01T00:04:59Z", "fieldsType": "FieldsV1",
        "fieldsV1": {format!("f:{half}"): {format!("f:{field}"): {}}},
    })
}

/// The hash of the steps as the engine takes it: over the steps as they are read.
fn step_hash(rollout: &Value) -> String {
    let read: Option<Rollout> = serde_json::from_value(rollout.clone()).ok();
    let steps = read
        .and_then(|read| read.spec.strategy.canary)
        .map(|canary| canary.steps)
        .unwrap_or_default();
    steps_hash(&steps).unwrap_or_default()
}

fn replica_set(rollout: &RolloutPart, part: &SetPart) -> Value {
    let hash = if part.foreign {
        PodHash(format!("{}foreign", part.version))
    } else {
        hash(&part.version)
    };
    let mut annotations = part.annotations.clone();
    annotations.insert(ANNOTATION_REVISION.to_owned(), part.revision.to_string());
    annotations
        .entry(ANNOTATION_DESIRED_REPLICAS.to_owned())
        .or_insert_with(|| rollout.replicas.to_string());
    let app = if part.strays { "another" } else { NAME };
    let labels = json!({"app": app, LABEL_POD_HASH: hash});
    // An owner that does not control it stays one.
    let mut owners = vec![json!({
        "apiVersion": "example.com/v1", "kind": "Application", "name": "shop", "uid": "application-uid",
    })];
    if !part.orphan {
        owners.push(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": NAME, "uid": "rollout-uid",
            "controller": true, "blockOwnerDeletion": true,
        }));
    }
    let mut worn = part.labels.clone();
    worn.insert("app".to_owned(), NAME.to_owned());
    worn.insert(LABEL_POD_HASH.to_owned(), hash.to_string());
    // What a cache keeps: with a digest annotation nothing of the pods' spec but the images.
    let template = if part.foreign {
        let labels = part.labels.iter();
        labels
            .fold(defaulted(&part.version), |template, (key, value)| {
                template.with_label(key, value)
            })
            .with_label(LABEL_POD_HASH, hash.as_str())
            .value()
    } else {
        annotations.insert(
            ANNOTATION_DIGEST.to_owned(),
            digest(&part.version).to_string(),
        );
        let image = format!("demo:{}", part.version);
        json!({"metadata": {"labels": worn}, "spec": {"containers": [{"image": image}]}})
    };
    let available = part.available.unwrap_or(part.desired);
    let mut metadata = json!({
        "name": format!("{NAME}-{hash}"), "namespace": "shop", "labels": labels, "annotations": annotations,
        "ownerReferences": owners, "uid": format!("{NAME}-{hash}-uid"),
        "creationTimestamp": format!("2025-12-{:02}T00:00:00Z", part.created.unwrap_or(part.revision).clamp(1, 31)),
    });
    if let (Some(deleting), Some(fields)) = (part.deleting, metadata.as_object_mut()) {
        fields.insert(
            "deletionTimestamp".to_owned(),
            Value::String(deleting.to_string()),
        );
        fields.insert("finalizers".to_owned(), json!(["foregroundDeletion"]));
    }
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata,
        "spec": {
            "replicas": part.desired, "minReadySeconds": part.min_ready_seconds,
            "selector": {"matchLabels": labels}, "template": template,
        },
        "status": {
            "replicas": part.desired, "readyReplicas": available, "availableReplicas": available,
            "conditions": part.failure.as_ref().map(|message| {
                json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}])
            }),
        },
    })
}

fn traffic(part: TrafficPart) -> TrafficObserved {
    let side = |side: (String, i32)| WeightDestination {
        weight: side.1,
        pod_template_hash: Some(hash(&side.0)),
        ..WeightDestination::default()
    };
    let weights = (part.canary.is_some() || part.stable.is_some()).then(|| Weights {
        canary: part.canary.map(side),
        stable: part.stable.map(side),
        verified: part.verified,
        ..Weights::default()
    });
    TrafficObserved {
        weights,
        routes: part.routes,
        error: part.error,
    }
}

/// `{name, phase, message, terminate, version}`, or a whole object.
fn analysis_run(run: Value) -> Value {
    if run.get("metadata").is_some() {
        return run;
    }
    let version = run.get("version").and_then(Value::as_str).unwrap_or("v2");
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {
            "name": run.get("name"), "namespace": "shop", "labels": {LABEL_POD_HASH: hash(version)},
            "creationTimestamp": run.get("created").cloned().unwrap_or(json!("2025-12-30T00:00:00Z")),
        },
        "spec": {"metrics": [], "terminate": run.get("terminate")},
        "status": run.get("phase").map(|phase| json!({"phase": phase, "message": run.get("message")})),
    })
}

/// The text with names in the place of hashes and digests.
pub fn named(text: &str) -> String {
    let mut text = text.to_owned();
    for version in VERSIONS {
        let digest = digest(version);
        let hex = digest.as_str().trim_start_matches("v1:");
        text = text.replace(digest.as_str(), version);
        text = text.replace(agent_engine::reason::short(&digest), version);
        text = text.replace(hex.get(..16).unwrap_or(hex), version);
        text = text.replace(hash(version).as_str(), version);
    }
    text
}
