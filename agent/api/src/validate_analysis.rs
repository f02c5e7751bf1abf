//! What is wrong with the metrics of an analysis.
//!
//! In: metrics with their arguments filled in. Out: problems with their paths. Must not touch: conditions, which are
//! judged where they are evaluated.

use std::collections::BTreeSet;

use crate::analysis::Metric;
use crate::duration;
use crate::provider::PROVIDERS;
use crate::validate::{Findings, Problem};
use crate::validate_provider::provider_problems;

/// Whether metrics may measure without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A step waits for the run, so it must end.
    MustEnd,
    /// The run lies in the background.
    MayRunOn,
}

/// Everything that is wrong with metrics, under `spec.metrics`.
pub fn validate_metrics(metrics: &[Metric], ending: Ending) -> Vec<Problem> {
    let mut findings = Findings::new();
    if metrics.is_empty() {
        findings.add("spec.metrics", "is missing: write at least one metric");
    }
    let mut names = BTreeSet::new();
    for (index, metric) in metrics.iter().enumerate() {
        let path = format!("spec.metrics[{index}]");
        if metric.name.is_empty() {
            findings.add(&format!("{path}.name"), "is missing: name the metric");
        } else if !names.insert(metric.name.as_str()) {
            findings.add(
                &format!("{path}.name"),
                format!(
                    "is {:?} a second time: names are unique in a run",
                    metric.name
                ),
            );
        }
        times(&path, metric, &mut findings);
        limits(&path, metric, ending, &mut findings);
        provider(&path, metric, &mut findings);
    }
    findings.into_problems()
}

fn times(path: &str, metric: &Metric, findings: &mut Findings) {
    for (field, written) in [
        ("interval", &metric.interval),
        ("initialDelay", &metric.initial_delay),
    ] {
        let Some(written) = written else { continue };
        match duration::parse(written) {
            Ok(span) if span.is_negative() => {
                findings.add(&format!("{path}.{field}"), "must not be negative")
            }
            Ok(_) => {}
            Err(error) => findings.add(&format!("{path}.{field}"), error.to_string()),
        }
    }
}

fn limits(path: &str, metric: &Metric, ending: Ending, findings: &mut Findings) {
    let mut read = |field: &str, value: Result<i32, crate::intstr::Error>, least: i32| match value {
        Ok(number) if number < least => {
            findings.add(
                &format!("{path}.{field}"),
                format!("is {number}: must be at least {least}"),
            );
            None
        }
        Ok(number) => Some(number),
        Err(error) => {
            findings.add(&format!("{path}.{field}"), error.to_string());
            None
        }
    };
    let written = metric
        .count
        .as_ref()
        .map_or(Ok(0), crate::intstr::IntOrString::as_int);
    let count = read("count", written, 0);
    // -1 switches the limit off.
    let failures = read("failureLimit", metric.failure_limit(), -1);
    read("inconclusiveLimit", metric.inconclusive_limit(), 0);
    read("consecutiveErrorLimit", metric.consecutive_error_limit(), 0);
    let successes = read(
        "consecutiveSuccessLimit",
        metric.consecutive_success_limit(),
        0,
    );
    let Some(count) = count else { return };
    let path = format!("{path}.count");
    if count > 1 && metric.interval.is_none() {
        findings.add(
            &path,
            format!("is {count} without an interval: say how far apart the measurements are"),
        );
    }
    if count == 0 && metric.interval.is_some() && ending == Ending::MustEnd && successes == Some(0)
    {
        findings.add(
            &path,
            "is missing with an interval: the step would never end, say how many measurements",
        );
    }
    let needed = failures
        .unwrap_or(0)
        .max(0)
        .saturating_add(successes.unwrap_or(0));
    if count > 0 && count < needed {
        findings.add(
            &path,
            format!("is {count}: the limits can only be reached with {needed} or more"),
        );
    }
}

fn provider(path: &str, metric: &Metric, findings: &mut Findings) {
    let path = format!("{path}.provider");
    match metric.provider.given().as_slice() {
        [] => findings.add(
            &path,
            format!("is missing: write one of {}", PROVIDERS.join(", ")),
        ),
        [one] if !PROVIDERS.contains(one) => findings.add(
            &format!("{path}.{one}"),
            format!(
                "is a provider that nobody knows: write one of {}",
                PROVIDERS.join(", ")
            ),
        ),
        [one @ "plugin"] => findings.unsupported(&format!("{path}.{one}"), "a metric plugin"),
        [_] => provider_problems(&path, &metric.provider, findings),
        several => findings.add(
            &path,
            format!(
                "has more than one kind ({}): write exactly one",
                several.join(", ")
            ),
        ),
    }
}

#[cfg(test)]
mod tests;
