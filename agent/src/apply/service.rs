//! Writes to Services: which version they select, and who manages them.
//!
//! In: the plan's words about one, or a Service whose Rollout is gone. Out: one request each, bound to the version that
//! was observed. It must not touch anything else of a Service.

use agent_api::names::{ANNOTATION_MANAGED_BY, LABEL_POD_HASH};
use agent_api::{ObjectMeta, PodHash, Service};
use serde_json::{Value, json};

use super::{Applier, Error, Pass};
use crate::key::ObjectKey;
use crate::observe::uid_of;
use crate::written::Kind;

impl Pass<'_> {
    pub(super) async fn switch_service(&mut self, name: &str, to: &PodHash) -> Result<(), Error> {
        let manager = self.key.name.clone();
        self.patch_service(name, Some(&manager), Some(to)).await
    }

    pub(super) async fn release_service(&mut self, name: &str) -> Result<(), Error> {
        self.patch_service(name, None, None).await
    }

    async fn patch_service(
        &mut self,
        name: &str,
        manager: Option<&str>,
        hash: Option<&PodHash>,
    ) -> Result<(), Error> {
        let found = self
            .observed
            .services
            .iter()
            .find(|service| service.metadata.name.as_deref() == Some(name));
        let metadata = &found
            .ok_or_else(|| self.unobserved("Service", name))?
            .metadata;
        // Two writes to one Service in a pass: the second is bound to the first's answer.
        let written = format!("service/{name}");
        let version = self.versions.get(&written).cloned();
        let version = version.or_else(|| metadata.resource_version.clone());
        let patch = patch(version.as_deref(), manager, hash);
        let key = ObjectKey::of(metadata);
        let stored = self.applier.writer.merge::<Service>(&key, &patch).await?;
        let version = stored.resource_version.clone().unwrap_or_default();
        self.applier
            .written
            .wrote(Kind::Service, &uid_of(&stored), &self.uid, &version);
        self.versions.insert(written, version);
        Ok(())
    }
}

impl Applier {
    /// Takes off a Service what a Rollout that is gone had put on it.
    pub async fn release_orphan(&self, metadata: &ObjectMeta) -> Result<(), Error> {
        let key = ObjectKey::of(metadata);
        let patch = patch(metadata.resource_version.as_deref(), None, None);
        self.writer.merge::<Service>(&key, &patch).await?;
        tracing::info!(service = %key, "its Rollout is gone: it selects all pods of its labels again");
        Ok(())
    }
}

fn patch(version: Option<&str>, manager: Option<&str>, hash: Option<&PodHash>) -> Value {
    json!({
        "metadata": {
            "resourceVersion": version,
            "annotations": {ANNOTATION_MANAGED_BY: manager},
        },
        "spec": {"selector": {LABEL_POD_HASH: hash}},
    })
}
