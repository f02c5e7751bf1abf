//! A model cluster: it takes plans as an API server and the ReplicaSet controller would.
//!
//! In: `Observed` and plans. Out: the next `Observed`. It must not know why a plan is made; what a plan writes is applied
//! as it is, and what cannot be applied is an error.

mod clients;
mod controller;
mod experiments;
mod refuse;

use std::collections::BTreeMap;

use agent_api::digest::content_digest;
use agent_api::names::{
    ANNOTATION_DESIRED_REPLICAS, ANNOTATION_DIGEST, ANNOTATION_MANAGED_BY, LABEL_POD_HASH,
};
use agent_api::object::ObjectMeta;
use agent_api::{Pod, ReplicaSet, ReplicaSetStatus, Service, Weights, Workload};
use agent_engine::canary::experiment::stable_wanted;
use agent_engine::{
    Action, Changes, GateRecord, Kept, Observed, Plan, Refusal, RefusedClaim, pods, services,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

pub use controller::delete;
use controller::{ends, keep_pods, owned, readied, time};

use crate::agent_fixture::{NAME, defaulted};
use experiments::{Side, mark, written};

/// Why a plan cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is such an object already.
    #[error("{0} is there already")]
    Exists(String),
    /// There is no such object.
    #[error("{0} is not there")]
    Missing(String),
    /// It was scaled from another number than it has.
    #[error("{0} has {1} pods and not {2}")]
    Stale(String, i32, i32),
}

/// The cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// What an agent would see.
    pub observed: Observed,
    /// Versions (by digest) whose pods never become available.
    pub broken: Vec<String>,
    /// What the router says first of a split that it is asked for; it confirms with the next tick.
    pub confirms: Option<bool>,
    /// Writes so far, events aside.
    pub writes: u64,
    /// Names of the ReplicaSets that were ever made.
    pub made: Vec<String>,
    /// Keys of the events so far, by reason.
    pub events: BTreeMap<String, u32>,
    /// The pods, among them those on their way out.
    pub pods: Vec<Pod>,
    /// A budget lets no pod be evicted.
    pub blocked: bool,
    /// A policy lets no ReplicaSet be made, and none get another owner.
    pub refuses: bool,
    /// The workload that is named, while it is not there.
    pub lost: Option<Workload>,
    /// What the Experiments have, by name.
    sides: BTreeMap<String, Side>,
}

impl Cluster {
    /// A cluster in a state.
    pub fn new(observed: Observed) -> Self {
        let mut cluster = Self {
            observed,
            broken: Vec::new(),
            confirms: None,
            writes: 0,
            made: Vec::new(),
            events: BTreeMap::new(),
            pods: Vec::new(),
            blocked: false,
            refuses: false,
            lost: None,
            sides: BTreeMap::new(),
        };
        for set in cluster.observed.replica_sets.clone() {
            cluster.store_form(&set);
        }
        cluster
    }

    /// The API server fills the template with defaults; a spec copied from it has this digest.
    fn store_form(&mut self, set: &ReplicaSet) {
        let images = set.spec.template.images();
        let version = images.first().and_then(|image| image.strip_prefix("demo:"));
        let name = set.metadata.name.clone().unwrap_or_default();
        if let Some(version) = version {
            let stored = vec![content_digest(&defaulted(version))];
            self.observed.stored.insert(name, stored);
        }
    }

    /// Applies the first `limit` writes of a plan (the status is the last one); `None`: all. A cut-off pass is a crash.
    pub fn apply(&mut self, plan: &Plan, limit: Option<usize>) -> Result<usize, Error> {
        let mut done = 0;
        for action in &plan.actions {
            if let Action::Event(event) = action {
                let key = format!("{}/{}", event.reason, event.key);
                self.events
                    .entry(key)
                    .and_modify(|count| *count += 1)
                    .or_insert(1);
                continue;
            }
            if limit.is_some_and(|limit| done >= limit) {
                return Ok(done);
            }
            if self.refuses && self.refuse(action) {
                return Ok(done);
            }
            self.write(action)?;
            done += 1;
        }
        let differs = self.observed.rollout.status.as_ref() != Some(&plan.status);
        if differs && limit.is_none_or(|limit| done < limit) {
            self.observed.rollout.status = Some(plan.status.clone());
            self.observed.status_written = Some(self.observed.now);
            done += 1;
        }
        self.writes += done as u64;
        Ok(done)
    }

