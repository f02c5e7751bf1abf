//! What is wrong with a Rollout, judged from itself alone.
//!
//! In: a Rollout as written. Out: problems with their paths; none means that the engine can act on it. Must not touch:
//! other objects (services, templates), which are judged where they are observed.

use std::fmt;

use crate::rollout::{Rollout, RolloutSpec, RolloutStrategy};
use crate::validate_pods::pod_problems;
use crate::validate_steps::canary_problems;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where, such as `spec.strategy.canary.steps[1].setWeight`.
    pub path: String,
    /// What, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Problems found so far, under a path.
pub(crate) struct Findings {
    found: Vec<Problem>,
}

impl Findings {
    pub(crate) fn new() -> Self {
        Self { found: Vec::new() }
    }

    pub(crate) fn add(&mut self, path: &str, message: impl Into<String>) {
        self.found.push(Problem {
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// Adds a problem for a part of the API that is not carried out yet.
    pub(crate) fn unsupported(&mut self, path: &str, what: &str) {
        self.add(
            path,
            format!("{what} is not supported by this version; leave it out or keep the rollout on another controller"),
        );
    }

    pub(crate) fn at_least(&mut self, path: &str, value: Option<i32>, least: i32) {
        if let Some(value) = value.filter(|value| *value < least) {
            self.add(path, format!("is {value}: must be at least {least}"));
        }
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.found
    }
}

/// Everything that is wrong with a Rollout, in the order of its fields.
pub fn validate(rollout: &Rollout) -> Vec<Problem> {
    let mut findings = Findings::new();
    let spec = &rollout.spec;
    numbers(spec, &mut findings);
    template(spec, &mut findings);
    strategy(&spec.strategy, &mut findings);
    pod_problems(spec, &mut findings);
    findings.into_problems()
}

/// The sentence for conditions and messages.
pub fn sentence(rollout: &str, problems: &[Problem]) -> String {
    let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
    format!("The Rollout \"{rollout}\" is invalid: {}", all.join("; "))
}

fn numbers(spec: &RolloutSpec, findings: &mut Findings) {
    findings.at_least("spec.replicas", spec.replicas, 0);
    findings.at_least("spec.minReadySeconds", spec.min_ready_seconds, 0);
    findings.at_least("spec.revisionHistoryLimit", spec.revision_history_limit, 0);
    let (deadline, ready) = (spec.progress_deadline_seconds(), spec.min_ready_seconds());
    if deadline <= ready {
        findings.add(
            "spec.progressDeadlineSeconds",
            format!("is {deadline}: must be greater than minReadySeconds, which is {ready}"),
        );
    }
}

fn template(spec: &RolloutSpec, findings: &mut Findings) {
    if spec.workload_ref.is_some() {
        findings.unsupported("spec.workloadRef", "workloadRef");
        return;
    }
    let selector = &spec.selector;
    if selector.is_empty() {
        findings.add(
            "spec.selector",
            "is missing: give it matchLabels that the template's labels meet",
        );
    }
    let Some(template) = spec
        .template
        .as_ref()
        .filter(|template| !template.is_empty())
    else {
        findings.add("spec.template", "is missing: describe the pods");
        return;
    };
    if !selector.is_empty() && !selector.matches(&template.labels()) {
        let query = selector.to_query();
        findings.add(
            "spec.template.metadata.labels",
            format!("are not met by the selector {query}: give the template these labels"),
        );
    }
    if !template.has_containers() {
        findings.add(
            "spec.template.spec.containers",
            "is missing: name at least one container",
        );
    }
    if let Some(policy) = template
        .restart_policy()
        .filter(|policy| *policy != "Always")
    {
        findings.add(
            "spec.template.spec.restartPolicy",
            format!("is {policy:?}: only \"Always\" can be kept running"),
        );
    }
}

fn strategy(strategy: &RolloutStrategy, findings: &mut Findings) {
    match (&strategy.canary, &strategy.blue_green) {
        (None, None) => findings.add("spec.strategy", "is missing: write canary with its steps"),
        (Some(_), Some(_)) => findings.add(
            "spec.strategy",
            "has both canary and blueGreen: write one of them",
        ),
        (None, Some(_)) => {
            findings.unsupported("spec.strategy.blueGreen", "the blueGreen strategy")
        }
        (Some(canary), None) => canary_problems(canary, findings),
    }
}

#[cfg(test)]
mod tests;
