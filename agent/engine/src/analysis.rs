//! The engine of one AnalysisRun.
//!
//! In: `Observed`: the run, what was measured since, what is being measured, the time. Out: `Plan`: what to measure now,
//! the run's status, when to look again. It must not measure or read conditions: the shell hands in each measurement
//! already judged.

pub mod audit;
pub mod metric;
pub mod plan;
pub mod template;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use agent_api::{
    AnalysisPhase, AnalysisRun, AnalysisRunStatus, Measurement, Metric, MetricResult, RunSummary,
    StatusTime,
};
use jiff::{SignedDuration, Timestamp};

pub use audit::audit;
use metric::{Limits, verdict};
pub use plan::{Action, Plan, Reason};

/// Measurements kept in the status when the run does not say.
const KEPT_MEASUREMENTS: usize = 10;

/// Everything one decision is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The time of the decision.
    pub now: Timestamp,
    /// The run as stored.
    pub run: AnalysisRun,
    /// Measurements that ended since the status was written, in order.
    pub finished: Vec<Finished>,
    /// Names of metrics that are being measured.
    pub in_flight: BTreeSet<String>,
}

/// One measurement, judged by the metric's conditions; or one leg of it, when the provider needs time.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The metric.
    pub metric: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended, or this leg of it.
    pub finished_at: Timestamp,
    /// When the provider is to be asked again; the phase is Running then, and what to know is in `metadata`.
    pub resume_at: Option<Timestamp>,
    /// Successful, Failed, Inconclusive or Error; Running when the provider needs time.
    pub phase: AnalysisPhase,
    /// What was measured, as text.
    pub value: Option<String>,
    /// Why it is an error.
    pub message: Option<String>,
    /// What the provider adds.
    pub metadata: BTreeMap<String, String>,
}

/// Decides what to do about one run.
pub fn reconcile(observed: &Observed) -> Plan {
    let status = observed.run.status.clone().unwrap_or_default();
    let mut plan = Plan {
        actions: Vec::new(),
        status,
        reasons: Vec::new(),
        wake: None,
    };
    if let Some(phase) = plan.status.phase.filter(|phase| phase.is_completed()) {
        plan.reasons.push(Reason::Over { phase });
        time_to_live(observed, &mut plan);
        return plan;
    }
    plan.status.started_at = plan.status.started_at.or(Some(observed.now.into()));
    plan.status.phase = Some(AnalysisPhase::Running);
    let metrics = match usable(observed) {
        Ok(metrics) => metrics,
        Err(why) => {
            plan.reasons.push(Reason::Unusable {
                why: why.to_string(),
            });
            close(
                observed,
                &mut plan,
                AnalysisPhase::Error,
                Some(why.to_string()),
            );
            return plan;
        }
    };
    for (metric, limits) in &metrics {
        fold(observed, &mut plan.status, metric, limits);
    }
    if observed.run.spec.terminate == Some(true) {
        plan.reasons.push(Reason::Terminated);
    }
    match ended(observed, &plan.status, &metrics) {
        Some((phase, message)) => close(observed, &mut plan, phase, message),
        None => measure(observed, &mut plan, &metrics),
    }
    summarize(observed, &mut plan.status);
    plan
}

/// Every metric filled in and with readable limits, or why not.
fn usable(observed: &Observed) -> Result<Vec<(Metric, Limits)>, template::Error> {
    let spec = &observed.run.spec;
    if spec.metrics.is_empty() {
        return Err(template::Error::NoMetrics);
    }
    let each = spec.metrics.iter().map(|metric| {
        let metric = crate::args::resolved(metric, &spec.args)?;
        let limits = Limits::of(&metric)?;
        Ok((metric, limits))
    });
    each.collect()
}

