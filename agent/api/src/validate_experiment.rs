//! What is wrong with an Experiment, or with the step of a canary that makes one.
//!
//! In: the spec as written. Out: problems with their paths; none means that it can be carried out. Must not touch: the
//! analysis templates that it names, which are judged where they are observed.

use std::collections::BTreeSet;

use crate::analysis::Argument;
use crate::duration;
use crate::experiment::{
    Experiment, ExperimentAnalysis, ExperimentStep, ExperimentTemplate, SPEC_CANARY, SPEC_STABLE,
    StepTemplate, TemplateService,
};
use crate::strategy::CanaryStrategy;
use crate::traffic::{ROUTERS, ROUTERS_WITH_EXPERIMENTS};
use crate::validate::{Findings, Problem};

/// Longest name of a Service, and of one template, whose name is part of others.
const MAX_LABEL: usize = 63;
/// The whole of the traffic, in percent.
const MAX_WEIGHT: i32 = 100;

/// Everything that is wrong with an Experiment.
pub fn validate_experiment(experiment: &Experiment) -> Vec<Problem> {
    let mut findings = Findings::new();
    let spec = &experiment.spec;
    let name = experiment.metadata.name.as_deref().unwrap_or_default();
    if spec.templates.is_empty() {
        findings.add("spec.templates", "is missing: write at least one template");
    }
    names(
        "spec.templates",
        spec.templates.iter().map(|one| one.name.as_str()),
        &mut findings,
    );
    let deadline = spec.deadline_seconds();
    for (index, template) in spec.templates.iter().enumerate() {
        let path = format!("spec.templates[{index}]");
        template_problems(&path, template, deadline, &mut findings);
        service_problems(
            &path,
            name,
            &template.name,
            template.service.as_ref(),
            &mut findings,
        );
    }
    let services = spec.templates.iter().filter_map(|one| one.service.as_ref());
    same_service("spec.templates", services, &mut findings);
    duration_problems("spec.duration", spec.duration.as_deref(), &mut findings);
    findings.at_least(
        "spec.scaleDownDelaySeconds",
        spec.scale_down_delay_seconds,
        0,
    );
    let with_service: Vec<(&str, bool)> = spec
        .templates
        .iter()
        .map(|one| (one.name.as_str(), one.service.is_some()))
        .collect();
    analyses_problems(
        "spec.analyses",
        &spec.analyses,
        &with_service,
        &mut findings,
    );
    findings.into_problems()
}

/// The sentence for conditions and messages.
pub fn experiment_sentence(experiment: &str, problems: &[Problem]) -> String {
    let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
    format!(
        "The Experiment \"{experiment}\" is invalid: {}",
        all.join("; ")
    )
}

/// Everything that is wrong with a step of a canary that makes an Experiment; `path` is that of the step's key.
pub(crate) fn experiment_step_problems(
    path: &str,
    step: &ExperimentStep,
    canary: &CanaryStrategy,
    findings: &mut Findings,
) {
    let at = |field: &str| format!("{path}.{field}");
    if step.templates.is_empty() {
        findings.add(&at("templates"), "is missing: write at least one template");
    }
    names(
        &at("templates"),
        step.templates.iter().map(|one| one.name.as_str()),
        findings,
    );
    for (index, template) in step.templates.iter().enumerate() {
        step_template_problems(
            &format!("{path}.templates[{index}]"),
            template,
            canary,
            findings,
        );
    }
    let total = step
        .templates
        .iter()
        .filter_map(|one| one.weight)
        .fold(0_i32, i32::saturating_add);
    if total > MAX_WEIGHT {
        findings.add(
            &at("templates"),
            format!("have weights of {total} together: at most {MAX_WEIGHT} can be shared out"),
        );
    }
    let services = step.templates.iter().filter_map(|one| one.service.as_ref());
    same_service(&at("templates"), services, findings);
    duration_problems(&at("duration"), step.duration.as_deref(), findings);
    findings.at_least(
        &at("scaleDownDelaySeconds"),
        step.scale_down_delay_seconds,
        0,
    );
    if step.duration.is_none() && step.analyses.is_empty() {
        findings.add(
            &at("duration"),
            "is missing and so are analyses: the step would never end, write one of them",
        );
    }
    let with_service: Vec<(&str, bool)> = step
        .templates
        .iter()
        .map(|one| (one.name.as_str(), one.wants_service()))
        .collect();
    analyses_problems(&at("analyses"), &step.analyses, &with_service, findings);
}

