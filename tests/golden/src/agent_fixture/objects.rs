//! Objects around the ReplicaSets of a fixture: pods, what was refused, Services.
//!
//! In: their short forms. Out: the objects. It must not know what a plan should be.

use std::collections::BTreeMap;

use agent_api::Uid;
use agent_api::analysis::AnalysisTemplateSpec;
use agent_api::names::{ANNOTATION_MANAGED_BY, LABEL_POD_HASH};
use agent_engine::{NamedKind, Refusal, RefusedClaim, RefusedSet, Taken, TemplateKey, Templates};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{NAME, digest, hash};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PodPart {
    version: String,
    name: String,
    created: Timestamp,
    deleting: Option<Timestamp>,
    /// Whether it takes requests; not said without.
    ready: Option<bool>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RefusedPart {
    pod: String,
    message: String,
    at: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ServicePart {
    name: String,
    /// The version that it selects; all without.
    selects: Option<String>,
    /// The Rollout that manages it.
    managed_by: Option<String>,
    /// Further labels that it selects by.
    #[serde(default)]
    selector: BTreeMap<String, String>,
}

/// An object of somebody else's.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TakenPart {
    replica_set: Option<String>,
    analysis_run: Option<String>,
    experiment: Option<String>,
    by: String,
}

pub(super) fn taken(part: TakenPart) -> Taken {
    let (kind, name) = match (part.replica_set, part.experiment, part.analysis_run) {
        (Some(name), _, _) => (NamedKind::ReplicaSet, name),
        (None, Some(name), _) => (NamedKind::Experiment, name),
        (None, None, name) => (NamedKind::AnalysisRun, name.unwrap_or_default()),
    };
    Taken {
        kind,
        name,
        by: part.by,
    }
}

pub(super) fn pod(part: PodPart) -> Value {
    let hash = hash(&part.version);
    let mut labels = part.labels;
    labels.insert("app".to_owned(), NAME.to_owned());
    labels.insert(LABEL_POD_HASH.to_owned(), hash.to_string());
    let status = part.ready.map(|ready| {
        let status = if ready { "True" } else { "False" };
        json!({"conditions": [{"type": "Ready", "status": status}]})
    });
    json!({
        "apiVersion": "v1", "kind": "Pod", "status": status,
        "metadata": {
            "name": part.name, "namespace": "shop", "uid": format!("{}-uid", part.name),
            "labels": labels, "annotations": part.annotations,
            "creationTimestamp": part.created.to_string(),
            "deletionTimestamp": part.deleting.map(|at| at.to_string()),
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{NAME}-{hash}"), "uid": "",
                "controller": true,
            }],
        },
    })
}

/// The refusal of the ReplicaSet of a version.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RefusedSetPart {
    version: String,
    message: String,
    #[serde(default)]
    invalid: bool,
    at: Timestamp,
    times: u32,
}

pub(super) fn refused_set(part: RefusedSetPart) -> RefusedSet {
    RefusedSet {
        digest: digest(&part.version),
        message: part.message,
        invalid: part.invalid,
        at: part.at,
        times: part.times,
    }
}

/// The refusal to change the owner of the ReplicaSet of a version.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RefusedClaimPart {
    version: String,
    message: String,
    at: Timestamp,
    times: u32,
}

pub(super) fn refused_claim(part: RefusedClaimPart) -> RefusedClaim {
    let name = format!("{NAME}-{}", hash(&part.version));
    RefusedClaim {
        uid: Uid(format!("{name}-uid")),
        name,
        message: part.message,
        at: part.at,
        times: part.times,
    }
}

pub(super) fn refusal(part: RefusedPart) -> Refusal {
    Refusal {
        uid: Uid(format!("{}-uid", part.pod)),
        pod: part.pod,
        message: part.message,
        at: part.at,
    }
}

pub(super) fn service(part: ServicePart) -> Value {
    let mut selector = part.selector;
    selector
        .entry("app".to_owned())
        .or_insert_with(|| NAME.to_owned());
    selector.extend(part.selects.map(|hash| (LABEL_POD_HASH.to_owned(), hash)));
    let managed = part
        .managed_by
        .map(|rollout| json!({ANNOTATION_MANAGED_BY: rollout}));
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": part.name, "namespace": "shop", "annotations": managed},
        "spec": {"selector": selector},
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TemplatePart {
    pub name: String,
    #[serde(default)]
    pub cluster_scope: bool,
    pub spec: AnalysisTemplateSpec,
}

pub(super) fn templates(parts: Vec<TemplatePart>) -> Templates {
    let key = |name, cluster_scope| TemplateKey {
        name,
        cluster_scope,
    };
    let parts = parts.into_iter();
    parts
        .map(|one| (key(one.name, one.cluster_scope), one.spec))
        .collect()
}