    /// What an agent reads before it decides, beside its caches.
    pub fn look(&mut self) {
        let stable = stable_wanted(&self.observed);
        let observed = &mut self.observed;
        let mut sets = observed.replica_sets.iter();
        let stable = sets.find(|set| stable.is_some() && set.metadata.name == stable);
        observed.stable_template = stable.and_then(written);
        let needed = pods::needed(&observed.rollout, &observed.replica_sets, observed.now);
        observed.pods = needed.then(|| readied(&self.pods, &observed.replica_sets));
        let now = observed.now;
        let sets = &observed.replica_sets;
        let there = |one: &RefusedClaim| {
            sets.iter()
                .any(|set| set.metadata.name.as_ref() == Some(&one.name))
        };
        observed.refused_claims.retain(there);
        observed.refused.retain(|refusal| refusal.until() > now);
    }

    #[expect(clippy::too_many_lines, reason = "one arm an action")]
    fn write(&mut self, action: &Action) -> Result<(), Error> {
        match action {
            Action::KeepTemplate(keep) => {
                let kept = Kept {
                    template: keep.template.clone(),
                    strategy: keep.strategy.clone(),
                    templates: keep.templates.clone(),
                    delivery: keep.delivery.clone(),
                };
                self.observed.gate.kept.insert(keep.digest.clone(), kept);
            }
            Action::ForgetTemplate { digest, name } => {
                let known = self.observed.gate.kept.get(digest);
                // An older delivery of the same content may have been replaced under the same digest.
                if known
                    .is_some_and(|kept| name.ends_with(letters(kept.delivery.as_str()).as_str()))
                {
                    self.observed.gate.kept.remove(digest);
                }
            }
            Action::RecordGate { status, .. } => {
                let GateRecord::Present(gate) = &mut self.observed.gate.record else {
                    return Err(Error::Missing("the Gate".to_owned()));
                };
                gate.status = Some((**status).clone());
                let spent = self.observed.gate.spent.as_ref().map(|spent| spent.fence);
                let outcome = status.outcome.as_ref();
                let newer =
                    outcome.filter(|outcome| spent.is_none_or(|known| known < outcome.fence));
                if let Some(outcome) = newer {
                    self.observed.gate.spent = Some(outcome.clone());
                }
            }
            Action::CreateReplicaSet { replica_set } => self.create(replica_set)?,
            Action::ClaimReplicaSet { name, owners } => {
                self.set(name)?.metadata.owner_references = Some(owners.clone());
                let refused = &mut self.observed.refused_claims;
                refused.retain(|one| one.name != *name);
            }
            Action::ReleaseReplicaSet { name, .. } => {
                // An agent does not see it any more.
                self.set(name)?;
                let sets = &mut self.observed.replica_sets;
                sets.retain(|set| set.metadata.name.as_ref() != Some(name));
            }
            Action::AdoptReplicaSet { name, annotations } => {
                self.set(name)?
                    .metadata
                    .annotations
                    .get_or_insert_default()
                    .extend(annotations.clone());
            }
            Action::AnnotateReplicaSet {
                name,
                annotations,
                min_ready_seconds,
            } => {
                let set = self.set(name)?;
                merge(
                    set.metadata.annotations.get_or_insert_default(),
                    annotations,
                );
                set.spec.min_ready_seconds = min_ready_seconds.or(set.spec.min_ready_seconds);
            }
            Action::ChangeTemplateMetadata {
                name,
                labels,
                annotations,
                notes,
            } => {
                let set = self.set(name)?;
                let known = set.metadata.annotations.get_or_insert_default();
                merge(known, notes);
                let template = &mut set.spec.template;
                let (mut all, mut more) = (template.labels(), template.annotations());
                merge(&mut all, labels);
                merge(&mut more, annotations);
                let mut value = template.value();
                if let Some(fields) = value.as_object_mut() {
                    let metadata = json!({"labels": all, "annotations": more});
                    fields.insert("metadata".to_owned(), metadata);
                }
                *template = agent_api::PodTemplate::of(value);
            }
            Action::ChangePods { pods, .. } => {
                for change in pods {
                    let pod = self.pod(&change.name, change.uid.as_str())?;
                    merge(pod.metadata.labels.get_or_insert_default(), &change.labels);
                    merge(
                        pod.metadata.annotations.get_or_insert_default(),
                        &change.annotations,
                    );
                }
            }
            Action::EvictPod { name, uid, .. } => {
                let (now, blocked) = (self.observed.now, self.blocked);
                let pod = self.pod(name, uid.as_str())?;
                if blocked {
                    self.observed.refused.push(Refusal {
                        pod: name.clone(),
                        uid: uid.clone(),
                        message: "the budget is used up".to_owned(),
                        at: now,
                    });
                } else {
                    pod.metadata.deletion_timestamp = time(now);
                }
            }
            Action::ScaleReplicaSet {
                name,
                from,
                to,
                desired,
                ..
            } => {
                let set = self.set(name)?;
                let has = set.desired();
                if has != *from {
                    return Err(Error::Stale(name.clone(), has, *from));
                }
                set.spec.replicas = Some(*to);
                let annotations = set.metadata.annotations.get_or_insert_default();
                annotations.insert(ANNOTATION_DESIRED_REPLICAS.to_owned(), desired.to_string());
            }
            Action::DeleteReplicaSet { name } => {
                self.set(name)?;
                self.observed
                    .replica_sets
                    .retain(|set| set.metadata.name.as_ref() != Some(name));
            }
            Action::CreateAnalysisRun { run } => {
                let name = run.metadata.name.clone().unwrap_or_default();
                if self
                    .observed
                    .analysis_runs
                    .iter()
                    .any(|known| known.metadata.name == run.metadata.name)
                {
                    return Err(Error::Exists(name));
                }
                let mut run = (**run).clone();
                stamp(&mut run.metadata, self.observed.now);
                self.observed.analysis_runs.push(run);
            }
            Action::TerminateAnalysisRun { name } => {
                let run = self
                    .observed
                    .analysis_runs
                    .iter_mut()
                    .find(|run| run.metadata.name.as_ref() == Some(name));
                let run = run.ok_or_else(|| Error::Missing(name.clone()))?;
                run.spec.terminate = Some(true);
                mark(&mut run.metadata);
            }
            Action::CreateExperiment { experiment } => {
                let mut made = (**experiment).clone();
                stamp(&mut made.metadata, self.observed.now);
                self.observed.experiments.push(made);
            }
            Action::TerminateExperiment { name } => {
                let all = &mut self.observed.experiments;
                for one in all.iter_mut() {
                    if one.metadata.name.as_ref() == Some(name) {
                        one.spec.terminate = Some(true);
                        mark(&mut one.metadata);
                    }
                }
            }
            Action::DeleteExperiment { name } => {
                let all = &mut self.observed.experiments;
                all.retain(|one| one.metadata.name.as_ref() != Some(name));
            }
            Action::DeleteAnalysisRun { name } => {
                self.observed
                    .analysis_runs
                    .retain(|run| run.metadata.name.as_ref() != Some(name));
            }
            Action::ScaleWorkload { name, from, to, .. } => {
                let workload = self.observed.workload.as_mut();
                let workload = workload.ok_or_else(|| Error::Missing(name.clone()))?;
                let has = workload.replicas.unwrap_or(0);
                if has != *from {
                    return Err(Error::Stale(name.clone(), has, *from));
                }
                workload.replicas = Some(*to);
                workload.generation += 1;
            }
            Action::PatchRollout { annotations } => {
                let all = self
                    .observed
                    .rollout
                    .metadata
                    .annotations
                    .get_or_insert_default();
                merge(all, annotations);
            }
            Action::SwitchService { name, from, to } => {
                let service = self.service(name)?;
                if services::selects(service) != *from {
                    return Err(Error::Missing(format!("{name} at {from:?}")));
                }
                let selector = &mut service.spec.selector;
                selector.insert(LABEL_POD_HASH.to_owned(), to.to_string());
                let annotations = service.metadata.annotations.get_or_insert_default();
                annotations.insert(ANNOTATION_MANAGED_BY.to_owned(), NAME.to_owned());
            }
            Action::SetTraffic { traffic, .. } => {
                let confirms = self.confirms;
                let Some(shown) = &mut self.observed.traffic else {
                    return Err(Error::Missing("the router".to_owned()));
                };
                shown.weights = Some(Weights {
                    verified: confirms,
                    ..traffic.weights.clone()
                });
                shown.routes = traffic
                    .routes
                    .iter()
                    .map(|route| route.name().to_owned())
                    .collect();
            }
            Action::ReleaseService { name } => {
                let service = self.service(name)?;
                service.spec.selector.remove(LABEL_POD_HASH);
                service.metadata.annotations = None;
            }
            Action::Event(_) => {}
        }
        Ok(())
    }

