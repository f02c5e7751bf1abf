//! Names of what an Experiment makes, and which annotations say whose it is.
//!
//! In: the Experiment, a template or analysis of it. Out: names and marks. It must not look for what is there.

use agent_api::names::ANNOTATION_EXPERIMENT_TEMPLATE;
use agent_api::object::{ObjectMeta, OwnerReference};
use agent_api::{Experiment, ExperimentTemplate, ReplicaSet};

/// Annotation on AnalysisRuns: when the pods were available that the run is about. A run of another try, before somebody
/// cleared the status, has another time.
pub const ANNOTATION_AVAILABLE_AT: &str = "fleet.groundswell.dev/available-at";

/// Name of the ReplicaSet of a template; the number of collisions at its end.
pub fn set_name(experiment: &str, template: &str, collisions: Option<i32>) -> String {
    match collisions {
        None | Some(0) => format!("{experiment}-{template}"),
        Some(count) => format!("{experiment}-{template}-{count}"),
    }
}

/// Name of the run of an analysis; the number of the try at its end, from the second on.
pub fn run_name(experiment: &str, analysis: &str, attempt: usize) -> String {
    if attempt == 0 {
        format!("{experiment}-{analysis}")
    } else {
        format!("{experiment}-{analysis}.{attempt}")
    }
}

/// Name of the Service of a template, if it is to have one; that of its ReplicaSet when it is not written.
pub fn service_name(template: &ExperimentTemplate, set: &str) -> Option<String> {
    let service = template.service.as_ref()?;
    Some(service.name.clone().unwrap_or_else(|| set.to_owned()))
}

/// The template that a ReplicaSet is of.
pub fn template_of(set: &ReplicaSet) -> Option<&str> {
    let annotations = set.metadata.annotations.as_ref()?;
    annotations
        .get(ANNOTATION_EXPERIMENT_TEMPLATE)
        .map(String::as_str)
}

/// The Experiment as the controlling owner of what it makes.
pub fn owner(experiment: &Experiment) -> OwnerReference {
    let metadata = &experiment.metadata;
    OwnerReference {
        api_version: "argoproj.io/v1alpha1".to_owned(),
        kind: "Experiment".to_owned(),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The name in an object's metadata.
pub fn name_of(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}
