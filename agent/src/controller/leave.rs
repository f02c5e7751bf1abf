//! A pass over an Experiment, with the word of the Rollout that made it.
//!
//! In: the Experiment as cached. Out: its pass; before it has begun, with the leave that the Rollout's own plan gives. It
//! must not write anything of the Rollout: its own pass does.

use agent_api::{Experiment, Rollout};
use agent_engine::canary::experiment::leave;
use agent_engine::claims::controller;
use agent_engine::experiment::Leave;
use agent_engine::experiment::leave::has_begun;
use jiff::{SignedDuration, Timestamp};

use super::{BACKLOG, Controller, Error, Outcome};
use crate::key::ObjectKey;
use crate::lease_clock::Moment;
use crate::observe::uid_of;

/// A Rollout whose cache is behind is asked again so soon: what is awaited is on its way.
const SOON: SignedDuration = SignedDuration::from_millis(100);

impl Controller {
    pub(super) async fn experiment(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let leave = match self.observer.caches.experiments.get(key) {
            Some(found) => match &found.object {
                Ok(experiment) => self.leave(experiment, key).await?,
                Err(_) => Some(Leave::Given),
            },
            None => Some(Leave::Given),
        };
        let Some(leave) = leave else {
            return Ok(Outcome::Done(Timestamp::now().checked_add(SOON).ok()));
        };
        Ok(self.experiments.reconcile(key, leave).await?)
    }

    /// `None` while nobody can know: the Rollout was written, and its cache does not show it yet.
    async fn leave(
        &self,
        experiment: &Experiment,
        key: &ObjectKey,
    ) -> Result<Option<Leave>, Error> {
        let owner = controller(&experiment.metadata).filter(|owner| owner.kind == "Rollout");
        let Some(owner) = owner.filter(|_| !has_begun(experiment)) else {
            return Ok(Some(Leave::Given));
        };
        let withheld = |why: &str| {
            let why = why.to_owned();
            Ok(Some(Leave::Withheld { why }))
        };
        let named = ObjectKey::new(key.namespace.clone(), owner.name.clone());
        let found = self.observer.caches.rollouts.get(&named);
        let found = found.filter(|found| uid_of(found.metadata()).as_str() == owner.uid);
        let Some(found) = found else {
            return withheld("it is not there");
        };
        let version = found.metadata().resource_version.as_deref();
        if self
            .applier
            .written
            .is_behind(&uid_of(found.metadata()), version)
        {
            return Ok(None);
        }
        let Ok(rollout) = &found.object else {
            return withheld("it cannot be decoded");
        };
        let plan = self.planned(rollout).await?;
        Ok(Some(leave(&plan, &key.name)))
    }

    /// The plan for a Rollout as it is now, to be read and not to be carried out.
    async fn planned(&self, rollout: &Rollout) -> Result<agent_engine::Plan, Error> {
        let busy = self.queue.depth() > BACKLOG;
        let observed = self.observer.observe(rollout, Moment::read(), busy).await?;
        Ok(agent_engine::reconcile(&observed))
    }
}

#[cfg(test)]
mod tests;