    fn service(&mut self, name: &str) -> Result<&mut Service, Error> {
        let mut all = self.observed.services.iter_mut();
        let found = all.find(|service| service.metadata.name.as_deref() == Some(name));
        found.ok_or_else(|| Error::Missing(name.to_owned()))
    }

    fn create(&mut self, set: &ReplicaSet) -> Result<(), Error> {
        let name = set.metadata.name.clone().unwrap_or_default();
        if self
            .observed
            .replica_sets
            .iter()
            .any(|known| known.metadata.name == set.metadata.name)
        {
            return Err(Error::Exists(name));
        }
        let mut set = set.clone();
        stamp(&mut set.metadata, self.observed.now);
        // The API server gives every object one of its own.
        set.metadata.uid = Some(format!("{name}-{}", self.made.len()));
        set.status = Some(ReplicaSetStatus::default());
        self.made.push(name);
        self.observed.refused_set = None;
        self.store_form(&set);
        self.observed.replica_sets.push(set);
        Ok(())
    }

    fn set(&mut self, name: &str) -> Result<&mut ReplicaSet, Error> {
        let found = self
            .observed
            .replica_sets
            .iter_mut()
            .find(|set| set.metadata.name.as_deref() == Some(name));
        found.ok_or_else(|| Error::Missing(name.to_owned()))
    }

