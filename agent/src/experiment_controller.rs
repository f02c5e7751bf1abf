//! One pass over one Experiment.
//!
//! In: the Experiment and what it owns, as cached. Out: its pods, Services and runs written as planned, then its status. It
//! must not choose: the engine does.

mod templates;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent_api::{
    AnalysisPhase, AnalysisRun, Experiment, ExperimentStatus, ObjectMeta, ReplicaSet, Service, Uid,
};
use agent_engine::claims::controller;
use agent_engine::clock::of_experiment;
use agent_engine::experiment::names::{service_name, set_name};
use agent_engine::experiment::{
    Action, Leave, Observed, Plan, Refused, audit, conditions, reconcile,
};
use agent_engine::{NamedKind, Taken, TemplateKey};
use agent_providers::condition;
use jiff::Timestamp;
use kube::{Api, Client};
use serde_json::json;

use crate::apply::Error;
use crate::backoff::Backoff;
use crate::cache::Caches;
use crate::controller::Outcome;
use crate::event::{About, Events, News};
use crate::key::ObjectKey;
use crate::lease_clock::Moment;
use crate::metrics::Metrics;
use crate::moments::SharedMoments;
use crate::observe::{decoded, uid_of};
use crate::status_patch::status_patch;
use crate::writer::{self, Writer};
use crate::written::{Kind, Written};

/// After refusals of a template's ReplicaSet: a quota that is raised is noticed within half a minute.
const REFUSED: Backoff = Backoff {
    first: Duration::from_secs(1),
    most: Duration::from_secs(30),
};

/// So long after.
fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// What was learned of an Experiment and stands in no cache; it goes with the Experiment.
#[derive(Debug, Default)]
struct Learned {
    refused: BTreeMap<String, (Refused, u32)>,
    taken: Vec<Taken>,
}

/// The controller of Experiments.
pub struct ExperimentController {
    /// What the watches show.
    pub caches: Arc<Caches>,
    /// For reads that no cache has: whose a name is.
    pub client: Client,
    /// Writes.
    pub writer: Writer,
    /// What was written.
    pub written: Arc<Written>,
    /// Events.
    pub events: Events,
    /// Counters.
    pub metrics: Metrics,
    learned: Mutex<HashMap<ObjectKey, Learned>>,
    moments: SharedMoments,
}

impl ExperimentController {
    /// The controller over these.
    #[must_use]
    pub fn new(
        caches: Arc<Caches>,
        (client, writer): (Client, Writer),
        written: Arc<Written>,
        events: Events,
        metrics: Metrics,
    ) -> Self {
        Self {
            caches,
            writer,
            client,
            written,
            events,
            metrics,
            learned: Mutex::default(),
            moments: SharedMoments::default(),
        }
    }

    /// One pass.
    pub(crate) async fn reconcile(&self, key: &ObjectKey, leave: Leave) -> Result<Outcome, Error> {
        let Some(found) = self.caches.experiments.get(key) else {
            self.lock().remove(key);
            self.moments.forget(key);
            return Ok(Outcome::Done(None));
        };
        let version = found.metadata().resource_version.as_deref();
        if self.written.is_behind(&uid_of(found.metadata()), version) {
            return Ok(Outcome::Behind);
        }
        let experiment = match &found.object {
            Ok(experiment) => experiment,
            Err(error) => {
                self.metrics.undecodable();
                tracing::warn!(experiment = %key, %error, "Experiment cannot be decoded and is left alone: correct it");
                return Ok(Outcome::Done(None));
            }
        };
        let mut observed = self.observe(experiment, key, Moment::read());
        observed.leave = leave;
        self.look_for_templates(&mut observed, &key.namespace)
            .await?;
        observed.bad_conditions = condition::refused(conditions(&observed));
        observed.unread_runs = self.unread_runs(&observed, key);
        for (run, why) in &observed.unread_runs {
            self.metrics.undecodable();
            tracing::warn!(experiment = %key, run, why, "AnalysisRun cannot be decoded and its Experiment waits for it: correct it or delete it");
        }
        self.look_again(&mut observed, key).await?;
        let plan = reconcile(&observed);
        for violation in audit(&observed, &plan) {
            self.metrics.violation(violation.rule);
            tracing::error!(experiment = %key, rule = violation.rule, detail = %violation.detail, "a plan breaks an invariant");
        }
        tracing::debug!(experiment = %key, reasons = ?plan.reasons.iter().map(ToString::to_string).collect::<Vec<_>>(), "reconciled");
        Ok(Outcome::Done(self.apply(key, &observed, plan).await?))
    }

