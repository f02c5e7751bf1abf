//! Experiments. In: one, and the templates beside it. Out: what is wrong with it, as the agent finds it, and with the
//! analyses it names. It must not ask a cluster.

use agent_api::Experiment;
use agent_api::analysis::TemplateRef;
use agent_api::validate_experiment::validate_experiment;

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
    let analyses = experiment.spec.analyses.into_iter();
    let references: Vec<TemplateRef> = analyses
        .map(|one| TemplateRef {
            template_name: one.template_name,
            cluster_scope: one.cluster_scope,
            ..TemplateRef::default()
        })
        .collect();
    findings.extend(set.missing(manifest, "spec.analyses", &references));
    findings
}
