//! What history keeps: old ReplicaSets, and runs that are over.
//!
//! In: all ReplicaSets and runs. Out: delete actions. It must not touch anything that runs or that a rollback may need
//! (kept templates are the gate's business).

use agent_api::names::LABEL_POD_HASH;
use agent_api::{AnalysisPhase, AnalysisRun, ObjectMeta};

use super::Pass;
use crate::experiment;
use crate::plan::Action;

/// Old ReplicaSets kept when the Rollout does not say.
const DEFAULT_REVISIONS: i32 = 10;
/// Finished runs of each sort kept when the Rollout does not say.
const DEFAULT_RUNS: i32 = 5;

impl Pass<'_> {
    /// Deletes what is beyond the limits, oldest first.
    pub fn trim_history(&mut self) {
        let limit = self
            .observed
            .rollout
            .spec
            .revision_history_limit
            .unwrap_or(DEFAULT_REVISIONS)
            .max(0);
        let empty: Vec<_> = self
            .older
            .iter()
            .filter(|set| set.desired == 0 && set.current == 0 && set.available == 0)
            .cloned()
            .collect();
        let surplus = empty
            .len()
            .saturating_sub(usize::try_from(limit).unwrap_or(0));
        let gone: Vec<_> = empty.into_iter().take(surplus).collect();
        for set in &gone {
            self.writes.push(Action::DeleteReplicaSet {
                name: set.name.clone(),
            });
        }
        let hashes: Vec<String> = gone.iter().map(|set| set.hash.to_string()).collect();
        self.trim_runs(&hashes);
        self.trim_experiments(&hashes);
    }

    /// How many finished runs are kept: good ones, and others.
    fn run_limits(&self) -> (i32, i32) {
        let limits = self
            .observed
            .rollout
            .spec
            .analysis
            .clone()
            .unwrap_or_default();
        let good = limits
            .successful_run_history_limit
            .unwrap_or(DEFAULT_RUNS)
            .max(0);
        let bad = limits
            .unsuccessful_run_history_limit
            .unwrap_or(DEFAULT_RUNS)
            .max(0);
        (good, bad)
    }

    fn trim_runs(&mut self, gone: &[String]) {
        let all = self.observed.analysis_runs.iter();
        let over = all.filter(|run| phase(run).is_completed() && !self.is_current(run));
        let over = over.map(|run| (&run.metadata, phase(run))).collect();
        let names = surplus(over, self.run_limits(), gone);
        self.writes.extend(
            names
                .into_iter()
                .map(|name| Action::DeleteAnalysisRun { name }),
        );
    }

    /// Experiments that are over are kept like runs, with their pods gone.
    fn trim_experiments(&mut self, gone: &[String]) {
        let all = self.observed.experiments.iter();
        let over = all.filter(|one| {
            experiment::phase(one).is_completed() && !self.is_current_experiment(one)
        });
        let over = over
            .map(|one| (&one.metadata, experiment::phase(one)))
            .collect();
        let names = surplus(over, self.run_limits(), gone);
        self.writes.extend(
            names
                .into_iter()
                .map(|name| Action::DeleteExperiment { name }),
        );
    }
    /// The run that the status names, or a run of the version that is on its way: its name must not be made again.
    fn is_current(&self, run: &AnalysisRun) -> bool {
        let named = run.metadata.name.as_deref().map(|name| self.is_named(name));
        let hash = run
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(LABEL_POD_HASH));
        named == Some(true)
            || !self.at_stable() && hash.map(String::as_str) == Some(self.new.hash.as_str())
    }
}

/// Names of those that are beyond the limits, oldest first, and of those whose version is gone.
fn surplus(
    mut over: Vec<(&ObjectMeta, AnalysisPhase)>,
    (good, bad): (i32, i32),
    gone: &[String],
) -> Vec<String> {
    over.sort_by_key(|(metadata, _)| {
        let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
        (
            std::cmp::Reverse(created),
            std::cmp::Reverse(metadata.name.clone()),
        )
    });
    let mut seen = (0_i32, 0_i32);
    let mut names = Vec::new();
    for (metadata, phase) in over {
        let (count, limit) = match phase {
            AnalysisPhase::Successful => (&mut seen.0, good),
            AnalysisPhase::Running
            | AnalysisPhase::Pending
            | AnalysisPhase::Inconclusive
            | AnalysisPhase::Error
            | AnalysisPhase::Failed => (&mut seen.1, bad),
        };
        *count = count.saturating_add(1);
        let labels = metadata.labels.as_ref();
        let hash = labels.and_then(|labels| labels.get(LABEL_POD_HASH));
        if *count > limit || hash.is_some_and(|hash| gone.contains(hash)) {
            names.extend(metadata.name.clone());
        }
    }
    names.reverse();
    names
}

fn phase(run: &AnalysisRun) -> AnalysisPhase {
    run.status
        .as_ref()
        .and_then(|status| status.phase)
        .unwrap_or(AnalysisPhase::Pending)
}
