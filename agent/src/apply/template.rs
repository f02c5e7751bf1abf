//! Kept templates, written and forgotten.
//!
//! In: content to keep, or the name of what is kept no more. Out: ControllerRevisions in the agent's own namespace. It
//! must not touch those of others: names come from the engine and begin with the Rollout's namespace and name.

use agent_engine::KeepTemplate;

use super::{Error, Pass};
use crate::key::ObjectKey;
use crate::revision::Revision;
use crate::writer;
use crate::written::Kind;

impl Pass<'_> {
    /// Keeps content; its name says what it holds, so one that is there already is the same.
    pub(super) async fn keep_template(&mut self, keep: &KeepTemplate) -> Result<(), Error> {
        let revision = Revision::of(&self.applier.namespace, &self.key, &self.uid, keep);
        match self.applier.writer.create(&revision).await {
            Ok(stored) => {
                let uid = crate::observe::uid_of(&stored);
                let version = stored.resource_version.as_deref().unwrap_or_default();
                self.applier
                    .written
                    .wrote(Kind::ControllerRevision, &uid, &self.uid, version);
            }
            Err(writer::Error::AlreadyExists { what }) => {
                tracing::debug!(rollout = %self.key, "{what} is kept already")
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    pub(super) async fn forget_template(&mut self, name: &str) -> Result<(), Error> {
        let key = ObjectKey::new(self.applier.namespace.clone(), name);
        match self.applier.writer.delete::<Revision>(&key, None).await {
            Ok(()) | Err(writer::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
