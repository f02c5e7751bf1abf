//! One Rollout in its cluster, and what belongs to it there. In: what others than the agent do to it. Out: the same afterwards.
//! It must not know of the cluster's other Rollouts.

use std::collections::BTreeSet;

use agent::key::ObjectKey;
use agent_api::names::{
    ANNOTATION_BREAK_GLASS, ANNOTATION_BREAK_GLASS_BY, ANNOTATION_FLEET_REVISION, LABEL_POD_HASH,
};
use agent_api::{AnalysisPhase, AnalysisRunStatus, CanaryStep, RolloutStatus};
use agent_engine::GateRecord;
use tests_golden::agent_cluster::Cluster;
use tests_golden::agent_fixture::template;

/// The Rollout.
#[derive(Debug, Clone)]
pub struct Part {
    /// What the API server has: Rollout, ReplicaSets, Gate, kept contents.
    pub cluster: Cluster,
    /// Versions of the Rollout that others than the agent wrote.
    pub rollout_version: u64,
    /// Versions of the Gate.
    pub gate_version: u64,
    /// Writes of the agent.
    pub own_writes: u64,
    /// It is deleted.
    pub gone: bool,
    /// How often it was made again.
    pub made: u64,
    /// Contents that name a ConfigMap which is gone.
    pub config_gone: BTreeSet<String>,
}

impl Part {
    /// A Rollout that nobody has written since.
    #[must_use]
    pub fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            rollout_version: 0,
            gate_version: 0,
            own_writes: 0,
            gone: false,
            made: 0,
            config_gone: BTreeSet::new(),
        }
    }

    /// Its namespace and name.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey::of(&self.cluster.observed.rollout.metadata)
    }

    /// The object's UID.
    #[must_use]
    pub fn uid(&self) -> String {
        let uid = self.cluster.observed.rollout.metadata.uid.clone();
        uid.unwrap_or_default()
    }

    /// The Gate, if it is there.
    #[must_use]
    pub fn gate(&self) -> Option<&agent_api::Gate> {
        self.cluster.observed.gate.gate()
    }

    /// A client or the applier has written the Rollout.
    pub fn rollout_written(&mut self) {
        self.rollout_version += 1;
    }

    /// Whether a permit to go forward has taken effect here and has not ended.
    #[must_use]
    pub fn under_way(&self) -> bool {
        let Some(gate) = self.gate() else {
            return false;
        };
        let status = gate.status.as_ref();
        let effect = status.and_then(|status| status.effective.as_ref());
        let outcome = status.and_then(|status| status.outcome.as_ref());
        let ended = outcome.map(|outcome| outcome.fence);
        gate.spec.permit.as_ref().is_some_and(|permit| {
            permit.direction == agent_api::Direction::Forward
                && effect.is_some_and(|effect| effect.fence == permit.fence)
                && ended != Some(permit.fence)
        })
    }

    /// Somebody deletes the Gate.
    pub fn delete_gate(&mut self) -> bool {
        let there = self.gate().is_some();
        self.cluster.observed.gate.record = GateRecord::Missing;
        self.gate_version += 1;
        there
    }

    pub(super) fn delete_rollout(&mut self) {
        self.gone = true;
        let observed = &mut self.cluster.observed;
        observed.replica_sets.clear();
        observed.analysis_runs.clear();
        self.rollout_version += 1;
    }

    pub(super) fn put_back(&mut self, copy: Self) {
        self.cluster = copy.cluster;
        self.gone = copy.gone;
        self.rollout_version += 1;
        self.gate_version += 1;
        self.own_writes += 1;
    }

    /// The measurements' verdict on every run that goes on: which content is bad. What ended, and how.
    pub fn runs_end(&mut self, bad: impl Fn(&str) -> bool) -> Vec<String> {
        let mut ended = Vec::new();
        for run in &mut self.cluster.observed.analysis_runs {
            let phase = run.status.as_ref().and_then(|status| status.phase);
            if phase.is_some_and(AnalysisPhase::is_completed) {
                continue;
            }
            let labels = run.metadata.labels.as_ref();
            let of = labels.and_then(|all| all.get(LABEL_POD_HASH));
            let stopped = run.spec.terminate == Some(true);
            let phase = if !stopped && of.is_some_and(|hash| bad(hash)) {
                AnalysisPhase::Failed
            } else {
                AnalysisPhase::Successful
            };
            run.status = Some(AnalysisRunStatus {
                phase: Some(phase),
                ..AnalysisRunStatus::default()
            });
            let name = run.metadata.name.clone().unwrap_or_default();
            ended.push(format!("{name} {phase:?}"));
        }
        ended
    }

    /// Git's applier brings a version.
    pub fn applied(&mut self, version: &str, revision: &str) {
        let rollout = &mut self.cluster.observed.rollout;
        let template = template(version);
        if rollout.spec.template.as_ref() != Some(&template) {
            rollout.spec.template = Some(template);
            let generation = &mut rollout.metadata.generation;
            *generation = Some(generation.unwrap_or(0) + 1);
        }
        self.says(revision);
        self.rollout_written();
    }

    /// The applier brings other steps.
    pub fn stepped(&mut self, steps: &[CanaryStep]) {
        let rollout = &mut self.cluster.observed.rollout;
        if let Some(canary) = &mut rollout.spec.strategy.canary
            && canary.steps != steps
        {
            canary.steps = steps.to_vec();
            let generation = &mut rollout.metadata.generation;
            *generation = Some(generation.unwrap_or(0) + 1);
        }
    }

    /// Another object: what persons wrote on the former one is gone.
    pub fn unsaid(&mut self) {
        let metadata = &mut self.cluster.observed.rollout.metadata;
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.remove(ANNOTATION_BREAK_GLASS);
        annotations.remove(ANNOTATION_BREAK_GLASS_BY);
    }

    /// The revision that its annotation names; empty: it has none.
    pub fn says(&mut self, revision: &str) {
        let metadata = &mut self.cluster.observed.rollout.metadata;
        let annotations = metadata.annotations.get_or_insert_default();
        if revision.is_empty() {
            annotations.remove(ANNOTATION_FLEET_REVISION);
        } else {
            let revision = revision.to_owned();
            annotations.insert(ANNOTATION_FLEET_REVISION.to_owned(), revision);
        }
    }

    /// The status, the default before the first pass.
    #[must_use]
    pub fn status(&self) -> RolloutStatus {
        self.cluster.status()
    }
}
