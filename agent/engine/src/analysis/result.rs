//! The result of one metric: its measurements, counted and judged.
//!
//! In: measurements that ended, or legs of them. Out: the metric's part of the status. It must not end a run.

use agent_api::{AnalysisPhase, AnalysisRunStatus, Measurement, Metric, MetricResult, StatusTime};
use jiff::{SignedDuration, Timestamp};

use super::Finished;
use super::is_over;
use super::metric::verdict;
use super::prepared::Prepared;

/// A provider that needs time and does not say how much is asked again after this.
const RESUME_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// Where clients look for the query of a Prometheus metric, arguments filled in.
const RESOLVED_PROMETHEUS_QUERY: &str = "ResolvedPrometheusQuery";

/// Takes the finished measurements of one metric into its result, and judges it after each.
pub(super) fn fold(finished: &[Finished], status: &mut AnalysisRunStatus, metric: &Prepared) {
    let name = &metric.metric.name;
    let mut fresh = finished.iter().filter(|one| one.metric == *name).peekable();
    let known = status
        .metric_results
        .iter()
        .position(|result| result.name == *name);
    let place = match known {
        Some(place) => place,
        None if fresh.peek().is_none() => return,
        None => {
            status.metric_results.push(MetricResult {
                name: name.clone(),
                dry_run: metric.dry_run.then_some(true),
                metadata: described(&metric.metric),
                ..MetricResult::default()
            });
            status.metric_results.len().saturating_sub(1)
        }
    };
    let Some(result) = status.metric_results.get_mut(place) else {
        return;
    };
    for one in fresh {
        if is_over(result) {
            break;
        }
        take(result, one);
        judge(metric, result, one);
    }
    let surplus = result.measurements.len().saturating_sub(metric.kept);
    result.measurements.drain(..surplus);
}

fn judge(metric: &Prepared, result: &mut MetricResult, one: &Finished) {
    let (phase, message) = verdict(&metric.limits, result);
    result.phase = Some(phase);
    let errored = one
        .message
        .clone()
        .filter(|_| phase == AnalysisPhase::Error);
    result.message = match (message, errored) {
        (Some(message), Some(error)) => Some(format!("{message}: \"Error Message: {error}\"")),
        (message, _) => message,
    };
}

/// What is known of a metric beside its measurements.
fn described(metric: &Metric) -> std::collections::BTreeMap<String, String> {
    let prometheus = metric.provider.prometheus.as_ref();
    let query = prometheus.and_then(|prometheus| prometheus.query.clone());
    let named = query.map(|query| (RESOLVED_PROMETHEUS_QUERY.to_owned(), query));
    named.into_iter().collect()
}

/// Counts one measurement, or notes the leg of one that goes on.
fn take(result: &mut MetricResult, one: &Finished) {
    let phase = counted(one);
    if phase != AnalysisPhase::Running {
        count(result, phase);
    }
    let running = phase == AnalysisPhase::Running;
    let again = one
        .resume_at
        .or(one.finished_at.checked_add(RESUME_AFTER).ok());
    // A leg of the measurement that is there already.
    let begun = result.measurements.pop_if(|last| is_open(last));
    let started_at = begun.and_then(|begun| begun.started_at);
    result.measurements.push(Measurement {
        phase: Some(phase),
        message: one.message.clone(),
        started_at: started_at.or(Some(one.started_at.into())),
        finished_at: (!running).then(|| one.finished_at.into()),
        value: one.value.clone(),
        metadata: one.metadata.clone(),
        resume_at: again.filter(|_| running).map(StatusTime::from),
        ..Measurement::default()
    });
}

/// A measurement that has no verdict and no time to go on is an error.
fn counted(one: &Finished) -> AnalysisPhase {
    match one.phase {
        AnalysisPhase::Pending => AnalysisPhase::Error,
        AnalysisPhase::Successful
        | AnalysisPhase::Running
        | AnalysisPhase::Inconclusive
        | AnalysisPhase::Error
        | AnalysisPhase::Failed => one.phase,
    }
}

fn count(result: &mut MetricResult, phase: AnalysisPhase) {
    let add = |count: &mut Option<i32>| *count = Some(count.unwrap_or(0).saturating_add(1));
    let errors = std::mem::take(&mut result.consecutive_error);
    let successes = std::mem::take(&mut result.consecutive_success);
    match phase {
        AnalysisPhase::Successful => {
            add(&mut result.successful);
            add(&mut result.count);
            result.consecutive_success = successes;
            add(&mut result.consecutive_success);
        }
        AnalysisPhase::Failed => {
            add(&mut result.failed);
            add(&mut result.count);
        }
        AnalysisPhase::Inconclusive => {
            add(&mut result.inconclusive);
            add(&mut result.count);
        }
        AnalysisPhase::Error | AnalysisPhase::Running | AnalysisPhase::Pending => {
            add(&mut result.error);
            result.consecutive_error = errors;
            add(&mut result.consecutive_error);
        }
    }
}

/// The measurement for which the provider needs time, if the metric has one.
pub(super) fn open(result: &MetricResult) -> Option<&Measurement> {
    result.measurements.last().filter(|last| is_open(last))
}

fn is_open(measurement: &Measurement) -> bool {
    let over = measurement.phase.is_some_and(AnalysisPhase::is_completed);
    !over && measurement.finished_at.is_none()
}

/// Ends the open measurement of a metric. It counts for nothing: nothing was measured.
pub(super) fn terminate(result: &mut MetricResult, now: Timestamp) {
    let Some(last) = result.measurements.last_mut().filter(|last| is_open(last)) else {
        return;
    };
    last.phase = Some(AnalysisPhase::Successful);
    last.message = Some(TERMINATED.to_owned());
    last.finished_at = Some(now.into());
    last.resume_at = None;
}

/// What clients know a measurement by that was ended before it had a value.
pub(super) const TERMINATED: &str = "metric terminated";

#[cfg(test)]
mod tests;