    fn observe(&self, experiment: &Experiment, key: &ObjectKey, at: Moment) -> Observed {
        let uid = uid_of(&experiment.metadata);
        let times = of_experiment(experiment.status.as_ref());
        let mut observed = Observed::alone(experiment.clone(), at.now);
        observed.clock_set = self.moments.look(key, times, at);
        observed.replica_sets = decoded(self.caches.replica_sets.indexed(uid.as_str()));
        observed.analysis_runs = decoded(self.caches.runs.indexed(uid.as_str()));
        let wanted = experiment.spec.analyses.iter();
        let wanted = wanted.map(TemplateKey::of_experiment).collect();
        observed.templates = self.caches.named_templates(&key.namespace, wanted);
        let status = experiment.status.clone().unwrap_or_default();
        let names = experiment.spec.templates.iter().filter_map(|template| {
            let mut known = status.template_statuses.iter();
            let known = known.find(|one| one.name == template.name);
            let set = set_name(
                &key.name,
                &template.name,
                known.and_then(|one| one.collision_count),
            );
            let written = known.and_then(|one| one.service_name.clone());
            written.or_else(|| service_name(template, &set))
        });
        let services = names.filter_map(|name| {
            let key = ObjectKey::new(key.namespace.clone(), name);
            self.caches.services.get(&key)
        });
        observed.services = decoded(services);
        if let Some(learned) = self.lock().get(key) {
            observed.taken.clone_from(&learned.taken);
            let refused = learned.refused.iter();
            let refused = refused.map(|(name, (refused, _))| {
                // A clock that was set back puts off nothing for longer than that.
                let mut refused = refused.clone();
                refused.until = refused.until.min(later(at.now, REFUSED.most));
                (name.clone(), refused)
            });
            observed.refused = refused.collect();
        }
        observed
    }

    /// Runs of its own that it waits for and that cannot be decoded, and why. They are there, so that asking the API server
    /// for them says nothing more: with its next change the Experiment is looked at again.
    fn unread_runs(&self, observed: &Observed, key: &ObjectKey) -> BTreeMap<String, String> {
        let uid = uid_of(&observed.experiment.metadata);
        let unread = named_runs(observed).filter_map(|name| {
            let run = ObjectKey::new(key.namespace.clone(), name);
            let found = self.caches.runs.get(&run)?;
            let own = controller(found.metadata()).is_some_and(|owner| owner.uid == uid.as_str());
            let why = found.object.err().filter(|_| own)?.why;
            Some((name.to_owned(), why))
        });
        unread.collect()
    }

    /// A run that the status names and the cache does not show may have been made by another agent a moment ago: that it
    /// is gone, and its verdict with it, only the API server can say.
    async fn look_again(&self, observed: &mut Observed, key: &ObjectKey) -> Result<(), Error> {
        let known = |name: &str| {
            let mut runs = observed.analysis_runs.iter();
            runs.any(|run| run.metadata.name.as_deref() == Some(name))
                || observed.unread_runs.contains_key(name)
        };
        let missing = named_runs(observed).filter(|name| !known(name));
        let missing: Vec<String> = missing.map(str::to_owned).collect();
        let uid = uid_of(&observed.experiment.metadata);
        let api: Api<AnalysisRun> = Api::namespaced(self.client.clone(), &key.namespace);
        for name in missing {
            let found = api.get_opt(&name).await.map_err(|source| Error::Run {
                run: ObjectKey::new(key.namespace.clone(), name),
                source: Box::new(source),
            })?;
            let own = |run: &AnalysisRun| {
                let owner = controller(&run.metadata);
                owner.is_some_and(|owner| owner.uid == uid.as_str())
            };
            observed.analysis_runs.extend(found.filter(own));
        }
        Ok(())
    }