fn step_template_problems(
    path: &str,
    template: &StepTemplate,
    canary: &CanaryStrategy,
    findings: &mut Findings,
) {
    if ![SPEC_STABLE, SPEC_CANARY].contains(&template.spec_ref.as_str()) {
        findings.add(
            &format!("{path}.specRef"),
            format!("is {:?}: must be stable or canary", template.spec_ref),
        );
    }
    findings.at_least(&format!("{path}.replicas"), template.replicas, 0);
    if let (Some(selector), Some(metadata)) = (&template.selector, &template.metadata) {
        let unmet = selector.match_labels.iter().find(|(key, value)| {
            let given = metadata.labels.get(*key);
            given.is_some_and(|given| given != *value)
        });
        if let Some((key, _)) = unmet {
            findings.add(
                &format!("{path}.selector"),
                format!("asks for another {key} than metadata.labels gives: give the same"),
            );
        }
    }
    let Some(weight) = template.weight else {
        return;
    };
    let path = format!("{path}.weight");
    if !(0..=MAX_WEIGHT).contains(&weight) {
        findings.add(
            &path,
            format!("is {weight}: must be from 0 to {MAX_WEIGHT}"),
        );
    }
    let Some(routing) = &canary.traffic_routing else {
        return findings.add(
            &path,
            "is written without trafficRouting: nobody can share out traffic, leave it out",
        );
    };
    let unable = ROUTERS
        .iter()
        .find(|router| routing.routes_by(router) && !ROUTERS_WITH_EXPERIMENTS.contains(router));
    if let Some(router) = unable {
        findings.add(
            &path,
            format!(
                "is written and {router} cannot send traffic to experiments: leave it out, or route by one of {}",
                ROUTERS_WITH_EXPERIMENTS.join(", ")
            ),
        );
    }
}

fn template_problems(
    path: &str,
    template: &ExperimentTemplate,
    deadline: i32,
    findings: &mut Findings,
) {
    findings.at_least(&format!("{path}.replicas"), template.replicas, 0);
    findings.at_least(
        &format!("{path}.minReadySeconds"),
        template.min_ready_seconds,
        0,
    );
    let ready = template.min_ready_seconds.unwrap_or(0);
    if deadline <= ready {
        findings.add(
            "spec.progressDeadlineSeconds",
            format!(
                "is {deadline}: must be greater than minReadySeconds of {:?}, which is {ready}",
                template.name
            ),
        );
    }
    let pods = &template.template;
    if template.selector.is_empty() {
        findings.add(
            &format!("{path}.selector"),
            "is missing: give it matchLabels that the template's labels meet",
        );
    } else if !template.selector.matches(&pods.labels()) {
        let query = template.selector.to_query();
        findings.add(
            &format!("{path}.template.metadata.labels"),
            format!("are not met by the selector {query}: give the template these labels"),
        );
    }
    if !pods.has_containers() {
        findings.add(
            &format!("{path}.template.spec.containers"),
            "is missing: name at least one container",
        );
    }
    if let Some(policy) = pods.restart_policy().filter(|policy| policy != "Always") {
        findings.add(
            &format!("{path}.template.spec.restartPolicy"),
            format!("is {policy:?}: only \"Always\" can be kept running"),
        );
    }
}

/// Names are there, unique, and can be part of other names.
fn names<'a>(path: &str, names: impl Iterator<Item = &'a str>, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        let path = format!("{path}[{index}].name");
        if name.is_empty() {
            findings.add(&path, "is missing: give it a name");
        } else if !is_dns_label(name) {
            findings.add(
                &path,
                format!("is {name:?}: use at most {MAX_LABEL} small letters, digits and dashes, with a letter or digit at both ends"),
            );
        } else if !seen.insert(name) {
            findings.add(
                &path,
                format!("is {name:?} a second time: names are unique"),
            );
        }
    }
}

