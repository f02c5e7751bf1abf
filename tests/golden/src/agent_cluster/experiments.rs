//! The Experiments of a model cluster, by their own engine, with the pods and runs that it asks for.
//!
//! In: a cluster, the plan for its Rollout as it stands. Out: one pass over each Experiment, checked. It must not touch the
//! Rollout.

use agent_api::{AnalysisRun, ObjectMeta, PodTemplate, ReplicaSet, ReplicaSetStatus, Service};
use agent_engine::Plan;
use agent_engine::canary::experiment::leave;
use agent_engine::experiment::leave::has_begun;
use agent_engine::experiment::{Action, Leave, Observed, Reason, audit, reconcile};
use agent_engine::pass::ended::ANNOTATION_NOT_NEEDED;
use jiff::Timestamp;

use super::Cluster;
use crate::agent_fixture::{VERSIONS, digest, template};

/// What one Experiment has.
#[derive(Debug, Clone, Default)]
pub(super) struct Side {
    sets: Vec<ReplicaSet>,
    pub(super) runs: Vec<AnalysisRun>,
    services: Vec<Service>,
}

/// What passes over all of them came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Passed {
    /// Writes.
    pub writes: usize,
    /// When the first of them wants to be looked at again. One that waits for its Rollout brings nothing by itself.
    pub wake: Option<Timestamp>,
}

impl Cluster {
    /// One pass over every Experiment.
    pub fn experiments(&mut self, rollout: &Plan) -> Result<Passed, String> {
        let all = self.observed.experiments.iter();
        let names: Vec<String> = all.filter_map(|one| one.metadata.name.clone()).collect();
        self.sides.retain(|name, _| names.contains(name));
        let mut passed = Passed::default();
        for name in names {
            let observed = self.beside(&name, rollout)?;
            let plan = reconcile(&observed);
            if let Some(first) = audit(&observed, &plan).first() {
                return Err(format!("{}: {}\n{plan}", first.rule, first.detail));
            }
            self.begins_in_time(&observed, &plan.actions)?;
            let waits = |reason: &Reason| matches!(reason, Reason::WaitsForLeave { .. });
            if let (Some(wake), false) = (plan.wake, plan.reasons.iter().any(waits)) {
                passed.wake = Some(passed.wake.map_or(wake, |first| first.min(wake)));
            }
            for action in &plan.actions {
                passed.writes += usize::from(self.act(&name, action));
            }
            let mut all = self.observed.experiments.iter_mut();
            let one = all.find(|one| one.metadata.name.as_ref() == Some(&name));
            if let Some(one) = one.filter(|one| one.status.as_ref() != Some(&plan.status)) {
                one.status = Some(plan.status);
                passed.writes += 1;
            }
        }
        Ok(passed)
    }

    fn beside(&self, name: &str, rollout: &Plan) -> Result<Observed, String> {
        let mut all = self.observed.experiments.iter();
        let one = all.find(|one| one.metadata.name.as_deref() == Some(name));
        let one = one.ok_or_else(|| format!("no experiment {name}"))?;
        let side = self.sides.get(name).cloned().unwrap_or_default();
        let leave = if has_begun(one) {
            Leave::Given
        } else {
            leave(rollout, name)
        };
        Ok(Observed {
            replica_sets: side.sets,
            analysis_runs: side.runs,
            services: side.services,
            templates: self.observed.templates.clone(),
            leave,
            ..Observed::alone(one.clone(), self.observed.now)
        })
    }

    /// Pods of a version that was taken back, or that somebody has paused, do not begin to come up.
    fn begins_in_time(&self, observed: &Observed, actions: &[Action]) -> Result<(), String> {
        let makes = actions.iter().any(|action| match action {
            Action::CreateReplicaSet { .. } => true,
            Action::ScaleReplicaSet { to, .. } => *to > 0,
            Action::CreateService { .. }
            | Action::DeleteService { .. }
            | Action::CreateAnalysisRun { .. }
            | Action::TerminateAnalysisRun { .. }
            | Action::Event(_) => false,
        });
        let stopped =
            self.status().abort == Some(true) || self.observed.rollout.spec.paused == Some(true);
        if makes && stopped && !has_begun(&observed.experiment) {
            return Err("an-experiment-begins-in-time: its Rollout does not go on".to_owned());
        }
        Ok(())
    }

    /// Returns whether it was a write.
    fn act(&mut self, name: &str, action: &Action) -> bool {
        let side = self.sides.entry(name.to_owned()).or_default();
        match action {
            Action::CreateReplicaSet { replica_set, .. } => side.sets.push((**replica_set).clone()),
            Action::ScaleReplicaSet { name, to, .. } => {
                for set in &mut side.sets {
                    if set.metadata.name.as_ref() == Some(name) {
                        set.spec.replicas = Some(*to);
                    }
                }
            }
            Action::CreateService { service } => side.services.push((**service).clone()),
            Action::DeleteService { name } => {
                let all = &mut side.services;
                all.retain(|one| one.metadata.name.as_ref() != Some(name));
            }
            Action::CreateAnalysisRun { run } => side.runs.push((**run).clone()),
            Action::TerminateAnalysisRun { name } => {
                for run in &mut side.runs {
                    if run.metadata.name.as_ref() == Some(name) {
                        run.spec.terminate = Some(true);
                    }
                }
            }
            Action::Event(_) => return false,
        }
        true
    }

    /// Their pods become available, those of broken versions never do.
    pub(super) fn tick_experiments(&mut self) {
        let broken = VERSIONS.into_iter();
        let broken = broken.filter(|version| self.broken.contains(&digest(version).to_string()));
        let images: Vec<String> = broken.map(|version| format!("demo:{version}")).collect();
        for set in self.sides.values_mut().flat_map(|side| &mut side.sets) {
            let count = set.desired();
            let mut shown = set.spec.template.images().into_iter();
            let broken = shown.any(|image| images.contains(&image));
            let available = if broken { 0 } else { count };
            set.status = Some(ReplicaSetStatus {
                replicas: count,
                ready_replicas: Some(available),
                available_replicas: Some(available),
                ..ReplicaSetStatus::default()
            });
        }
    }
}

/// The template of a ReplicaSet's version as a spec has it.
pub(super) fn written(set: &ReplicaSet) -> Option<PodTemplate> {
    let images = set.spec.template.images();
    let version = images.first()?.strip_prefix("demo:")?.to_owned();
    Some(template(&version))
}

/// An end that the plan asked for.
pub(super) fn mark(metadata: &mut ObjectMeta) {
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_NOT_NEEDED.to_owned(), "true".to_owned());
}
