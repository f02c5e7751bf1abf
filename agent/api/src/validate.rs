//! What is wrong with a Rollout, judged from itself alone.
//!
//! In: a Rollout as written. Out: problems with their paths; none means that the engine can act on it. Must not touch:
//! other objects (services, templates), which are judged where they are observed.

use std::fmt;

use crate::pod_template::PodTemplate;
use crate::rollout::{Rollout, RolloutSpec, RolloutStrategy, WorkloadRef};
use crate::selector::LabelSelector;
use crate::validate_blue_green::blue_green_problems;
use crate::validate_pods::{pod_problems, role_problems};
use crate::validate_steps::canary_problems;
use crate::workload::ScaleDown;

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

/// Whether there is somebody who routes traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routers {
    /// No router is built: traffic routing is not supported.
    NotBuilt,
    /// What the strategy's routers show is observed.
    Observed,
}

/// Everything that is wrong with a Rollout where there are no routers, in the order of its fields.
pub fn validate(rollout: &Rollout) -> Vec<Problem> {
    validate_with(rollout, Routers::NotBuilt)
}

/// Everything that is wrong with a Rollout, in the order of its fields.
pub fn validate_with(rollout: &Rollout, routers: Routers) -> Vec<Problem> {
    let mut findings = Findings::new();
    let spec = &rollout.spec;
    numbers(spec, &mut findings);
    template(spec, &mut findings);
    strategy(&spec.strategy, routers, &mut findings);
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
    let window = spec.rollback_window.as_ref();
    let revisions = window.and_then(|window| window.revisions);
    findings.at_least("spec.rollbackWindow.revisions", revisions, 0);
    let (deadline, ready) = (spec.progress_deadline_seconds(), spec.min_ready_seconds());
    if deadline <= ready {
        findings.add(
            "spec.progressDeadlineSeconds",
            format!("is {deadline}: must be greater than minReadySeconds, which is {ready}"),
        );
    }
}

fn template(spec: &RolloutSpec, findings: &mut Findings) {
    match &spec.workload_ref {
        Some(reference) => workload_ref(spec, reference, findings),
        None => content(
            "spec.template",
            &spec.selector,
            spec.template.as_ref(),
            findings,
        ),
    }
}

/// What is wrong with the reference to a workload, and nothing else.
pub fn workload_problems(spec: &RolloutSpec) -> Vec<Problem> {
    let mut findings = Findings::new();
    if let Some(reference) = &spec.workload_ref {
        workload_ref(spec, reference, &mut findings);
    }
    findings.into_problems()
}

fn workload_ref(spec: &RolloutSpec, reference: &WorkloadRef, findings: &mut Findings) {
    if spec.template.as_ref().is_some_and(|one| !one.is_empty()) {
        findings.add(
            "spec.template",
            "is written beside workloadRef: leave it out, the workload's template is used",
        );
    }
    if reference.workload_kind().is_none() {
        let version = reference.api_version.as_deref().unwrap_or_default();
        let kind = reference.kind.as_deref().unwrap_or_default();
        findings.add(
            "spec.workloadRef.kind",
            format!("is {kind:?} of {version:?}: must be Deployment or ReplicaSet of apps/v1, or PodTemplate of v1"),
        );
    }
    if reference.name.as_deref().unwrap_or_default().is_empty() {
        findings.add("spec.workloadRef.name", "is missing: name the workload");
    }
    if ScaleDown::of(reference.scale_down.as_deref()).is_none() {
        let written = reference.scale_down.as_deref().unwrap_or_default();
        findings.add(
            "spec.workloadRef.scaleDown",
            format!("is {written:?}: must be never, onsuccess or progressively"),
        );
    }
}

/// What is wrong with a template that came from a workload, and with the spec beside its selector.
pub fn content_problems(
    spec: &RolloutSpec,
    selector: &LabelSelector,
    template: &PodTemplate,
) -> Vec<Problem> {
    let mut findings = Findings::new();
    // A selector that is written was looked at with the rest of the spec.
    if spec.selector.is_empty() {
        role_problems(spec, selector, &mut findings);
    }
    content(
        "spec.workloadRef.template",
        selector,
        Some(template),
        &mut findings,
    );
    findings.into_problems()
}

fn content(
    path: &str,
    selector: &LabelSelector,
    template: Option<&PodTemplate>,
    findings: &mut Findings,
) {
    if selector.is_empty() {
        findings.add(
            "spec.selector",
            "is missing: give it matchLabels that the template's labels meet",
        );
    }
    let Some(template) = template.filter(|template| !template.is_empty()) else {
        findings.add(path, "is missing: describe the pods");
        return;
    };
    if !selector.is_empty() && !selector.matches(&template.labels()) {
        let query = selector.to_query();
        findings.add(
            &format!("{path}.metadata.labels"),
            format!("are not met by the selector {query}: give the template these labels"),
        );
    }
    if !template.has_containers() {
        findings.add(
            &format!("{path}.spec.containers"),
            "is missing: name at least one container",
        );
    }
    if let Some(policy) = template
        .restart_policy()
        .filter(|policy| *policy != "Always")
    {
        findings.add(
            &format!("{path}.spec.restartPolicy"),
            format!("is {policy:?}: only \"Always\" can be kept running"),
        );
    }
}

fn strategy(strategy: &RolloutStrategy, routers: Routers, findings: &mut Findings) {
    match (&strategy.canary, &strategy.blue_green) {
        (None, None) => findings.add(
            "spec.strategy",
            "is missing: write canary with its steps, or blueGreen with its activeService",
        ),
        (Some(_), Some(_)) => findings.add(
            "spec.strategy",
            "has both canary and blueGreen: write one of them",
        ),
        (None, Some(blue_green)) => blue_green_problems(blue_green, findings),
        (Some(canary), None) => canary_problems(canary, routers, findings),
    }
}

#[cfg(test)]
mod tests;
