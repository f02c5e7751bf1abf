//! What is wrong with a canary strategy and its steps.
//!
//! In: the strategy as written. Out: problems with their paths. Must not touch: the templates that steps name.

use crate::duration;
use crate::intstr::IntOrString;
use crate::strategy::{
    CanaryStep, CanaryStrategy, PauseStep, ReplicaProgressThreshold, StepAnalysis, StepKind,
};
use crate::validate::{Findings, Routers};
use crate::validate_analysis::argument_problems;
use crate::validate_experiment::experiment_step_problems;
use crate::validate_traffic::{
    header_problems, mirror_problems, routing_problems, scale_problems, weight_problems,
};

const CANARY: &str = "spec.strategy.canary";
/// The whole of the pods, in percent.
pub(crate) const MAX_PERCENT: i32 = 100;

/// Everything that is wrong with a canary strategy.
pub(crate) fn canary_problems(canary: &CanaryStrategy, routers: Routers, findings: &mut Findings) {
    let at = |field: &str| format!("{CANARY}.{field}");
    routing_problems(canary, routers, findings);
    if let Some(analysis) = canary.background() {
        background_problems(&at("analysis"), analysis, canary, findings);
    }
    let written = [("pingPong", canary.ping_pong.is_some())];
    for (field, _) in written.into_iter().filter(|(_, written)| *written) {
        findings.unsupported(&at(field), field);
    }
    if let Some(threshold) = &canary.replica_progress_threshold {
        threshold_problems(&at("replicaProgressThreshold"), threshold, findings);
    }
    fenceposts(canary, findings);
    for (index, step) in canary.steps.iter().enumerate() {
        step_problems(&at(&format!("steps[{index}]")), step, canary, findings);
    }
}

fn background_problems(
    path: &str,
    analysis: &StepAnalysis,
    canary: &CanaryStrategy,
    findings: &mut Findings,
) {
    analysis_problems(path, analysis, findings);
    let path = format!("{path}.startingStep");
    findings.at_least(&path, analysis.starting_step, 0);
    let last = i32::try_from(canary.steps.len())
        .unwrap_or(i32::MAX)
        .saturating_sub(1);
    if let Some(step) = analysis.starting_step.filter(|step| *step > last.max(0)) {
        findings.add(
            &path,
            format!("is {step}: the last step is {last}, counted from 0"),
        );
    }
}

fn threshold_problems(path: &str, written: &ReplicaProgressThreshold, findings: &mut Findings) {
    let most = match written.r#type.as_deref().unwrap_or_default() {
        "Percent" => MAX_PERCENT,
        "Pods" => i32::MAX,
        other => {
            findings.add(
                &format!("{path}.type"),
                format!("is {other:?}: must be Percent or Pods"),
            );
            return;
        }
    };
    let value = written.value.unwrap_or(0);
    if !(1..=most).contains(&value) {
        findings.add(
            &format!("{path}.value"),
            format!("is {value}: must be at least 1, and at most {MAX_PERCENT} of Percent"),
        );
    }
}

fn fenceposts(canary: &CanaryStrategy, findings: &mut Findings) {
    let surge_path = format!("{CANARY}.maxSurge");
    let unavailable_path = format!("{CANARY}.maxUnavailable");
    let surge = amount(&surge_path, canary.max_surge.as_ref(), findings);
    let unavailable = amount(&unavailable_path, canary.max_unavailable.as_ref(), findings);
    if let Some(percent) = canary
        .max_unavailable
        .as_ref()
        .and_then(IntOrString::as_percent)
        && percent > MAX_PERCENT
    {
        findings.add(
            &unavailable_path,
            format!("is {percent}%: must not be above {MAX_PERCENT}%"),
        );
    }
    if surge == Some(0) && unavailable == Some(0) {
        findings.add(
            &unavailable_path,
            "is 0 and so is maxSurge: nothing could ever move, raise one of them",
        );
    }
}

/// The number written (percentages out of 100), if it is one; nothing when the field is not written.
pub(crate) fn amount(
    path: &str,
    written: Option<&IntOrString>,
    findings: &mut Findings,
) -> Option<i32> {
    match written?.resolve_up(MAX_PERCENT) {
        Ok(number) => Some(number),
        Err(error) => {
            findings.add(path, error.to_string());
            None
        }
    }
}

fn step_problems(path: &str, step: &CanaryStep, canary: &CanaryStrategy, findings: &mut Findings) {
    match step.kind() {
        StepKind::SetWeight(weight) => weight_problems(path, weight, canary, findings),
        StepKind::CanaryScale(scale) => scale_problems(path, scale, canary, findings),
        StepKind::HeaderRoute(route) => header_problems(path, route, canary, findings),
        StepKind::MirrorRoute(route) => mirror_problems(path, route, canary, findings),
        StepKind::Pause(pause) => pause_problems(path, pause, findings),
        StepKind::Experiment(experiment) => {
            experiment_step_problems(&format!("{path}.experiment"), experiment, canary, findings)
        }
        StepKind::Analysis(analysis) => {
            analysis_problems(&format!("{path}.analysis"), analysis, findings)
        }
        StepKind::Unsupported(key) => {
            findings.unsupported(&format!("{path}.{key}"), &format!("the step {key}"))
        }
        StepKind::Invalid(reason) => findings.add(path, reason),
    }
}

fn pause_problems(path: &str, pause: &PauseStep, findings: &mut Findings) {
    let Some(written) = &pause.duration else {
        return;
    };
    let path = format!("{path}.pause.duration");
    match duration::from_int_or_string(written) {
        Ok(span) if span.is_negative() => {
            findings.add(&path, format!("is {written}: must not be negative"))
        }
        Ok(_) => {}
        Err(error) => findings.add(&path, error.to_string()),
    }
}

pub(crate) fn analysis_problems(path: &str, analysis: &StepAnalysis, findings: &mut Findings) {
    if analysis.templates.is_empty() {
        findings.add(
            &format!("{path}.templates"),
            "is missing: name at least one AnalysisTemplate",
        );
    }
    for (index, template) in analysis.templates.iter().enumerate() {
        if template.template_name.is_empty() {
            findings.add(
                &format!("{path}.templates[{index}].templateName"),
                "is missing: name an AnalysisTemplate",
            );
        }
    }
    argument_problems(path, &analysis.args, findings);
}