/// Takes the finished measurements of one metric into its result, and judges it.
fn fold(observed: &Observed, status: &mut AnalysisRunStatus, metric: &Metric, limits: &Limits) {
    let fresh: Vec<&Finished> = observed
        .finished
        .iter()
        .filter(|one| one.metric == metric.name)
        .collect();
    let known = status
        .metric_results
        .iter()
        .any(|result| result.name == metric.name);
    if fresh.is_empty() && !known {
        return;
    }
    if !known {
        let dry_run = dry(observed, &metric.name).then_some(true);
        status.metric_results.push(MetricResult {
            name: metric.name.clone(),
            dry_run,
            ..MetricResult::default()
        });
    }
    let kept = kept(observed, &metric.name);
    let Some(result) = status
        .metric_results
        .iter_mut()
        .find(|result| result.name == metric.name)
    else {
        return;
    };
    if result.phase.is_some_and(AnalysisPhase::is_completed) {
        return;
    }
    for one in fresh {
        take(result, one);
        let (phase, message) = verdict(limits, result);
        result.phase = Some(phase);
        result.message = message.or_else(|| {
            one.message
                .clone()
                .filter(|_| phase == AnalysisPhase::Error)
        });
        if phase.is_completed() {
            break;
        }
    }
    let surplus = result.measurements.len().saturating_sub(kept);
    result.measurements.drain(..surplus);
}

fn take(result: &mut MetricResult, one: &Finished) {
    let add = |count: &mut Option<i32>| *count = Some(count.unwrap_or(0).saturating_add(1));
    match one.phase {
        AnalysisPhase::Successful => {
            add(&mut result.successful);
            add(&mut result.count);
            add(&mut result.consecutive_success);
            result.consecutive_error = None;
        }
        AnalysisPhase::Failed => {
            add(&mut result.failed);
            add(&mut result.count);
            result.consecutive_success = None;
            result.consecutive_error = None;
        }
        AnalysisPhase::Inconclusive => {
            add(&mut result.inconclusive);
            add(&mut result.count);
            result.consecutive_success = None;
            result.consecutive_error = None;
        }
        // A measurement that has no verdict is none.
        AnalysisPhase::Error | AnalysisPhase::Running | AnalysisPhase::Pending => {
            add(&mut result.error);
            add(&mut result.consecutive_error);
            result.consecutive_success = None;
        }
    }
    let phase = if one.phase.is_completed() {
        one.phase
    } else {
        AnalysisPhase::Error
    };
    result.measurements.push(Measurement {
        phase: Some(phase),
        message: one.message.clone(),
        started_at: Some(one.started_at.into()),
        finished_at: Some(one.finished_at.into()),
        value: one.value.clone(),
        metadata: one.metadata.clone(),
        ..Measurement::default()
    });
}

/// The run's end, if it has come: the worst metric's, or by request.
fn ended(
    observed: &Observed,
    status: &AnalysisRunStatus,
    metrics: &[(Metric, Limits)],
) -> Option<(AnalysisPhase, Option<String>)> {
    let counting: Vec<&str> = metrics
        .iter()
        .map(|(metric, _)| metric.name.as_str())
        .filter(|name| !dry(observed, name))
        .collect();
    let results = || {
        status
            .metric_results
            .iter()
            .filter(|result| counting.contains(&result.name.as_str()))
    };
    let over = |result: &&MetricResult| result.phase.is_some_and(AnalysisPhase::is_completed);
    let worst = results().filter(over).max_by_key(|result| result.phase);
    if let Some(worst) = worst.filter(|worst| worst.phase != Some(AnalysisPhase::Successful)) {
        return Some((worst.phase.unwrap_or_default(), worst.message.clone()));
    }
    if observed.run.spec.terminate == Some(true) {
        return Some((
            AnalysisPhase::Successful,
            Some("the run was ended by request".to_owned()),
        ));
    }
    let all_dry = counting.is_empty();
    let done = if all_dry {
        status.metric_results.iter().filter(over).count() == metrics.len()
    } else {
        // Dry runs are measured to their end too, unless they have none.
        let waits = |(metric, limits): &&(Metric, Limits)| {
            let result = status
                .metric_results
                .iter()
                .find(|result| result.name == metric.name);
            let open = !result.is_some_and(|result| over(&result));
            open && (limits.count.is_some() || counting.contains(&metric.name.as_str()))
        };
        !metrics.iter().any(|one| waits(&one))
    };
    done.then_some((AnalysisPhase::Successful, None))
}

/// The run is over: what is under way is given up, metrics without a verdict get one.
fn close(observed: &Observed, plan: &mut Plan, phase: AnalysisPhase, message: Option<String>) {
    for metric in &observed.in_flight {
        plan.actions.push(Action::Cancel {
            metric: metric.clone(),
        });
    }
    for result in &mut plan.status.metric_results {
        if !result.phase.is_some_and(AnalysisPhase::is_completed) {
            result.phase = Some(AnalysisPhase::Successful);
            result.message = Some("ended before its count was reached".to_owned());
        }
    }
    plan.status.phase = Some(phase);
    plan.status.message = message;
    plan.status.completed_at = Some(observed.now.into());
    plan.reasons.push(Reason::Over { phase });
    time_to_live(observed, plan);
}