fn is_dns_label(name: &str) -> bool {
    let inner = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.len() <= MAX_LABEL
        && bytes.iter().all(|letter| inner(*letter) || *letter == b'-')
        && [bytes.first(), bytes.last()]
            .into_iter()
            .all(|end| end.is_some_and(|end| inner(*end)))
}

fn service_problems(
    path: &str,
    experiment: &str,
    template: &str,
    service: Option<&TemplateService>,
    findings: &mut Findings,
) {
    let Some(service) = service else { return };
    let made = format!("{experiment}-{template}");
    let name = service.name.as_deref().unwrap_or(&made);
    let begins = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    if !is_dns_label(name) || !begins {
        findings.add(
            &format!("{path}.service.name"),
            format!("is {name:?}: a Service's name begins with a small letter and has at most {MAX_LABEL} letters, give it another one"),
        );
    }
}

fn same_service<'a>(
    path: &str,
    services: impl Iterator<Item = &'a TemplateService>,
    findings: &mut Findings,
) {
    let mut seen = BTreeSet::new();
    for name in services.filter_map(|service| service.name.as_deref()) {
        if !seen.insert(name) {
            findings.add(
                path,
                format!("name the service {name:?} twice: each template has its own"),
            );
        }
    }
}

fn duration_problems(path: &str, written: Option<&str>, findings: &mut Findings) {
    let Some(written) = written else { return };
    match duration::parse(written) {
        Ok(span) if span.is_zero() || span.is_negative() => {
            findings.add(path, format!("is {written}: must be greater than 0"));
        }
        Ok(_) => {}
        Err(error) => findings.add(path, error.to_string()),
    }
}

fn analyses_problems(
    path: &str,
    analyses: &[ExperimentAnalysis],
    templates: &[(&str, bool)],
    findings: &mut Findings,
) {
    names(path, analyses.iter().map(|one| one.name.as_str()), findings);
    for (index, analysis) in analyses.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if analysis.template_name.is_empty() {
            findings.add(
                &format!("{path}.templateName"),
                "is missing: name an AnalysisTemplate",
            );
        }
        for (index, argument) in analysis.args.iter().enumerate() {
            argument_problems(
                &format!("{path}.args[{index}]"),
                argument,
                templates,
                findings,
            );
        }
    }
}

fn argument_problems(
    path: &str,
    argument: &Argument,
    templates: &[(&str, bool)],
    findings: &mut Findings,
) {
    if argument.name.is_empty() {
        findings.add(&format!("{path}.name"), "is missing: name the argument");
    }
    if argument.value.is_some() && argument.value_from.is_some() {
        findings.add(path, "has both value and valueFrom: write one of them");
    }
    for word in placeholders(argument.value.as_deref().unwrap_or_default()) {
        if let Err(why) = placeholder(word, templates) {
            findings.add(
                &format!("{path}.value"),
                format!("has {{{{{word}}}}}: {why}"),
            );
        }
    }
}

/// What stands between double braces in an argument of an Experiment.
pub fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{")
        .skip(1)
        .filter_map(|tail| tail.split_once("}}"))
        .map(|(inside, _)| inside.trim())
}

/// What is wrong with a placeholder: only those of Experiments are judged, others are somebody else's language.
fn placeholder(word: &str, templates: &[(&str, bool)]) -> Result<(), String> {
    if let Some(field) = word.strip_prefix("experiment.") {
        return match field {
            "availableAt" | "finishedAt" => Ok(()),
            _ => Err("an Experiment has availableAt and finishedAt".to_owned()),
        };
    }
    let Some(named) = word.strip_prefix("templates.") else {
        return Ok(());
    };
    let (name, field) = named.split_once('.').unwrap_or((named, ""));
    let Some((_, has_service)) = templates.iter().find(|(known, _)| *known == name) else {
        return Err(format!("there is no template {name:?}, correct the name"));
    };
    match field {
        "podTemplateHash" | "replicaset.name" => Ok(()),
        "service.name" if *has_service => Ok(()),
        "service.name" => Err(format!("template {name:?} has no service, give it one")),
        _ => Err("a template has podTemplateHash, replicaset.name and service.name".to_owned()),
    }
}

#[cfg(test)]
mod tests;
