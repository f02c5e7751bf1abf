//! Fixtures of the engine of Experiments: short YAML in, a full `Observed` out.
//!
//! In: `observed.yaml`, in which `hash(x)` stands for the hash of template x. Out: `Observed`, and text in which hashes are
//! names again. It must not know what a plan should be.

use std::collections::BTreeMap;

use agent_api::experiment::Experiment;
use agent_api::names::{ANNOTATION_EXPERIMENT_TEMPLATE, LABEL_POD_HASH};
use agent_api::pod_hash::experiment_hash;
use agent_api::{PodTemplate, Service};
use agent_engine::experiment::names::ANNOTATION_AVAILABLE_AT;
use agent_engine::experiment::{Leave, Observed, Refused};
use agent_engine::{NamedKind, Taken, TemplateKey};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Name of every fixture's Experiment.
pub const NAME: &str = "compare";
/// Templates that fixtures speak of.
const TEMPLATES: [&str; 2] = ["baseline", "canary"];

/// What can be wrong with a fixture.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The YAML cannot be read.
    #[error("the fixture cannot be read: {0}")]
    Yaml(String),
    /// A part of it is no object of its kind.
    #[error("the fixture's object cannot be read: {0}")]
    Part(#[from] serde_json::Error),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fixture {
    /// What the case shows; for people.
    #[allow(dead_code)]
    about: String,
    now: Timestamp,
    /// Templates by name, each with what is other than usual.
    templates: BTreeMap<String, Map<String, Value>>,
    #[serde(default)]
    spec: Map<String, Value>,
    status: Option<Map<String, Value>>,
    #[serde(default)]
    replica_sets: Vec<SetPart>,
    #[serde(default)]
    analysis_runs: Vec<RunPart>,
    /// Runs that cannot be read, and why.
    #[serde(default)]
    unread_runs: BTreeMap<String, String>,
    #[serde(default)]
    services: BTreeMap<String, String>,
    #[serde(default)]
    analysis_templates: BTreeMap<String, Value>,
    #[serde(default)]
    taken: Vec<String>,
    #[serde(default)]
    refused: BTreeMap<String, RefusedPart>,
    #[serde(default)]
    bad_conditions: BTreeMap<String, String>,
    /// A Rollout made it.
    #[serde(default)]
    owned: bool,
    /// Why its Rollout does not let it begin.
    withheld: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SetPart {
    template: String,
    desired: i32,
    available: Option<i32>,
    failure: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RunPart {
    name: String,
    phase: Option<String>,
    message: Option<String>,
    available_at: Option<String>,
    #[serde(default)]
    terminate: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RefusedPart {
    message: String,
    #[serde(default)]
    invalid: bool,
    until: Timestamp,
}

/// The pods of a template.
fn pods(name: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "web", "side": name}},
        "spec": {"containers": [{
            "name": "web", "image": format!("web:{name}"), "ports": [{"containerPort": 8080}],
        }]},
    })
}

/// The hash of a template.
fn hash(name: &str) -> String {
    experiment_hash(NAME, name, &PodTemplate::of(pods(name)), None).to_string()
}

/// The text with names in the places of hashes.
pub fn named(text: &str) -> String {
    let names = TEMPLATES.into_iter();
    names.fold(text.to_owned(), |text, name| {
        text.replace(&hash(name), &format!("hash({name})"))
    })
}

/// Reads a fixture.
pub fn observed(yaml: &str) -> Result<Observed, Error> {
    let names = TEMPLATES.into_iter();
    let text = names.fold(yaml.to_owned(), |text, name| {
        text.replace(&format!("hash({name})"), &hash(name))
    });
    let fixture: Fixture =
        serde_saphyr::from_str(&text).map_err(|error| Error::Yaml(error.to_string()))?;
    let mut observed = Observed::alone(experiment(&fixture)?, fixture.now);
    for set in &fixture.replica_sets {
        let value = replica_set(set);
        observed.replica_sets.push(serde_json::from_value(value)?);
    }
    for run in &fixture.analysis_runs {
        let status = run
            .phase
            .as_ref()
            .map(|phase| json!({"phase": phase, "message": run.message}));
        observed.analysis_runs.push(serde_json::from_value(json!({
            "metadata": {
                "name": run.name,
                "annotations": run.available_at.as_ref().map(|at| json!({ANNOTATION_AVAILABLE_AT: at})),
            },
            "spec": {"terminate": run.terminate.then_some(true)},
            "status": status,
        }))?);
    }
    observed.unread_runs.clone_from(&fixture.unread_runs);
    for (name, hash) in &fixture.services {
        let service =
            json!({"metadata": {"name": name}, "spec": {"selector": {LABEL_POD_HASH: hash}}});
        observed
            .services
            .push(serde_json::from_value::<Service>(service)?);
    }
    for (name, spec) in fixture.analysis_templates {
        let key = TemplateKey {
            name,
            cluster_scope: false,
        };
        observed
            .templates
            .insert(key, serde_json::from_value(spec)?);
    }
    let taken = fixture.taken.into_iter().map(|name| Taken {
        kind: if name.contains('/') {
            NamedKind::AnalysisRun
        } else {
            NamedKind::ReplicaSet
        },
        name: name.trim_start_matches("run/").to_owned(),
        by: "somebody".to_owned(),
    });
    observed.taken.extend(taken);
    observed.bad_conditions = fixture.bad_conditions;
    if let Some(why) = fixture.withheld {
        observed.leave = Leave::Withheld { why };
    }
    for (template, part) in fixture.refused {
        let refused = Refused {
            message: part.message,
            invalid: part.invalid,
            until: part.until,
        };
        observed.refused.insert(template, refused);
    }
    Ok(observed)
}

fn experiment(fixture: &Fixture) -> Result<Experiment, serde_json::Error> {
    let templates: Vec<Value> = fixture
        .templates
        .iter()
        .map(|(name, more)| {
            let mut template = Map::new();
            template.insert("name".to_owned(), json!(name));
            template.insert(
                "selector".to_owned(),
                json!({"matchLabels": {"app": "web"}}),
            );
            template.insert("template".to_owned(), pods(name));
            template.extend(more.clone());
            Value::Object(template)
        })
        .collect();
    let mut spec = Map::new();
    spec.insert("templates".to_owned(), Value::Array(templates));
    spec.extend(fixture.spec.clone());
    let owners = fixture.owned.then(|| {
        json!([{
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": "rollout-uid",
            "controller": true,
        }])
    });
    serde_json::from_value(json!({
        "metadata": {"name": NAME, "namespace": "shop", "uid": "experiment-uid", "ownerReferences": owners},
        "spec": spec, "status": fixture.status,
    }))
}

fn replica_set(part: &SetPart) -> Value {
    let available = part.available.unwrap_or(part.desired);
    let failure = part.failure.as_ref().map(|message| {
        json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}])
    });
    json!({
        "metadata": {
            "name": format!("{NAME}-{}", part.template),
            "labels": {LABEL_POD_HASH: hash(&part.template)},
            "annotations": {ANNOTATION_EXPERIMENT_TEMPLATE: part.template},
        },
        "spec": {"replicas": part.desired},
        "status": {
            "replicas": part.desired, "readyReplicas": available, "availableReplicas": available,
            "conditions": failure,
        },
    })
}
