//! The engine of one Experiment.
//!
//! In: `Observed`: the Experiment, what it owns, the templates of its analyses, the time. Out: `Plan`: what to make, scale
//! and end, the Experiment's status, when to look again. It must not judge measurements, and it does not know Rollouts.
//!
//! The order of the calls in [`reconcile`] is the algorithm: begin when the owner lets it, make the templates' pods, wait
//! until all are available, begin the analyses, end when there is nothing left to wait for, and scale down after a while.

mod analyses;
pub mod audit;
mod ending;
pub mod leave;
pub mod names;
mod pass;
pub mod plan;
mod service;
mod templates;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use agent_api::validate_experiment::{experiment_sentence, validate_experiment};
use agent_api::{AnalysisPhase, AnalysisRun, Experiment, ReplicaSet, Service};
use jiff::Timestamp;

pub use analyses::conditions;
pub(crate) use analyses::step_analysis;
pub use audit::audit;
pub use leave::Leave;
pub use plan::{Action, Plan, Reason};

use crate::analysis::conditions::BadConditions;
use crate::claims::Taken;
use crate::clock::ClockSet;
use crate::observed::Templates;
use pass::Pass;

/// Everything one decision is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The time of the decision.
    pub now: Timestamp,
    /// How far the wall clock was set since the times of `clock::of_experiment` were stored.
    pub clock_set: ClockSet,
    /// The Experiment as stored, with its status.
    pub experiment: Experiment,
    /// The ReplicaSets that it owns.
    pub replica_sets: Vec<ReplicaSet>,
    /// The AnalysisRuns that it owns.
    pub analysis_runs: Vec<AnalysisRun>,
    /// Those of its AnalysisRuns that cannot be read, by name, and why.
    pub unread_runs: BTreeMap<String, String>,
    /// The Services of the names that its templates ask for, whoever made them.
    pub services: Vec<Service>,
    /// The analysis templates that it names, nested ones too; one that is missing is absent.
    pub templates: Templates,
    /// Those of [`conditions`] that cannot be used.
    pub bad_conditions: BadConditions,
    /// Names that objects of others were found under not long ago.
    pub taken: Vec<Taken>,
    /// Whether the Rollout that made it lets it begin.
    pub leave: Leave,
    /// ReplicaSets that the API server refused to make not long ago, by template.
    pub refused: BTreeMap<String, Refused>,
}

/// A ReplicaSet that the API server refused to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The API server's words.
    pub message: String,
    /// They name a field of the object: the template is wrong. A quota or a policy may change its mind.
    pub invalid: bool,
    /// When it is worth trying again.
    pub until: Timestamp,
}

impl Observed {
    /// An Experiment of which nothing else is known.
    pub fn alone(experiment: Experiment, now: Timestamp) -> Self {
        Self {
            now,
            clock_set: ClockSet::default(),
            experiment,
            replica_sets: Vec::new(),
            analysis_runs: Vec::new(),
            unread_runs: BTreeMap::new(),
            services: Vec::new(),
            templates: Templates::new(),
            bad_conditions: BadConditions::new(),
            taken: Vec::new(),
            leave: Leave::Given,
            refused: BTreeMap::new(),
        }
    }
}

/// Decides what to do about one Experiment. Total and deterministic: the same input gives the same plan.
pub fn reconcile(observed: &Observed) -> Plan {
    let mut pass = Pass::new(observed);
    // One on its way out is the garbage collector's, with all that it owns.
    if observed.experiment.metadata.deletion_timestamp.is_some() {
        return pass.into_plan();
    }
    if let Some(phase) = pass.over() {
        pass.rest(phase);
        return pass.into_plan();
    }
    if let Some(message) = problem(observed) {
        pass.invalid(message);
        return pass.into_plan();
    }
    pass.begin();
    if !pass.waits_for_leave() {
        pass.settle_templates();
        pass.settle_available();
        pass.settle_analyses();
    }
    pass.settle_end();
    pass.settle_conditions();
    pass.into_plan()
}

/// What is wrong with it, in a sentence. The analyses' templates are looked at until the pods are there: then the runs are
/// made, and what they measure is theirs.
fn problem(observed: &Observed) -> Option<String> {
    let experiment = &observed.experiment;
    let mut problems = validate_experiment(experiment);
    if problems.is_empty() && !analyses::is_available(observed) {
        problems = analyses::problems(observed);
    }
    let name = experiment.metadata.name.as_deref().unwrap_or_default();
    (!problems.is_empty()).then(|| experiment_sentence(name, &problems))
}

/// The phase of an Experiment, Pending when none is written.
pub fn phase(experiment: &Experiment) -> AnalysisPhase {
    experiment
        .status
        .as_ref()
        .and_then(|status| status.phase)
        .unwrap_or(AnalysisPhase::Pending)
}
