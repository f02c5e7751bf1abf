//! Writes to AnalysisRuns on behalf of a Rollout.
//!
//! In: the plan's words about one. Out: one request each. It must not write a run's status: its own engine does.

use agent_api::{AnalysisRun, ObjectMeta, Uid};
use agent_engine::NamedKind;
use agent_engine::pass::ended::ANNOTATION_NOT_NEEDED;
use serde_json::{Value, json};

use super::{Error, Pass};
use crate::key::ObjectKey;
use crate::writer;
use crate::written::Kind;

impl Pass<'_> {
    /// Creates a run. One of this name that is there already is not in the cache yet, or somebody else's: the next pass
    /// sees which.
    pub(super) async fn create_run(&mut self, run: &AnalysisRun) -> Result<(), Error> {
        let created = self.applier.writer.create(run).await;
        let clashed = |error: &_| self.clashed(NamedKind::AnalysisRun, &run.metadata, error);
        let stored = created.inspect_err(clashed)?;
        self.wrote_run(&stored);
        Ok(())
    }

    pub(super) async fn terminate_run(&mut self, name: &str) -> Result<(), Error> {
        let (key, _) = self.observed_run(name)?;
        let stored = self
            .applier
            .writer
            .merge::<AnalysisRun>(&key, &not_needed())
            .await?;
        self.wrote_run(&stored);
        Ok(())
    }

    pub(super) async fn delete_run(&mut self, name: &str) -> Result<(), Error> {
        let (key, uid) = self.observed_run(name)?;
        match self
            .applier
            .writer
            .delete::<AnalysisRun>(&key, Some(uid.as_str()))
            .await
        {
            Ok(()) => self
                .applier
                .written
                .deleted(Kind::AnalysisRun, &uid, &self.uid),
            Err(writer::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn observed_run(&self, name: &str) -> Result<(ObjectKey, Uid), Error> {
        let found = self
            .observed
            .analysis_runs
            .iter()
            .find(|run| run.metadata.name.as_deref() == Some(name));
        let metadata = &found
            .ok_or_else(|| self.unobserved("AnalysisRun", name))?
            .metadata;
        Ok((ObjectKey::of(metadata), crate::observe::uid_of(metadata)))
    }

    fn wrote_run(&self, stored: &ObjectMeta) {
        let uid = crate::observe::uid_of(stored);
        let version = stored.resource_version.as_deref().unwrap_or_default();
        self.applier
            .written
            .wrote(Kind::AnalysisRun, &uid, &self.uid, version);
    }
}

/// The end of what nothing waits for any more, with the mark that says so.
pub(super) fn not_needed() -> Value {
    json!({
        "metadata": {"annotations": {ANNOTATION_NOT_NEEDED: "true"}},
        "spec": {"terminate": true},
    })
}
