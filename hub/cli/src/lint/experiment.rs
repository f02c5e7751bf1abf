//! Experiments. In: one, and the templates beside it. Out: what is wrong with it, as the agent finds it, and with the
//! analyses it names. It must not ask a cluster.

use agent_api::analysis::TemplateRef;
use agent_api::validate_experiment::validate_experiment;
use agent_api::{Experiment, ExperimentAnalysis};

use super::set::Set;
use super::{Finding, decode};
use crate::manifest::Manifest;

/// Everything that is wrong with it.
pub fn check(set: &Set<'_>, manifest: &Manifest) -> Vec<Finding> {
    let experiment: Experiment = match decode(manifest) {
        Ok(experiment) => experiment,
        Err(finding) => return vec![finding],
    };
    let mut findings: Vec<Finding> = validate_experiment(&experiment)
        .into_iter()
        .map(|problem| Finding::error(&problem.path, problem.message))
        .collect();
    let named = references(&experiment.spec.analyses);
    findings.extend(set.missing(manifest, "spec.analyses", &named));
    findings
}

/// The templates that analyses name, in their order.
pub fn references(analyses: &[ExperimentAnalysis]) -> Vec<TemplateRef> {
    let one = |analysis: &ExperimentAnalysis| TemplateRef {
        template_name: analysis.template_name.clone(),
        cluster_scope: analysis.cluster_scope,
        ..TemplateRef::default()
    };
    analyses.iter().map(one).collect()
}
