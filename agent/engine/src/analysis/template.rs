//! From the templates that a step names to the spec of a run.
//!
//! In: the step's analysis, the templates, the Rollout. Out: an `AnalysisRunSpec`, or what is wrong. It must not measure.

use std::collections::BTreeSet;

use agent_api::analysis::{Argument, ValueFrom};
use agent_api::names::ANNOTATION_STRICT;
use agent_api::validate::Problem;
use agent_api::validate_analysis::{Ending, validate_metrics};
use agent_api::{AnalysisRunSpec, Metric, PodHash, Rollout, StepAnalysis};
use serde_json::Value;

use super::metric::{Limits, endless};
use super::prepared::check_rules;
use crate::args::resolved;
use crate::observed::{TemplateKey, Templates};

/// Templates may name templates; deeper than this is a loop.
const MAX_DEPTH: usize = 16;

/// Why an analysis cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A template is not there.
    #[error("{0} does not exist: create it, or name another one")]
    NoTemplate(String),
    /// Templates name each other in a circle.
    #[error("{0} is nested more than {MAX_DEPTH} deep: take the circle out")]
    TooDeep(String),
    /// Two metrics have one name.
    #[error("metric {0:?} is in more than one of the templates: rename one of them")]
    DuplicateMetric(String),
    /// No metric at all.
    #[error("the templates have no metrics: add one")]
    NoMetrics,
    /// Two templates give an argument different values.
    #[error("argument {0:?} has different values in the templates: give it one in the analysis")]
    ArgumentConflict(String),
    /// An argument has no value.
    #[error("argument {0:?} has no value: give it one in the analysis or in the template")]
    NoValue(String),
    /// A field of the Rollout is not there.
    #[error("argument {name:?} names {path:?}, which the Rollout does not have: correct the path")]
    NoField {
        /// The argument.
        name: String,
        /// The path.
        path: String,
    },
    /// Rules about metrics by name are wrong.
    #[error(transparent)]
    Prepared(#[from] super::prepared::Error),
    /// An argument in a metric cannot be filled in.
    #[error(transparent)]
    Args(#[from] crate::args::Error),
    /// A metric cannot be judged.
    #[error(transparent)]
    Metric(#[from] super::metric::Error),
    /// A metric that nobody could measure.
    #[error("metric {metric:?} {what}")]
    Unusable {
        /// The metric.
        metric: String,
        /// Its field and what is wrong with it.
        what: String,
    },
    /// A metric that would never end a step.
    #[error("metric {0:?} has an interval and no count, so the step would never end: add a count")]
    Endless(String),
}

/// The spec of a run, with all arguments valued but those that come from Secrets.
pub fn run_spec(
    analysis: &StepAnalysis,
    templates: &Templates,
    rollout: &Rollout,
    stable: &PodHash,
    latest: &PodHash,
) -> Result<AnalysisRunSpec, Error> {
    let source = Source {
        rollout,
        stable,
        latest,
        ahead: false,
    };
    merged(analysis, templates, &source)
}

/// Where the values of arguments come from.
struct Source<'a> {
    rollout: &'a Rollout,
    stable: &'a PodHash,
    latest: &'a PodHash,
    /// The run is still to come: what the status does not say yet it may say by then.
    ahead: bool,
}

fn merged(
    analysis: &StepAnalysis,
    templates: &Templates,
    source: &Source<'_>,
) -> Result<AnalysisRunSpec, Error> {
    let mut merged = AnalysisRunSpec::default();
    let mut seen = BTreeSet::new();
    for reference in &analysis.templates {
        add(
            analysis,
            &mut merged,
            &TemplateKey::of(reference),
            templates,
            &mut seen,
            0,
        )?;
    }
    if merged.metrics.is_empty() {
        return Err(Error::NoMetrics);
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = merged
        .metrics
        .iter()
        .find(|metric| !names.insert(metric.name.as_str()))
    {
        return Err(Error::DuplicateMetric(twice.name.clone()));
    }
    for argument in &mut merged.args {
        let given = analysis
            .args
            .iter()
            .find(|given| given.name == argument.name && has_source(given));
        if let Some(given) = given {
            *argument = given.clone();
        }
        value(argument, source)?;
    }
    merged.dry_run.extend(analysis.dry_run.iter().cloned());
    // The first rule that names a metric counts: what the Rollout says comes before what the templates say.
    let retention = analysis.measurement_retention.iter().cloned();
    merged.measurement_retention.splice(0..0, retention);
    Ok(merged)
}

/// The annotation that carries strict judgement from templates to their run, if they ask for it.
pub fn strict_annotation(
    analysis: &StepAnalysis,
    templates: &Templates,
) -> Option<(String, String)> {
    is_strict(analysis, templates).then(|| (ANNOTATION_STRICT.to_owned(), "true".to_owned()))
}

/// One of the templates, nested ones too, asks for strict judgements; then the whole run is judged so.
pub fn is_strict(analysis: &StepAnalysis, templates: &Templates) -> bool {
    let mut wanted: Vec<TemplateKey> = analysis.templates.iter().map(TemplateKey::of).collect();
    let mut seen = BTreeSet::new();
    while let Some(key) = wanted.pop() {
        let Some(template) = templates.get(&key) else {
            continue;
        };
        if template.strict == Some(true) {
            return true;
        }
        if seen.insert(key) {
            wanted.extend(template.templates.iter().map(TemplateKey::of));
        }
    }
    false
}

/// Checks a step's analysis as a run would: every metric can be filled in, judged, and ends.
pub fn check_step(
    analysis: &StepAnalysis,
    templates: &Templates,
    rollout: &Rollout,
) -> Result<(), Error> {
    for metric in metrics(analysis, templates, rollout)? {
        if endless(&metric)? {
            return Err(Error::Endless(metric.name));
        }
    }
    Ok(())
}

/// Checks an analysis in the background: every metric can be filled in and judged; it may measure without end.
pub fn check_background(
    analysis: &StepAnalysis,
    templates: &Templates,
    rollout: &Rollout,
) -> Result<(), Error> {
    metrics(analysis, templates, rollout).map(|_| ())
}

/// The metrics of a run, filled in; each can be measured and judged.
pub(super) fn metrics(
    analysis: &StepAnalysis,
    templates: &Templates,
    rollout: &Rollout,
) -> Result<Vec<Metric>, Error> {
    let hash = PodHash::default();
    let source = Source {
        rollout,
        stable: &hash,
        latest: &hash,
        ahead: true,
    };
    let spec = merged(analysis, templates, &source)?;
    let mut filled = Vec::new();
    for metric in &spec.metrics {
        let metric: Metric = resolved(metric, &spec.args)?;
        Limits::of(&metric)?;
        filled.push(metric);
    }
    check_rules(&spec, &filled)?;
    if let Some(problem) = validate_metrics(&filled, Ending::MayRunOn)
        .into_iter()
        .next()
    {
        return Err(unusable(&filled, &problem));
    }
    Ok(filled)
}

/// A problem of merged metrics, by the metric's name: its place in the run is nowhere to be seen.
fn unusable(metrics: &[Metric], problem: &Problem) -> Error {
    let Problem { path, message } = problem;
    let place = path.strip_prefix("spec.metrics[");
    let place = place.and_then(|place| place.split_once(']'));
    let metric = place.and_then(|(index, _)| metrics.get(index.parse::<usize>().ok()?));
    let field = place.map_or(path.as_str(), |(_, field)| field.trim_start_matches('.'));
    Error::Unusable {
        metric: metric.map(|metric| metric.name.clone()).unwrap_or_default(),
        what: format!("{field}: {message}"),
    }
}

fn add(
    analysis: &StepAnalysis,
    merged: &mut AnalysisRunSpec,
    key: &TemplateKey,
    templates: &Templates,
    seen: &mut BTreeSet<TemplateKey>,
    depth: usize,
) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::TooDeep(key.to_string()));
    }
    if !seen.insert(key.clone()) {
        return Ok(());
    }
    let template = templates
        .get(key)
        .ok_or_else(|| Error::NoTemplate(key.to_string()))?;
    merged.metrics.extend(template.metrics.iter().cloned());
    merged.dry_run.extend(template.dry_run.iter().cloned());
    merged
        .measurement_retention
        .extend(template.measurement_retention.iter().cloned());
    for argument in &template.args {
        let given = analysis
            .args
            .iter()
            .any(|given| given.name == argument.name && has_source(given));
        match merged
            .args
            .iter_mut()
            .find(|known| known.name == argument.name)
        {
            None => merged.args.push(argument.clone()),
            Some(known) if !has_source(known) => *known = argument.clone(),
            Some(known) if !given && has_source(argument) && known != argument => {
                return Err(Error::ArgumentConflict(argument.name.clone()));
            }
            Some(_) => {}
        }
    }
    for reference in &template.templates {
        add(
            analysis,
            merged,
            &TemplateKey::of(reference),
            templates,
            seen,
            depth.saturating_add(1),
        )?;
    }
    Ok(())
}

