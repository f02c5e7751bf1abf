//! Analysis templates and runs. In: one of them, and those beside it. Out: what is wrong with its metrics, conditions and
//! arguments. It must not ask a provider.

use std::collections::BTreeSet;

use agent_api::analysis::Argument;
use agent_api::validate_analysis::{Ending, validate_metrics};
use agent_api::{AnalysisRun, AnalysisTemplateSpec, ClusterAnalysisTemplate, IntOrString, Metric};
use agent_engine::observed::TemplateKey;
use agent_providers::condition;

use super::args::used;
use super::schema::closest;
use super::set::{Set, reached};
use super::{Finding, decode};
use crate::manifest::Manifest;

/// Stands for an argument without a value: it reads as a number, and inside quotes as text.
const PLACEHOLDER: &str = "1";
/// Providers that judge by themselves when a metric has no condition.
const JUDGES: [&str; 2] = ["job", "kayenta"];

/// Everything that is wrong with it.
pub fn check(set: &Set<'_>, manifest: &Manifest) -> Vec<Finding> {
    let is_run = manifest.kind == "AnalysisRun";
    let spec = match read(manifest) {
        Ok(spec) => spec,
        Err(finding) => return vec![finding],
    };
    let mut findings = set.missing(manifest, "spec.templates", &spec.templates);
    if manifest.name.is_empty() && manifest.value.pointer("/metadata/generateName").is_none() {
        findings.push(Finding::error("metadata.name", "is missing: name it"));
    }
    findings.extend(arguments(set, manifest, &spec, is_run));
    findings.extend(metrics(manifest, &spec));
    findings
}

fn read(manifest: &Manifest) -> Result<AnalysisTemplateSpec, Finding> {
    Ok(match manifest.kind.as_str() {
        "AnalysisRun" => {
            let run: AnalysisRun = decode(manifest)?;
            AnalysisTemplateSpec {
                metrics: run.spec.metrics,
                args: run.spec.args,
                ..AnalysisTemplateSpec::default()
            }
        }
        "ClusterAnalysisTemplate" => decode::<ClusterAnalysisTemplate>(manifest)?.spec,
        _ => decode::<agent_api::AnalysisTemplate>(manifest)?.spec,
    })
}

fn uses(spec: &AnalysisTemplateSpec) -> Vec<(String, String)> {
    let metrics = serde_json::to_value(&spec.metrics).unwrap_or_default();
    used(&metrics, "spec.metrics")
}

fn has_value(argument: &Argument) -> bool {
    argument.value.is_some() || argument.value_from.is_some()
}

fn arguments(
    set: &Set<'_>,
    manifest: &Manifest,
    spec: &AnalysisTemplateSpec,
    is_run: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let templates = set.templates(manifest.namespace.as_deref());
    let own = TemplateKey {
        name: manifest.name.clone(),
        cluster_scope: manifest.kind == "ClusterAnalysisTemplate",
    };
    // Templates that make one run share their arguments.
    let mut together: Vec<&AnalysisTemplateSpec> = Vec::new();
    for (key, other) in &templates {
        let reaches = |from: &AnalysisTemplateSpec, to: &TemplateKey| {
            reached(&from.templates, &templates).contains_key(to)
        };
        if !is_run && *key != own && (reaches(spec, key) || reaches(other, &own)) {
            together.push(other);
        }
    }
    let uses = uses(spec);
    let mut declared: BTreeSet<&str> = spec.args.iter().map(|one| one.name.as_str()).collect();
    let own_names = declared.clone();
    declared.extend(
        together
            .iter()
            .flat_map(|one| &one.args)
            .map(|one| one.name.as_str()),
    );
    let mut said = BTreeSet::new();
    for (path, name) in &uses {
        if declared.contains(name.as_str()) || !said.insert(name) {
            continue;
        }
        let hint = match closest(name, declared.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => "declare it in spec.args".to_owned(),
        };
        let message = format!("uses {{{{args.{name}}}}}, which is not declared: {hint}");
        findings.push(Finding::error(path, message));
    }
    let mut seen = BTreeSet::new();
    for (index, argument) in spec.args.iter().enumerate() {
        let path = format!("spec.args[{index}]");
        let name = argument.name.as_str();
        if name.is_empty() {
            findings.push(Finding::error(&path, "has no name: name the argument"));
        } else if !seen.insert(name) {
            let message = format!("is {name:?} a second time: leave one out");
            findings.push(Finding::error(&format!("{path}.name"), message));
            continue;
        } else if is_run && !has_value(argument) {
            let message = format!("{name:?} has no value: a run needs one for each argument");
            findings.push(Finding::error(&path, message));
        }
        let everywhere = uses.iter().map(|(_, name)| name.clone());
        let others = together
            .iter()
            .flat_map(|other| self::uses(other))
            .map(|(_, name)| name);
        if !everywhere.chain(others).any(|used| used == name) && own_names.contains(name) {
            let message = format!("argument {name:?} is not used by any metric");
            findings.push(Finding::warning(&path, message));
        }
    }
    findings
}

