//! Writes to ReplicaSets.
//!
//! In: the plan's words about one. Out: one request each, bound to the version that was observed. It must not delete or
//! change a ReplicaSet that is not in `Observed`.

use std::collections::BTreeMap;

use agent_api::names::{ANNOTATION_DESIRED_REPLICAS, ANNOTATION_DIGEST};
use agent_api::object::OwnerReference;
use agent_api::{ContentDigest, ObjectMeta, ReplicaSet, Uid};
use agent_engine::{Changes, NamedKind, RefusedClaim, RefusedSet};
use serde_json::{Value, json};

use super::{Error, Pass};
use crate::key::ObjectKey;
use crate::writer;
use crate::written::Kind;

impl Pass<'_> {
    /// Creates a ReplicaSet. One of this name that is there already is not in the cache yet, or somebody else's: the next
    /// pass sees which. A refusal is an answer, not a failure: the other versions go on.
    pub(super) async fn create_replica_set(&mut self, set: &ReplicaSet) -> Result<(), Error> {
        let refused = match self.applier.writer.create(set).await {
            Ok(stored) => {
                self.wrote(&stored);
                self.applier.refusals.forget_set(&self.uid);
                return Ok(());
            }
            Err(error) => {
                self.clashed(NamedKind::ReplicaSet, &set.metadata, &error);
                error.refusal().ok_or(error)?
            }
        };
        tracing::warn!(rollout = %self.key, set = set.metadata.name, message = refused.message, "the API server refuses the ReplicaSet");
        self.ends = true;
        let annotations = set.metadata.annotations.as_ref();
        let digest = annotations.and_then(|all| all.get(ANNOTATION_DIGEST));
        let refused = RefusedSet {
            digest: ContentDigest(digest.cloned().unwrap_or_default()),
            message: refused.message,
            invalid: refused.names_a_field,
            at: self.observed.now,
            times: 0,
        };
        self.applier.refusals.add_set(&self.uid, refused);
        Ok(())
    }

    /// Notes a name that is taken.
    pub(super) fn clashed(&self, kind: NamedKind, made: &ObjectMeta, error: &writer::Error) {
        if let writer::Error::AlreadyExists { .. } = error {
            let name = made.name.as_deref().unwrap_or_default();
            let claims = &self.applier.claims;
            claims.clashed(&self.uid, kind, name, self.observed.now);
        }
    }

    /// Writes all owners of a ReplicaSet: of this one, and not of another that has got its name. A refusal is an answer: the
    /// next pass does the rest without it.
    pub(super) async fn own_replica_set(
        &mut self,
        name: &str,
        owners: &[OwnerReference],
    ) -> Result<(), Error> {
        let (_, metadata) = self.observed_set(name)?;
        let patch = json!({"metadata": {"uid": metadata.uid, "ownerReferences": owners}});
        let uid = crate::observe::uid_of(&metadata);
        let refusals = &self.applier.refusals;
        let Err(error) = self.patch_replica_set(name, patch).await else {
            refusals.forget_claim(&self.uid, &uid);
            return Ok(());
        };
        let refused = match &error {
            Error::Write(error) => error.refusal(),
            Error::Status(_)
            | Error::Run { .. }
            | Error::Template { .. }
            | Error::Unobserved { .. } => None,
        };
        let message = refused.ok_or(error)?.message;
        tracing::warn!(rollout = %self.key, set = name, message, "the API server refuses to change the owner");
        self.ends = true;
        let refused = RefusedClaim {
            name: name.to_owned(),
            uid,
            message,
            at: self.observed.now,
            times: 0,
        };
        refusals.add_claim(&self.uid, refused);
        Ok(())
    }

    pub(super) async fn annotate_replica_set(
        &mut self,
        name: &str,
        annotations: &BTreeMap<String, Option<String>>,
        min_ready_seconds: Option<i32>,
    ) -> Result<(), Error> {
        let mut patch = json!({"metadata": {"annotations": annotations}});
        if let Some(seconds) = min_ready_seconds {
            merge_into(&mut patch, "spec", json!({"minReadySeconds": seconds}));
        }
        self.patch_replica_set(name, patch).await
    }

    pub(super) async fn change_template_metadata(
        &mut self,
        name: &str,
        labels: &Changes,
        annotations: &Changes,
        notes: &Changes,
    ) -> Result<(), Error> {
        let patch = json!({
            "metadata": {"annotations": notes},
            "spec": {"template": {"metadata": {"labels": labels, "annotations": annotations}}},
        });
        self.patch_replica_set(name, patch).await
    }

    pub(super) async fn scale_replica_set(
        &mut self,
        name: &str,
        to: i32,
        desired: i32,
    ) -> Result<(), Error> {
        let patch = json!({
            "metadata": {"annotations": {ANNOTATION_DESIRED_REPLICAS: desired.to_string()}},
            "spec": {"replicas": to},
        });
        self.patch_replica_set(name, patch).await
    }

    pub(super) async fn delete_replica_set(&mut self, name: &str) -> Result<(), Error> {
        let (key, metadata) = self.observed_set(name)?;
        let uid = metadata.uid.clone().unwrap_or_default();
        self.applier
            .writer
            .delete::<ReplicaSet>(&key, Some(&uid))
            .await?;
        self.applier
            .written
            .deleted(Kind::ReplicaSet, &Uid(uid), &self.uid);
        Ok(())
    }

    async fn patch_replica_set(&mut self, name: &str, mut patch: Value) -> Result<(), Error> {
        let (key, metadata) = self.observed_set(name)?;
        merge_into(
            &mut patch,
            "metadata",
            json!({"resourceVersion": metadata.resource_version}),
        );
        let stored = self
            .applier
            .writer
            .merge::<ReplicaSet>(&key, &patch)
            .await?;
        // Two writes to one set in a pass: the second is bound to the first's answer.
        self.versions.insert(
            name.to_owned(),
            stored.resource_version.clone().unwrap_or_default(),
        );
        self.wrote(&stored);
        Ok(())
    }

    pub(super) fn observed_set(&self, name: &str) -> Result<(ObjectKey, ObjectMeta), Error> {
        let found = self
            .observed
            .replica_sets
            .iter()
            .find(|set| set.metadata.name.as_deref() == Some(name));
        let mut metadata = found
            .ok_or_else(|| self.unobserved("ReplicaSet", name))?
            .metadata
            .clone();
        if let Some(version) = self.versions.get(name) {
            metadata.resource_version = Some(version.clone());
        }
        Ok((ObjectKey::of(&metadata), metadata))
    }

    fn wrote(&self, stored: &ObjectMeta) {
        let uid = crate::observe::uid_of(stored);
        let version = stored.resource_version.as_deref().unwrap_or_default();
        self.applier
            .written
            .wrote(Kind::ReplicaSet, &uid, &self.uid, version);
    }
}

/// Adds fields to an object inside a patch.
fn merge_into(patch: &mut Value, field: &str, more: Value) {
    let Some(fields) = patch.as_object_mut() else {
        return;
    };
    let inner = fields.entry(field.to_owned()).or_insert_with(|| json!({}));
    if let (Value::Object(inner), Value::Object(more)) = (inner, more) {
        inner.extend(more);
    }
}
