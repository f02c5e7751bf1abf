//! What an object is found by, and whom a change of it concerns.
//!
//! In: objects as cached, their metadata above all. Out: keys of indexes and of the queue. It must not look into stores.

use std::sync::Arc;

use agent_api::{Decoded, Experiment, ObjectMeta, Rollout};
use agent_engine::claims::controller;
use agent_engine::services;
use agent_providers::job::LABEL_RUN_UID;
use kube::Resource;

use super::Work;
use crate::key::ObjectKey;
use crate::queue::Queue;
use crate::store::Changed;

/// Kind of what owns ReplicaSets and runs.
const ROLLOUT: &str = "Rollout";

pub(super) fn owner_uid(metadata: &ObjectMeta) -> Vec<String> {
    owner_work(metadata)
        .into_iter()
        .map(|(_, uid)| uid)
        .collect()
}

pub(super) fn run_uid(metadata: &ObjectMeta) -> Vec<String> {
    let labels = metadata.labels.as_ref();
    let uid = labels.and_then(|labels| labels.get(LABEL_RUN_UID));
    uid.into_iter().cloned().collect()
}

pub(super) fn experiment_index(found: &Decoded<Experiment>) -> Vec<String> {
    let mut index = owner_uid(found.metadata());
    let Ok(experiment) = &found.object else {
        return index;
    };
    let namespace = found.metadata().namespace.clone().unwrap_or_default();
    let status = experiment.status.iter();
    let services = status
        .flat_map(|status| &status.template_statuses)
        .filter_map(|one| one.service_name.clone());
    index.extend(services.map(|name| ObjectKey::new(namespace.clone(), name).to_string()));
    index
}

pub(super) fn set_owner(metadata: &ObjectMeta) -> Vec<String> {
    match controller(metadata) {
        Some(_) => owner_uid(metadata),
        None => vec![orphans_of(
            metadata.namespace.as_deref().unwrap_or_default(),
        )],
    }
}

/// What ReplicaSets without an owner are found by; UIDs have no slash.
#[must_use]
pub fn orphans_of(namespace: &str) -> String {
    format!("{namespace}/")
}

/// Whether the selector matches, as far as it is written; one that is inherited is looked at in the pass.
pub(super) fn could_own(rollout: &Decoded<Rollout>, set: &ObjectMeta) -> bool {
    let Ok(rollout) = &rollout.object else {
        return false;
    };
    let labels = set.labels.clone().unwrap_or_default();
    rollout.metadata.namespace == set.namespace && rollout.spec.selector.matches(&labels)
}

/// The Services that a Rollout names, with its namespace.
pub(super) fn named_services(rollout: &Decoded<Rollout>) -> Vec<String> {
    let Ok(rollout) = &rollout.object else {
        return Vec::new();
    };
    let namespace = rollout.metadata.namespace.clone().unwrap_or_default();
    let names = services::names(&rollout.spec.strategy);
    let key = |name| ObjectKey::new(namespace.clone(), name).to_string();
    names.into_iter().map(key).collect()
}

/// The Rollout that manages a Service.
#[must_use]
pub fn service_rollout(metadata: &ObjectMeta) -> Option<ObjectKey> {
    let name = services::manager(metadata)?;
    Some(ObjectKey::new(
        metadata.namespace.clone().unwrap_or_default(),
        name,
    ))
}

/// The object of a kind, such as a Rollout, that controls an object.
pub(super) fn owner(metadata: &ObjectMeta, kind: &str) -> Option<(ObjectKey, String)> {
    let owner = controller(metadata).filter(|owner| owner.kind == kind)?;
    let key = ObjectKey::new(
        metadata.namespace.clone().unwrap_or_default(),
        owner.name.clone(),
    );
    Some((key, owner.uid.clone()))
}

/// The Rollout or Experiment that controls an object, as what there is to do, and its UID.
pub(crate) fn owner_work(metadata: &ObjectMeta) -> Option<(Work, String)> {
    let rollout = owner(metadata, ROLLOUT).map(|(key, uid)| (Work::Rollout(key), uid));
    rollout.or_else(|| {
        let (key, uid) = owner(metadata, "Experiment")?;
        Some((Work::Experiment(key), uid))
    })
}

pub(super) fn owner_changed<K: Resource<DynamicType = ()> + 'static>(
    queue: Arc<Queue<Work>>,
) -> Changed<K> {
    Box::new(move |object, _| {
        if let Some((work, _)) = owner_work(object.metadata()) {
            queue.add(work);
        }
    })
}

/// The Rollout of a Gate, from its name, so that one that cannot be decoded has a Rollout too. Namespaces have no dots.
#[must_use]
pub fn gate_rollout(metadata: &ObjectMeta) -> Option<ObjectKey> {
    let (namespace, name) = metadata.name.as_deref()?.split_once('.')?;
    Some(ObjectKey::new(namespace, name))
}