/// Metrics with their arguments filled in, as far as these have values.
fn metrics(manifest: &Manifest, spec: &AnalysisTemplateSpec) -> Vec<Finding> {
    let mut args = spec.args.clone();
    let open: BTreeSet<String> = uses(spec)
        .into_iter()
        .filter(|(_, name)| {
            !spec
                .args
                .iter()
                .any(|one| one.name == *name && one.value.is_some())
        })
        .map(|(path, _)| path)
        .collect();
    for argument in &mut args {
        argument.value.get_or_insert_with(|| PLACEHOLDER.to_owned());
        argument.value_from = None;
    }
    for (_, name) in uses(spec) {
        if !args.iter().any(|one| one.name == name) {
            args.push(Argument {
                name,
                value: Some(PLACEHOLDER.to_owned()),
                ..Argument::default()
            });
        }
    }
    let mut findings = Vec::new();
    let mut filled = Vec::new();
    for (index, metric) in spec.metrics.iter().enumerate() {
        let path = format!("spec.metrics[{index}]");
        findings.extend(cannot_fail(metric).map(|why| Finding::warning(&path, why)));
        match agent_engine::args::resolved(metric, &args) {
            Ok(metric) => {
                findings.extend(conditions(manifest, &path, &metric));
                filled.push(metric);
            }
            Err(error) => {
                findings.push(Finding::error(&path, error.to_string()));
                filled.push(metric.clone());
            }
        }
    }
    // Nothing is known yet of a field that an argument fills.
    let known = |path: &String| !open.contains(path);
    let nested = !spec.templates.is_empty();
    for problem in validate_metrics(&filled, Ending::MayRunOn) {
        let has_none = problem.path == "spec.metrics" && nested;
        if known(&problem.path) && !has_none {
            findings.push(Finding::error(&problem.path, problem.message));
        }
    }
    findings
}

/// Why no value at all can make a metric fail: it may fail as often as it is measured. Nothing when a number is not known.
pub fn cannot_fail(metric: &Metric) -> Option<String> {
    let number = |value: &Option<IntOrString>, otherwise: Option<i32>| match value {
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(text)) => text.trim().parse().ok(),
        None => otherwise,
    };
    let judged = metric.success_condition.is_some() || metric.failure_condition.is_some();
    let once = metric.interval.is_none().then_some(1);
    let count = number(&metric.count, once)?;
    let limit = number(&metric.failure_limit, Some(0))?;
    let ends_early = metric.consecutive_success_limit.is_some();
    (judged && count > 0 && count <= limit && !ends_early).then(|| {
        let measured = if count == 1 { "1 measurement" } else { "so few measurements" };
        format!(
            "cannot fail: with {measured} (count {count}) and failureLimit {limit} no value is enough; take a count of at least {} or a smaller failureLimit",
            limit.saturating_add(1)
        )
    })
}

fn conditions(manifest: &Manifest, path: &str, metric: &Metric) -> Vec<Finding> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let success = given(&metric.success_condition);
    let failure = given(&metric.failure_condition);
    let mut findings = Vec::new();
    for (field, condition) in [
        ("successCondition", &success),
        ("failureCondition", &failure),
    ] {
        let Some(condition) = condition else { continue };
        if let Err(error) = condition::check(condition) {
            findings.push(Finding::error(
                &format!("{path}.{field}"),
                error.to_string(),
            ));
        }
    }
    if is_strict(manifest) {
        return findings;
    }
    match (success, failure) {
        (None, Some(failure)) if !failure.contains("isNaN") => findings.push(Finding::warning(
            &format!("{path}.failureCondition"),
            format!(
                "is the only condition, so a NaN counts as success: add a successCondition, ask isNaN(), or set the annotation {STRICT}: \"true\""
            ),
        )),
        (None, None) => {
            let provider = metric.provider.given();
            if !provider.is_empty() && !provider.iter().any(|one| JUDGES.contains(one)) {
                findings.push(Finding::warning(
                    path,
                    "has no condition, so every value counts as success: add a successCondition",
                ));
            }
        }
        (Some(_), None) | (_, Some(_)) => {}
    }
    findings
}

/// The annotation with which what is no number is inconclusive.
const STRICT: &str = agent_api::names::ANNOTATION_STRICT;

fn is_strict(manifest: &Manifest) -> bool {
    let annotations = manifest.value.pointer("/metadata/annotations");
    annotations
        .and_then(|annotations| annotations.get(STRICT))
        .is_some_and(|value| value == "true")
}