fn has_source(argument: &Argument) -> bool {
    argument.value.is_some() || argument.value_from.is_some()
}

/// Gives an argument outside any template the value of its source.
pub(crate) fn give_value(
    argument: &mut Argument,
    rollout: &Rollout,
    stable: &PodHash,
    latest: &PodHash,
) -> Result<(), Error> {
    let source = Source {
        rollout,
        stable,
        latest,
        ahead: false,
    };
    value(argument, &source)
}

fn value(argument: &mut Argument, source: &Source<'_>) -> Result<(), Error> {
    let name = argument.name.clone();
    let secret = |from: &ValueFrom| from.secret_key_ref.is_some();
    // What a Secret holds is for the shell alone, at the moment it asks.
    if argument.value.is_some() || argument.value_from.as_ref().is_some_and(secret) {
        return Ok(());
    }
    let Some(from) = argument.value_from.take() else {
        return Err(Error::NoValue(name));
    };
    argument.value = Some(from_source(&name, &from, source)?);
    Ok(())
}

fn from_source(name: &str, from: &ValueFrom, source: &Source<'_>) -> Result<String, Error> {
    match from.pod_template_hash_value.as_deref() {
        Some("Stable") => return Ok(source.stable.to_string()),
        Some("Latest") => return Ok(source.latest.to_string()),
        Some(_) | None => {}
    }
    let Some(field) = &from.field_ref else {
        return Err(Error::NoValue(name.to_owned()));
    };
    let missing = || Error::NoField {
        name: name.to_owned(),
        path: field.field_path.clone(),
    };
    let rollout = serde_json::to_value(source.rollout).map_err(|_| missing())?;
    match at_path(&rollout, &field.field_path) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(found @ (Value::Number(_) | Value::Bool(_))) => Ok(found.to_string()),
        None if source.ahead && field.field_path.starts_with("status.") => Ok(String::new()),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => Err(missing()),
    }
}

/// Reads `metadata.labels['region']` and `spec.template.spec.containers[0].image`.
fn at_path<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let mut at = value;
    let mut left = path.trim_start_matches('.');
    while !left.is_empty() {
        if let Some(tail) = left.strip_prefix('[') {
            let (key, tail) = tail.split_once(']')?;
            at = match key.trim_matches(['\'', '"']) {
                quoted if quoted.len() != key.len() => at.get(quoted)?,
                index => at.get(index.parse::<usize>().ok()?)?,
            };
            left = tail.trim_start_matches('.');
            continue;
        }
        let end = left.find(['.', '[']).unwrap_or(left.len());
        let (key, tail) = left.split_at_checked(end)?;
        at = at.get(key)?;
        left = tail.strip_prefix('.').unwrap_or(tail);
    }
    Some(at)
}

#[cfg(test)]
mod tests;
