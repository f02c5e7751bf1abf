//! Writes to the workload that a Rollout names.
//!
//! In: a number of pods. Out: one request. It must not write anything else of it, its template least of all.

use agent_api::WorkloadKind;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use super::{Error, Pass};
use crate::key::ObjectKey;

impl Pass<'_> {
    /// Scales a Deployment. The patch is not bound to a version: a Deployment's changes with each of its pods, and the
    /// number is looked at again with every change of its spec.
    pub(super) async fn scale_workload(&mut self, name: &str, to: i32) -> Result<(), Error> {
        let key = ObjectKey::new(self.key.namespace.clone(), name);
        let patch = json!({"spec": {"replicas": to}});
        let stored = self
            .applier
            .writer
            .merge::<Deployment>(&key, &patch)
            .await?;
        self.applier
            .workloads
            .wrote(WorkloadKind::Deployment, key, &stored);
        Ok(())
    }
}