    async fn apply(
        &self,
        key: &ObjectKey,
        observed: &Observed,
        plan: Plan,
    ) -> Result<Option<Timestamp>, Error> {
        let Plan {
            actions,
            status,
            reasons: _,
            wake,
        } = plan;
        for action in actions {
            let refused = self.act(key, observed, action).await?;
            // The next pass, at once, knows of it.
            if refused {
                return Ok(Some(observed.now));
            }
        }
        self.write_status(key, observed, &status).await?;
        Ok(wake)
    }

    /// One write. Returns whether the API server refused it.
    async fn act(
        &self,
        key: &ObjectKey,
        observed: &Observed,
        action: Action,
    ) -> Result<bool, Error> {
        let uid = uid_of(&observed.experiment.metadata);
        let of = |name: &str| ObjectKey::new(key.namespace.clone(), name);
        match action {
            Action::CreateReplicaSet {
                template,
                replica_set,
            } => return self.create_set(key, observed, template, &replica_set).await,
            Action::ScaleReplicaSet { name, from: _, to } => {
                let patch = json!({"spec": {"replicas": to}});
                let stored = self.writer.merge::<ReplicaSet>(&of(&name), &patch).await?;
                self.wrote(Kind::ReplicaSet, &stored, &uid);
            }
            Action::CreateService { service } => {
                let stored = self.writer.create(&*service).await?;
                self.wrote(Kind::Service, &stored, &uid);
            }
            Action::DeleteService { name } => self.delete_service(observed, &of(&name)).await?,
            Action::CreateAnalysisRun { run } => {
                let created = self.writer.create(&*run).await;
                let stored = match created {
                    Ok(stored) => stored,
                    Err(error) => {
                        let kind = NamedKind::AnalysisRun;
                        return Err(self.clashed(key, &uid, kind, &run.metadata, error).await);
                    }
                };
                self.wrote(Kind::AnalysisRun, &stored, &uid);
            }
            Action::TerminateAnalysisRun { name } => {
                let patch = json!({"spec": {"terminate": true}});
                match self.writer.merge::<AnalysisRun>(&of(&name), &patch).await {
                    Ok(stored) => self.wrote(Kind::AnalysisRun, &stored, &uid),
                    Err(writer::Error::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Action::Event(event) => self.events.tell(News {
                about: About {
                    kind: "Experiment",
                    key: key.clone(),
                    uid,
                },
                kind: event.kind,
                reason: event.reason.to_owned(),
                message: event.message,
                key: event.key,
            }),
        }
        Ok(false)
    }

    async fn create_set(
        &self,
        key: &ObjectKey,
        observed: &Observed,
        template: String,
        set: &ReplicaSet,
    ) -> Result<bool, Error> {
        let uid = uid_of(&observed.experiment.metadata);
        let error = match self.writer.create(set).await {
            Ok(stored) => {
                self.wrote(Kind::ReplicaSet, &stored, &uid);
                let mut learned = self.lock();
                let known = learned.entry(key.clone()).or_default();
                known.refused.remove(&template);
                return Ok(false);
            }
            Err(error) => error,
        };
        let Some(refused) = error.refusal() else {
            let kind = NamedKind::ReplicaSet;
            return Err(self.clashed(key, &uid, kind, &set.metadata, error).await);
        };
        tracing::warn!(experiment = %key, template, message = refused.message, "the API server refuses the ReplicaSet");
        let mut learned = self.lock();
        let known = &mut learned.entry(key.clone()).or_default().refused;
        let times = known.get(&template).map_or(0, |(_, times)| *times);
        let times = times.saturating_add(1);
        let refused = Refused {
            message: refused.message,
            invalid: refused.names_a_field,
            until: later(observed.now, REFUSED.after(times)),
        };
        known.insert(template, (refused, times));
        Ok(true)
    }

    /// A name that is taken: by our own object, which the cache has not shown yet, or by somebody else's, which is learned.
    async fn clashed(
        &self,
        key: &ObjectKey,
        uid: &Uid,
        kind: NamedKind,
        made: &ObjectMeta,
        error: writer::Error,
    ) -> Error {
        let name = made.name.clone().unwrap_or_default();
        let namespace = &key.namespace;
        let found = match (&error, kind) {
            (writer::Error::AlreadyExists { .. }, NamedKind::ReplicaSet) => {
                let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), namespace);
                api.get_metadata_opt(&name)
                    .await
                    .map(|one| one.map(|one| one.metadata))
            }
            (writer::Error::AlreadyExists { .. }, NamedKind::AnalysisRun) => {
                let api: Api<AnalysisRun> = Api::namespaced(self.client.clone(), namespace);
                api.get_metadata_opt(&name)
                    .await
                    .map(|one| one.map(|one| one.metadata))
            }
            (_, NamedKind::ReplicaSet | NamedKind::AnalysisRun | NamedKind::Experiment) => {
                return error.into();
            }
        };
        let Ok(Some(found)) = found else {
            return error.into();
        };
        let owner = controller(&found);
        if owner.is_some_and(|owner| owner.uid == uid.as_str()) {
            return error.into();
        }
        let by = owner.map_or_else(
            || "nobody".to_owned(),
            |owner| format!("{} {} (uid {})", owner.kind, owner.name, owner.uid),
        );
        let mut learned = self.lock();
        let taken = &mut learned.entry(key.clone()).or_default().taken;
        taken.push(Taken { kind, name, by });
        error.into()
    }

    async fn delete_service(&self, observed: &Observed, key: &ObjectKey) -> Result<(), Error> {
        let mut all = observed.services.iter();
        let found = all.find(|one| one.metadata.name.as_ref() == Some(&key.name));
        let Some(found) = found else { return Ok(()) };
        let uid = uid_of(&found.metadata);
        match self.writer.delete::<Service>(key, Some(uid.as_str())).await {
            Ok(()) => {
                let decides = uid_of(&observed.experiment.metadata);
                self.written.deleted(Kind::Service, &uid, &decides);
            }
            Err(writer::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The status has no endpoint of its own: it is merged into the whole, bound to the version that was observed.
    async fn write_status(
        &self,
        key: &ObjectKey,
        observed: &Observed,
        planned: &ExperimentStatus,
    ) -> Result<(), Error> {
        let metadata = &observed.experiment.metadata;
        let version = metadata.resource_version.clone().unwrap_or_default();
        let before = observed.experiment.status.as_ref();
        let Some(patch) = status_patch(&version, before, planned)? else {
            return Ok(());
        };
        let stored = self.writer.merge::<Experiment>(key, &patch).await?;
        self.wrote(Kind::Experiment, &stored, &uid_of(metadata));
        Ok(())
    }

    fn wrote(&self, kind: Kind, stored: &ObjectMeta, decides: &Uid) {
        let version = stored.resource_version.as_deref().unwrap_or_default();
        self.written.wrote(kind, &uid_of(stored), decides, version);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Learned>> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of the runs that the status waits for.
fn named_runs(observed: &Observed) -> impl Iterator<Item = &str> {
    let status = observed.experiment.status.as_ref();
    let named = status.into_iter().flat_map(|status| &status.analysis_runs);
    named
        .filter(|one| !one.phase.is_some_and(AnalysisPhase::is_completed))
        .map(|one| one.analysis_run.as_str())
}

#[cfg(test)]
mod tests;
