//! Rollouts. In: one, and the templates beside it. Out: what is wrong with it and with the analyses it names. It must not ask
//! a cluster: services and routes are judged where they are observed.

use std::collections::BTreeSet;

use agent_api::validate::{Routers, validate_with};
use agent_api::{Rollout, StepAnalysis};
use agent_engine::analysis::template::{check_background, check_step};

use super::config;
use super::experiment::references;
use super::set::{Set, reached};
use super::{Finding, decode};
use crate::manifest::Manifest;

/// Everything that is wrong with it.
pub fn check(set: &Set<'_>, manifest: &Manifest) -> Vec<Finding> {
    let rollout: Rollout = match decode(manifest) {
        Ok(rollout) => rollout,
        Err(finding) => return vec![finding],
    };
    let problems = validate_with(&rollout, Routers::Observed);
    let mut findings: Vec<Finding> = problems
        .into_iter()
        .map(|problem| Finding::error(&problem.path, problem.message))
        .collect();
    if manifest.name.is_empty() {
        findings.push(Finding::error("metadata.name", "is missing: name it"));
    }
    for (path, analysis, ends) in analyses(&rollout) {
        findings.extend(analysis_of(set, manifest, &rollout, &path, analysis, ends));
    }
    let canary = rollout.spec.strategy.canary.iter();
    for (index, step) in canary.flat_map(|canary| &canary.steps).enumerate() {
        if let Some(experiment) = &step.experiment {
            let path = format!("spec.strategy.canary.steps[{index}].experiment.analyses");
            let named = references(&experiment.analyses);
            findings.extend(set.missing(manifest, &path, &named));
        }
    }
    findings.extend(config::check(set, manifest, &rollout));
    findings
}

/// Every analysis with its path, and whether a step waits for its end.
fn analyses(rollout: &Rollout) -> Vec<(String, &StepAnalysis, bool)> {
    let mut found = Vec::new();
    if let Some(canary) = &rollout.spec.strategy.canary {
        let path = "spec.strategy.canary";
        for (index, step) in canary.steps.iter().enumerate() {
            if let Some(analysis) = &step.analysis {
                found.push((format!("{path}.steps[{index}].analysis"), analysis, true));
            }
        }
        if let Some(analysis) = &canary.analysis {
            found.push((format!("{path}.analysis"), analysis, false));
        }
    }
    if let Some(blue_green) = &rollout.spec.strategy.blue_green {
        for (field, analysis) in [
            ("prePromotionAnalysis", &blue_green.pre_promotion_analysis),
            ("postPromotionAnalysis", &blue_green.post_promotion_analysis),
        ] {
            if let Some(analysis) = analysis {
                found.push((format!("spec.strategy.blueGreen.{field}"), analysis, true));
            }
        }
    }
    found
}

fn analysis_of(
    set: &Set<'_>,
    manifest: &Manifest,
    rollout: &Rollout,
    path: &str,
    analysis: &StepAnalysis,
    ends: bool,
) -> Vec<Finding> {
    let list = format!("{path}.templates");
    if analysis.templates.is_empty() {
        // The Rollout's own check says so.
        return Vec::new();
    }
    let mut findings = set.missing(manifest, &list, &analysis.templates);
    let templates = set.templates(manifest.namespace.as_deref());
    let together = reached(&analysis.templates, &templates);
    if findings.is_empty() {
        let checked = if ends {
            check_step(analysis, &templates, rollout)
        } else {
            check_background(analysis, &templates, rollout)
        };
        if let Err(error) = checked {
            findings.push(Finding::error(path, error.to_string()));
        }
        let declared: BTreeSet<&str> = together
            .values()
            .flat_map(|spec| &spec.args)
            .map(|argument| argument.name.as_str())
            .collect();
        for (index, given) in analysis.args.iter().enumerate() {
            if !declared.contains(given.name.as_str()) {
                findings.push(Finding::warning(
                    &format!("{path}.args[{index}]"),
                    format!(
                        "argument {:?} is declared by none of the templates",
                        given.name
                    ),
                ));
            }
        }
    }
    findings
}
