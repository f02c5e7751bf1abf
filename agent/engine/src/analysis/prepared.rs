//! The metrics of a run, ready to be measured.
//!
//! In: the run. Out: each metric with its arguments filled in, its numbers read, whether it counts, how much of it is
//! kept; or what is wrong, with its path. It must not look at what was measured.

use agent_api::analysis::{DryRun, MeasurementRetention, is_strict};
use agent_api::validate::Problem;
use agent_api::validate_analysis::{Ending, validate_metrics};
use agent_api::{AnalysisRun, AnalysisRunSpec, Metric};

use super::conditions::{self, BadConditions};
use super::metric::{self, Limits};
use super::pattern::Pattern;
use crate::args;

/// Measurements kept in the status when the run does not say.
pub(super) const KEPT_MEASUREMENTS: usize = 10;

/// Why a run cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An argument cannot be filled in.
    #[error("spec.metrics[{index}]: {error}")]
    Args {
        /// The metric's place.
        index: usize,
        /// Why.
        error: args::Error,
    },
    /// Metrics that nobody could measure or judge.
    #[error("{}", sentence(.0))]
    Metrics(Vec<Problem>),
    /// A limit cannot be read.
    #[error("spec.metrics[{index}]: {error}")]
    Limits {
        /// The metric's place.
        index: usize,
        /// Why.
        error: metric::Error,
    },
    /// A rule about metrics by name is wrong.
    #[error("{path}: {why}")]
    Rule {
        /// Where.
        path: String,
        /// What is wrong.
        why: String,
    },
}

fn sentence(problems: &[Problem]) -> String {
    let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
    all.join("; ")
}

/// A metric that can be measured and judged.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prepared {
    /// With its arguments filled in, but for those from Secrets.
    pub metric: Metric,
    /// Its numbers.
    pub limits: Limits,
    /// Its result does not count.
    pub dry_run: bool,
    /// Measurements kept of it.
    pub kept: usize,
}

/// Every metric, or the first thing that is wrong.
pub(super) fn prepared(run: &AnalysisRun, bad: &BadConditions) -> Result<Vec<Prepared>, Error> {
    let spec = &run.spec;
    let strict = is_strict(&run.metadata);
    let mut metrics = Vec::new();
    for (index, metric) in spec.metrics.iter().enumerate() {
        let mut metric =
            args::resolved(metric, &spec.args).map_err(|error| Error::Args { index, error })?;
        metric.strict = metric.strict.or(strict.then_some(true));
        metrics.push(metric);
    }
    let mut problems = validate_metrics(&metrics, Ending::MayRunOn);
    problems.extend(conditions::problems(&metrics, bad));
    if !problems.is_empty() {
        return Err(Error::Metrics(problems));
    }
    let (dry, kept) = rules(spec, &metrics)?;
    let mut all = Vec::new();
    for (index, metric) in metrics.into_iter().enumerate() {
        let limits = Limits::of(&metric).map_err(|error| Error::Limits { index, error })?;
        let kept = kept.iter().find(|(pattern, _)| pattern.is(&metric.name));
        all.push(Prepared {
            limits,
            dry_run: dry.iter().any(|pattern| pattern.is(&metric.name)),
            kept: kept.map_or(KEPT_MEASUREMENTS, |(_, limit)| *limit),
            metric,
        });
    }
    Ok(all)
}

/// Checks the rules about metrics by name; a rule that is about no metric is a slip of the pen that would let a metric count.
pub(super) fn check_rules(spec: &AnalysisRunSpec, metrics: &[Metric]) -> Result<(), Error> {
    rules(spec, metrics).map(|_| ())
}

type Rules = (Vec<Pattern>, Vec<(Pattern, usize)>);

fn rules(spec: &AnalysisRunSpec, metrics: &[Metric]) -> Result<Rules, Error> {
    let mut dry = Vec::new();
    for (index, DryRun { metric_name, .. }) in spec.dry_run.iter().enumerate() {
        dry.push(rule("spec.dryRun", index, metric_name, metrics)?);
    }
    let mut kept = Vec::new();
    for (index, retention) in spec.measurement_retention.iter().enumerate() {
        let MeasurementRetention {
            metric_name, limit, ..
        } = retention;
        let pattern = rule("spec.measurementRetention", index, metric_name, metrics)?;
        let limit = usize::try_from(*limit).ok().filter(|limit| *limit > 0);
        let limit = limit.ok_or_else(|| Error::Rule {
            path: format!("spec.measurementRetention[{index}].limit"),
            why: format!("is {}: must be at least 1", retention.limit),
        })?;
        kept.push((pattern, limit));
    }
    Ok((dry, kept))
}

fn rule(list: &str, index: usize, text: &str, metrics: &[Metric]) -> Result<Pattern, Error> {
    let wrong = |why: String| Error::Rule {
        path: format!("{list}[{index}].metricName"),
        why,
    };
    let pattern = Pattern::new(text).map_err(|error| wrong(error.to_string()))?;
    if metrics.iter().any(|metric| pattern.is(&metric.name)) {
        return Ok(pattern);
    }
    Err(wrong(format!(
        "is {text:?}, which is the name of no metric: correct it or take it out"
    )))
}
