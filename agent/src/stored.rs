//! How the API server stored the templates of ReplicaSets (gate.md G1: what admission stored is the content).
//!
//! In: a Rollout and its ReplicaSets. Out: digests of their templates as stored, by name; only where one could be the spec's
//! own. A client that goes back to an old revision writes such a template into the spec. It must not ask twice: templates of
//! ReplicaSets do not change, so answers are remembered by UID.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use agent_api::digest::{content_digest, stored_digests, stored_template};
use agent_api::names::ANNOTATION_DIGEST;
use agent_api::{ContentDigest, PodTemplate, ReplicaSet, Uid};
use agent_engine::{Observed, StoredDigests};
use kube::{Api, Client};

use crate::key::ObjectKey;

/// Answers kept: only ReplicaSets with the spec's images and another digest are asked for, which are few.
const MAX_ANSWERS: usize = 1024;

/// Why a stored template is not known.
#[derive(Debug, thiserror::Error)]
#[error("cannot read ReplicaSet {name}: {source}")]
pub struct Error {
    name: ObjectKey,
    source: Box<kube::Error>,
}

/// What was asked so far.
pub struct StoredForms {
    client: Client,
    answers: Mutex<HashMap<Uid, Vec<ContentDigest>>>,
}

impl StoredForms {
    /// Nothing was asked yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            answers: Mutex::default(),
        }
    }

    /// Digests of stored templates by ReplicaSet; empty when a ReplicaSet carries the spec's digest anyway.
    pub async fn of(&self, observed: &Observed) -> Result<StoredDigests, Error> {
        let mut stored = StoredDigests::new();
        let sets = &observed.replica_sets;
        let Some(template) = observed.template() else {
            return Ok(stored);
        };
        let images = template.images();
        let alike =
            |set: &&ReplicaSet| carried(set).is_some() && set.spec.template.images() == images;
        let alike: Vec<&ReplicaSet> = sets.iter().filter(alike).collect();
        if alike.is_empty() {
            return Ok(stored);
        }
        let spec = content_digest(template);
        if sets.iter().any(|set| carried(set) == Some(spec.as_str())) {
            return Ok(stored);
        }
        for set in alike {
            let digests = self.one(set).await?;
            stored.insert(set.metadata.name.clone().unwrap_or_default(), digests);
        }
        Ok(stored)
    }

    /// The template of a ReplicaSet as a spec could have it.
    pub async fn template(&self, namespace: &str, set: &str) -> Result<Option<PodTemplate>, Error> {
        let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_opt(set).await.map_err(|source| Error {
            name: ObjectKey::new(namespace, set),
            source: Box::new(source),
        })?;
        Ok(found.as_ref().map(stored_template))
    }

    async fn one(&self, set: &ReplicaSet) -> Result<Vec<ContentDigest>, Error> {
        let uid = crate::observe::uid_of(&set.metadata);
        let answers = || self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = answers().get(&uid) {
            return Ok(known.clone());
        }
        let name = ObjectKey::of(&set.metadata);
        let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &name.namespace);
        // The caches do not have it: they drop what they can from templates.
        let found = api.get_opt(&name.name).await.map_err(|source| Error {
            name: name.clone(),
            source: Box::new(source),
        })?;
        let digests = found.as_ref().map(stored_digests).unwrap_or_default();
        let mut answers = answers();
        if answers.len() >= MAX_ANSWERS {
            answers.clear();
        }
        answers.insert(uid, digests.clone());
        Ok(digests)
    }
}

/// The digest that a ReplicaSet is marked with.
pub(crate) fn carried(set: &ReplicaSet) -> Option<&str> {
    let annotations = set.metadata.annotations.as_ref()?;
    annotations.get(ANNOTATION_DIGEST).map(String::as_str)
}