    /// Time goes on; every ReplicaSet gets its pods, and up to `ready` more of them become available.
    pub fn tick(&mut self, seconds: i64, ready: i32) {
        self.observed.now = self
            .observed
            .now
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap_or(Timestamp::MAX);
        let shown = self.observed.traffic.as_mut();
        if let Some(weights) = shown.and_then(|shown| shown.weights.as_mut()) {
            weights.verified = weights.verified.map(|_| true);
        }
        self.observed.replica_sets.retain_mut(|set| !ends(set));
        for set in &mut self.observed.replica_sets {
            let desired = set.desired();
            let kept = keep_pods(&mut self.pods, set, self.observed.now);
            let digest = set
                .metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get(ANNOTATION_DIGEST));
            let broken = digest.is_some_and(|digest| self.broken.contains(digest));
            let was = set.available().min(kept);
            let available = if broken {
                0
            } else {
                desired.min(was.saturating_add(ready))
            };
            set.status = Some(ReplicaSetStatus {
                replicas: desired,
                ready_replicas: Some(available),
                available_replicas: Some(available),
                ..ReplicaSetStatus::default()
            });
        }
        self.tick_experiments();
        let names: Vec<_> = self.made_names();
        self.pods
            .retain(|pod| names.iter().any(|name| owned(pod, name)));
    }

    fn made_names(&self) -> Vec<String> {
        let sets = self.observed.replica_sets.iter();
        sets.filter_map(|set| set.metadata.name.clone()).collect()
    }

    fn pod(&mut self, name: &str, uid: &str) -> Result<&mut Pod, Error> {
        let found = self.pods.iter_mut().find(|pod| {
            pod.metadata.name.as_deref() == Some(name) && pod.metadata.uid.as_deref() == Some(uid)
        });
        found.ok_or_else(|| Error::Missing(name.to_owned()))
    }
}

/// Applies changes as a merge patch does.
fn merge(map: &mut BTreeMap<String, String>, changes: &Changes) {
    for (key, value) in changes {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}

fn stamp(metadata: &mut ObjectMeta, now: Timestamp) {
    metadata.creation_timestamp = time(now);
}

fn letters(digest: &str) -> String {
    digest
        .split_once(':')
        .map_or(digest, |(_, hex)| hex)
        .chars()
        .take(16)
        .collect()
}