/// Starts what is due.
fn measure(observed: &Observed, plan: &mut Plan, metrics: &[(Metric, Limits)]) {
    let started = plan
        .status
        .started_at
        .map_or(observed.now, StatusTime::timestamp);
    for (index, (metric, limits)) in metrics.iter().enumerate() {
        let result = plan
            .status
            .metric_results
            .iter()
            .find(|result| result.name == metric.name);
        if result
            .and_then(|result| result.phase)
            .is_some_and(AnalysisPhase::is_completed)
        {
            continue;
        }
        if observed.in_flight.contains(&metric.name) {
            plan.reasons.push(Reason::Measuring {
                metric: metric.name.clone(),
            });
            continue;
        }
        let due = limits.due(
            started,
            result.and_then(|result| result.measurements.last()),
        );
        if due <= observed.now {
            plan.actions.push(Action::Measure {
                metric: index,
                resolved: Box::new(metric.clone()),
            });
            plan.reasons.push(Reason::Measuring {
                metric: metric.name.clone(),
            });
        } else {
            plan.reasons.push(Reason::NextAt {
                metric: metric.name.clone(),
                at: due,
            });
            plan.wake = Some(plan.wake.map_or(due, |wake| wake.min(due)));
        }
    }
}

fn summarize(observed: &Observed, status: &mut AnalysisRunStatus) {
    let all = |wanted: bool| {
        observed
            .run
            .spec
            .metrics
            .iter()
            .filter(move |metric| dry(observed, &metric.name) == wanted)
    };
    let summary = |wanted: bool| {
        let phases = || {
            all(wanted).filter_map(|metric| {
                status
                    .metric_results
                    .iter()
                    .find(|result| result.name == metric.name)
                    .and_then(|result| result.phase)
            })
        };
        let of = |phase: AnalysisPhase| {
            let count = phases().filter(|one| *one == phase).count();
            (count > 0).then(|| i32::try_from(count).unwrap_or(i32::MAX))
        };
        RunSummary {
            count: Some(i32::try_from(all(wanted).count()).unwrap_or(i32::MAX)),
            successful: of(AnalysisPhase::Successful),
            failed: of(AnalysisPhase::Failed),
            inconclusive: of(AnalysisPhase::Inconclusive),
            error: of(AnalysisPhase::Error),
            ..RunSummary::default()
        }
    };
    let (run, dry_run) = (summary(false), summary(true));
    status.dry_run_summary = (dry_run.count != Some(0)).then_some(dry_run);
    status.run_summary = Some(run);
}

fn time_to_live(observed: &Observed, plan: &mut Plan) {
    let Some(strategy) = &observed.run.spec.ttl_strategy else {
        return;
    };
    let by_phase = if plan.status.phase == Some(AnalysisPhase::Successful) {
        strategy.seconds_after_success
    } else {
        strategy.seconds_after_failure
    };
    let (Some(seconds), Some(over)) = (
        by_phase.or(strategy.seconds_after_completion),
        plan.status.completed_at,
    ) else {
        return;
    };
    let at = over.saturating_add(SignedDuration::from_secs(i64::from(seconds)));
    if at <= observed.now {
        plan.actions.push(Action::DeleteRun);
    } else {
        plan.wake = Some(at);
    }
}

/// The metric's result does not count. Names are matched as they are, or all of them by `.*` or `*`.
fn dry(observed: &Observed, metric: &str) -> bool {
    observed
        .run
        .spec
        .dry_run
        .iter()
        .any(|one| names(&one.metric_name, metric))
}

fn kept(observed: &Observed, metric: &str) -> usize {
    let retention = observed
        .run
        .spec
        .measurement_retention
        .iter()
        .find(|one| names(&one.metric_name, metric));
    let limit = retention
        .and_then(|one| usize::try_from(one.limit).ok())
        .filter(|limit| *limit > 0);
    limit.unwrap_or(KEPT_MEASUREMENTS)
}

fn names(pattern: &str, metric: &str) -> bool {
    pattern == metric || matches!(pattern, "*" | ".*")
}
