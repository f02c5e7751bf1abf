//! Writes to Experiments on behalf of a Rollout.
//!
//! In: the plan's words about one. Out: one request each. It must not write an Experiment's status: its own engine does.

use agent_api::{Experiment, ObjectMeta, Uid};
use agent_engine::NamedKind;

use super::analysis::not_needed;
use super::{Error, Pass};
use crate::key::ObjectKey;
use crate::observe::uid_of;
use crate::writer;
use crate::written::Kind;

impl Pass<'_> {
    /// Creates an Experiment. One of this name that is there already is not in the cache yet, or somebody else's: the next
    /// pass sees which.
    pub(super) async fn create_experiment(&mut self, experiment: &Experiment) -> Result<(), Error> {
        let created = self.applier.writer.create(experiment).await;
        let clashed = |error: &_| self.clashed(NamedKind::Experiment, &experiment.metadata, error);
        let stored = created.inspect_err(clashed)?;
        self.wrote_experiment(&stored);
        Ok(())
    }

    pub(super) async fn terminate_experiment(&mut self, name: &str) -> Result<(), Error> {
        let (key, _) = self.observed_experiment(name)?;
        let patch = not_needed();
        match self.applier.writer.merge::<Experiment>(&key, &patch).await {
            Ok(stored) => self.wrote_experiment(&stored),
            Err(writer::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    pub(super) async fn delete_experiment(&mut self, name: &str) -> Result<(), Error> {
        let (key, uid) = self.observed_experiment(name)?;
        let writer = &self.applier.writer;
        match writer.delete::<Experiment>(&key, Some(uid.as_str())).await {
            Ok(()) => self
                .applier
                .written
                .deleted(Kind::Experiment, &uid, &self.uid),
            Err(writer::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn observed_experiment(&self, name: &str) -> Result<(ObjectKey, Uid), Error> {
        let mut all = self.observed.experiments.iter();
        let found = all.find(|one| one.metadata.name.as_deref() == Some(name));
        let metadata = &found
            .ok_or_else(|| self.unobserved("Experiment", name))?
            .metadata;
        Ok((ObjectKey::of(metadata), uid_of(metadata)))
    }

    fn wrote_experiment(&self, stored: &ObjectMeta) {
        let version = stored.resource_version.as_deref().unwrap_or_default();
        self.applier
            .written
            .wrote(Kind::Experiment, &uid_of(stored), &self.uid, version);
    }
}
