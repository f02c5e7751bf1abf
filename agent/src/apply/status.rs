//! Writes to the Rollout itself.
//!
//! In: annotations, and the planned status. Out: merge patches bound to the version that was observed: whoever promoted,
//! aborted or retried in between is heard first. It must not write the spec.

use std::collections::BTreeMap;

use agent_api::{ObjectMeta, Rollout, RolloutStatus};
use serde_json::json;

use super::{Error, Pass};
use crate::status_patch::status_patch;
use crate::written::Kind;

impl Pass<'_> {
    pub(super) async fn annotate_rollout(
        &mut self,
        annotations: &BTreeMap<String, Option<String>>,
    ) -> Result<(), Error> {
        let patch = json!({"metadata": {"resourceVersion": self.resource_version, "annotations": annotations}});
        let stored = self
            .applier
            .writer
            .merge::<Rollout>(&self.key, &patch)
            .await?;
        self.wrote_rollout(stored);
        Ok(())
    }

    /// Writes what differs of the status, and nothing when nothing does.
    pub(super) async fn write_status(&mut self, planned: &RolloutStatus) -> Result<(), Error> {
        let Some(patch) = status_patch(
            &self.resource_version,
            self.observed.rollout.status.as_ref(),
            planned,
        )?
        else {
            return Ok(());
        };
        tracing::debug!(rollout = %self.key, %patch, "writing the status");
        let stored = self
            .applier
            .writer
            .merge_status::<Rollout>(&self.key, &patch)
            .await?;
        self.wrote_rollout(stored);
        // By the time when it is written, not when it was decided: under load the two are far apart.
        self.applier
            .status_times
            .wrote(&self.key, jiff::Timestamp::now());
        Ok(())
    }

    fn wrote_rollout(&mut self, stored: ObjectMeta) {
        let version = stored.resource_version.unwrap_or_default();
        self.applier
            .written
            .wrote(Kind::Rollout, &self.uid, &self.uid, &version);
        self.resource_version = version;
    }
}
