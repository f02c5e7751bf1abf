//! A model cluster: it takes plans as an API server and the ReplicaSet controller would.
//!
//! In: `Observed` and plans. Out: the next `Observed`. It must not know why a plan is made; what a plan writes is applied
//! as it is, and what cannot be applied is an error.

use std::collections::BTreeMap;

use agent_api::names::{ANNOTATION_DESIRED_REPLICAS, ANNOTATION_DIGEST, LABEL_POD_HASH};
use agent_api::object::ObjectMeta;
use agent_api::{AnalysisPhase, AnalysisRunStatus, ReplicaSet, ReplicaSetStatus};
use agent_engine::{Action, GateRecord, Kept, Observed, Plan};
use jiff::{SignedDuration, Timestamp};

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
    /// Writes so far, events aside.
    pub writes: u64,
    /// Names of the ReplicaSets that were ever made.
    pub made: Vec<String>,
    /// Keys of the events so far, by reason.
    pub events: BTreeMap<String, u32>,
}

impl Cluster {
    /// A cluster in a state.
    pub fn new(observed: Observed) -> Self {
        Self {
            observed,
            broken: Vec::new(),
            writes: 0,
            made: Vec::new(),
            events: BTreeMap::new(),
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
            self.write(action)?;
            done += 1;
        }
        let differs = self.observed.rollout.status.as_ref() != Some(&plan.status);
        if differs && limit.is_none_or(|limit| done < limit) {
            self.observed.rollout.status = Some(plan.status.clone());
            done += 1;
        }
        self.writes += done as u64;
        Ok(done)
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
            }
            Action::CreateReplicaSet { replica_set } => self.create(replica_set)?,
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
                let known = set.metadata.annotations.get_or_insert_default();
                for (key, value) in annotations {
                    match value {
                        Some(value) => known.insert(key.clone(), value.clone()),
                        None => known.remove(key),
                    };
                }
                set.spec.min_ready_seconds = min_ready_seconds.or(set.spec.min_ready_seconds);
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
                run.ok_or_else(|| Error::Missing(name.clone()))?
                    .spec
                    .terminate = Some(true);
            }
            Action::DeleteAnalysisRun { name } => {
                self.observed
                    .analysis_runs
                    .retain(|run| run.metadata.name.as_ref() != Some(name));
            }
            Action::PatchRollout { annotations } => {
                let all = self
                    .observed
                    .rollout
                    .metadata
                    .annotations
                    .get_or_insert_default();
                for (key, value) in annotations {
                    match value {
                        Some(value) => all.insert(key.clone(), value.clone()),
                        None => all.remove(key),
                    };
                }
            }
            Action::Event(_) => {}
        }
        Ok(())
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
        set.status = Some(ReplicaSetStatus::default());
        self.made.push(name);
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
        for set in &mut self.observed.replica_sets {
            let desired = set.desired();
            let digest = set
                .metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get(ANNOTATION_DIGEST));
            let broken = digest.is_some_and(|digest| self.broken.contains(digest));
            let was = set.available();
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
    }

    /// Ends every run that is under way.
    pub fn finish_runs(&mut self, phase: AnalysisPhase) {
        for run in &mut self.observed.analysis_runs {
            let known = run.status.as_ref().and_then(|status| status.phase);
            if known.is_some_and(AnalysisPhase::is_completed) {
                continue;
            }
            let ended = run.spec.terminate == Some(true);
            let phase = if ended {
                AnalysisPhase::Successful
            } else {
                phase
            };
            run.status = Some(AnalysisRunStatus {
                phase: Some(phase),
                ..AnalysisRunStatus::default()
            });
        }
    }

    /// Pods wanted of the version with a hash.
    pub fn desired(&self, hash: &str) -> i32 {
        let of = |set: &&ReplicaSet| {
            set.metadata
                .labels
                .as_ref()
                .and_then(|all| all.get(LABEL_POD_HASH))
                .map(String::as_str)
                == Some(hash)
        };
        self.observed
            .replica_sets
            .iter()
            .filter(of)
            .map(ReplicaSet::desired)
            .sum()
    }
}

fn stamp(metadata: &mut ObjectMeta, now: Timestamp) {
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    metadata.creation_timestamp = serde_json::from_value(seconds.to_string().into()).ok();
}

fn letters(digest: &str) -> String {
    digest
        .split_once(':')
        .map_or(digest, |(_, hex)| hex)
        .chars()
        .take(16)
        .collect()
}
