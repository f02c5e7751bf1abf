//! What is wrong with the Rollout that would run.
//!
//! In: what is observed, what runs. Out: a sentence, or nothing. It must not decide what follows from it.

use agent_api::validate::{Routers, content_problems, sentence, validate_with};
use agent_api::{CanaryStrategy, Rollout, StepKind, validate::Problem};

use crate::analysis::template::{check_background, check_step};
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
    let canary = effective.strategy.canary.as_ref();
    if let Some(analysis) = canary.and_then(CanaryStrategy::background)
        && problems.is_empty()
        && let Err(error) = check_background(analysis, &effective.templates, &rollout)
    {
        problems.push(Problem {
            path: "spec.strategy.canary.analysis".to_owned(),
            message: error.to_string(),
        });
    }
    if problems.is_empty() {
        problems = around_the_switch(effective, &rollout);
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

/// Problems of the analyses before and after the switch.
fn around_the_switch(effective: &Effective, rollout: &Rollout) -> Vec<Problem> {
    let Some(blue_green) = &effective.strategy.blue_green else {
        return Vec::new();
    };
    let analyses = [
        ("prePromotionAnalysis", &blue_green.pre_promotion_analysis),
        ("postPromotionAnalysis", &blue_green.post_promotion_analysis),
    ];
    let wrong = analyses.into_iter().filter_map(|(field, analysis)| {
        let error = check_step(analysis.as_ref()?, &effective.templates, rollout).err()?;
        Some(Problem {
            path: format!("spec.strategy.blueGreen.{field}"),
            message: error.to_string(),
        })
    });
    wrong.collect()
}
