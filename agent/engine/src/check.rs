//! What is wrong with the Rollout that would run.
//!
//! In: what is observed, what runs. Out: a sentence, or nothing. It must not decide what follows from it.

use agent_api::validate::{content_problems, sentence, validate};
use agent_api::{StepKind, validate::Problem};

use crate::analysis::template::check_step;
use crate::effective::Effective;
use crate::observed::Observed;

/// The message of the InvalidSpec condition, if there has to be one.
pub fn problem(observed: &Observed, effective: &Effective) -> Option<String> {
    let mut rollout = observed.rollout.clone();
    let from_workload = rollout.spec.workload_ref.is_some();
    // Kept content whose template is lost is served by the ReplicaSet that is there; the spec's own stands in for it.
    if effective.template.is_some() && !from_workload {
        rollout.spec.template.clone_from(&effective.template);
    }
    rollout.spec.strategy = effective.strategy.clone();
    let mut problems = validate(&rollout);
    if let (true, Some(template)) = (from_workload, &effective.template) {
        problems.extend(content_problems(observed.selector(), template));
    }
    if problems.is_empty() {
        let steps = effective
            .strategy
            .canary
            .as_ref()
            .map_or(&[][..], |canary| &canary.steps);
        for (index, step) in steps.iter().enumerate() {
            if let StepKind::Analysis(analysis) = step.kind()
                && let Err(error) = check_step(analysis, &effective.templates, &rollout)
            {
                let path = format!("spec.strategy.canary.steps[{index}].analysis");
                problems.push(Problem {
                    path,
                    message: error.to_string(),
                });
            }
        }
    }
    let name = rollout.metadata.name.as_deref().unwrap_or_default();
    (!problems.is_empty()).then(|| sentence(name, &problems))
}
