//! What people, clients and analyses do to a model cluster, and what they ask of it.
//!
//! In: a cluster. Out: its Rollout or its runs changed, or an answer. It must not plan.

use agent_api::names::LABEL_POD_HASH;
use agent_api::{AnalysisPhase, AnalysisRunStatus, ReplicaSet, RolloutStatus};
use agent_engine::pods;

use super::Cluster;

impl Cluster {
    /// The status as it is; the default before the first pass.
    pub fn status(&self) -> RolloutStatus {
        self.observed.rollout.status.clone().unwrap_or_default()
    }

    /// A client writes to the status.
    pub fn patch(&mut self, change: impl FnOnce(&mut RolloutStatus)) {
        change(self.observed.rollout.status.get_or_insert_default());
    }

    /// `kubectl argo rollouts promote`.
    pub fn promote(&mut self) {
        self.patch(|status| status.pause_conditions.clear());
    }

    /// The spec was edited.
    pub fn edited(&mut self) {
        let generation = &mut self.observed.rollout.metadata.generation;
        *generation = Some(generation.unwrap_or(0) + 1);
    }

    /// A pod that does not carry what its ReplicaSet gives, although nothing is left to be brought up to date.
    pub fn stranger(&self) -> Option<String> {
        let sets = self.observed.replica_sets.iter();
        let at_rest = sets.filter(|set| !pods::is_behind(set));
        let mut found = at_rest.flat_map(|set| {
            let name = set.metadata.name.as_deref().unwrap_or_default();
            let wanted = set.spec.template.labels();
            let pods = pods::of_set(&self.pods, name).into_iter();
            pods.filter(move |pod| pod.metadata.labels.clone().unwrap_or_default() != wanted)
        });
        found.next().map(|pod| format!("{:?}", pod.metadata))
    }

    /// Ends every run that is under way.
    pub fn finish_runs(&mut self, phase: AnalysisPhase) {
        let sides = self.sides.values_mut().flat_map(|side| &mut side.runs);
        for run in self.observed.analysis_runs.iter_mut().chain(sides) {
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
