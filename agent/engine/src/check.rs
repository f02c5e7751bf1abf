//! What is wrong with the Rollout that would run.
//!
//! In: what is observed, what runs. Out: a sentence, or nothing. It must not decide what follows from it.

use agent_api::validate::{Routers, content_problems, sentence, validate_with};
use agent_api::validate_analysis::Ending;
use agent_api::{Rollout, validate::Problem};

use crate::analysis::conditions::{self, Used};
use crate::analysis::template::{check_background, check_step};
use crate::canary::experiment;
use crate::effective::Effective;
use crate::observed::Observed;
use crate::services;

/// The message of the InvalidSpec condition, if there has to be one.
pub fn problem(observed: &Observed, effective: &Effective) -> Option<String> {
    let mut rollout = observed.rollout.clone();
    let from_workload = rollout.spec.workload_ref.is_some();
    // Kept content whose template is lost is served by the ReplicaSet that is there; the spec's own stands in for it.
    if effective.template.is_some() && !from_workload {
        rollout.spec.template.clone_from(&effective.template);
    }
    rollout.spec.strategy = effective.strategy.clone();
    let routers = match observed.traffic {
        Some(_) => Routers::Observed,
        None => Routers::NotBuilt,
    };
    let mut problems = validate_with(&rollout, routers);
    if let (true, Some(template)) = (from_workload, &effective.template) {
        problems.extend(content_problems(
            &rollout.spec,
            observed.selector(),
            template,
        ));
    }
    if problems.is_empty() {
        problems = analyses_problems(observed, effective, &rollout);
    }
    if problems.is_empty() {
        problems = experiment_problems(observed, effective, &rollout);
    }
    if problems.is_empty() {
        let template = effective.template.as_ref();
        let template = template.or(rollout.spec.template.as_ref());
        // A lost template of a workload says nothing about labels.
        if let Some(template) = template {
            problems = services::problems(observed, &rollout, template);
        }
    }
    let name = rollout.metadata.name.as_deref().unwrap_or_default();
    (!problems.is_empty()).then(|| sentence(name, &problems))
}

/// Problems of the strategy's analyses, each under its path.
fn analyses_problems(
    observed: &Observed,
    effective: &Effective,
    rollout: &Rollout,
) -> Vec<Problem> {
    let templates = &effective.templates;
    let wrong = |used: &Used<'_>| {
        let checked = match used.ending {
            Ending::MustEnd => check_step(used.analysis, templates, rollout),
            Ending::MayRunOn => check_background(used.analysis, templates, rollout),
        };
        match checked {
            Err(error) => Some(error.to_string()),
            Ok(()) => {
                conditions::problem(used.analysis, templates, rollout, &observed.bad_conditions)
            }
        }
    };
    let mut problems = Vec::new();
    for used in conditions::analyses(&effective.strategy) {
        if let Some(message) = wrong(&used) {
            let path = used.path;
            problems.push(Problem { path, message });
        }
    }
    problems
}

/// Problems of the analyses of steps that make an Experiment.
fn experiment_problems(
    observed: &Observed,
    effective: &Effective,
    rollout: &Rollout,
) -> Vec<Problem> {
    let canary = effective.strategy.canary.as_ref();
    let steps = canary.map_or(&[][..], |canary| &canary.steps);
    let mut problems = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let Some(step) = &step.experiment else {
            continue;
        };
        let bad = &observed.bad_conditions;
        for (analysis, message) in experiment::problems(step, effective, rollout, bad) {
            let path =
                format!("spec.strategy.canary.steps[{index}].experiment.analyses[{analysis}]");
            problems.push(Problem { path, message });
        }
    }
    problems
}
