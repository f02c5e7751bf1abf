//! The engine of one AnalysisRun.
//!
//! In: `Observed`: the run, what was measured since, what is being measured, the time. Out: `Plan`: what to measure now,
//! the run's status, when to look again. It must not measure or read conditions: the shell hands in each measurement
//! already judged.
//!
//! [`reconcile`]: fill the arguments in; fold what was measured into each metric's result and judge it; end the run when
//! its metrics say so or somebody asks; else measure what is due. A run that is to end starts nothing more and waits for
//! the answers that are still to come and could change its verdict, so the verdict does not depend on which of two metrics
//! answers first; but not for long, and not for one that was not even asked.

pub mod audit;
pub mod conditions;
mod due;
mod end;
pub mod holding;
pub mod metric;
pub(crate) mod news;
mod pattern;
pub mod plan;
mod prepared;
mod result;
pub mod template;
#[cfg(test)]
mod tests;
pub mod told;

use std::collections::BTreeMap;

use agent_api::{AnalysisPhase, AnalysisRun, AnalysisRunStatus, MetricResult};
use jiff::Timestamp;

use crate::clock::ClockSet;
pub use audit::audit;
use conditions::BadConditions;
use end::Standing;
pub use plan::{Action, Plan, Reason};
pub use prepared::Error;
pub use told::Told;

/// Everything one decision is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The time of the decision.
    pub now: Timestamp,
    /// How far the wall clock was set since the times of `clock::of_run` were stored.
    pub clock_set: ClockSet,
    /// The run as stored.
    pub run: AnalysisRun,
    /// Measurements that ended since the status was written, in order.
    pub finished: Vec<Finished>,
    /// Metrics that are being measured: each with the time at which it was asked, or none while it waits for its turn.
    pub in_flight: BTreeMap<String, Option<Timestamp>>,
    /// Those of `conditions::of_run` that cannot be used.
    pub bad_conditions: BadConditions,
    /// What its owner knows of it.
    pub told: Told,
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
    let mut plan = Plan {
        actions: Vec::new(),
        status: observed.run.status.clone().unwrap_or_default(),
        reasons: Vec::new(),
        wake: None,
    };
    if let Some(phase) = plan.status.phase.filter(|phase| phase.is_completed()) {
        plan.reasons.push(Reason::Over { phase });
        end::time_to_live(observed, &mut plan);
        return plan;
    }
    plan.status.started_at = plan.status.started_at.or(Some(observed.now.into()));
    plan.status.phase = Some(AnalysisPhase::Running);
    let metrics = match prepared::prepared(&observed.run, &observed.bad_conditions) {
        Ok(metrics) => metrics,
        Err(error) => {
            let why = error.to_string();
            plan.reasons.push(Reason::Unusable { why: why.clone() });
            end::close(observed, &mut plan, &[], AnalysisPhase::Error, Some(why));
            return plan;
        }
    };
    for metric in &metrics {
        result::fold(&observed.finished, &mut plan.status, metric);
    }
    if observed.run.spec.terminate == Some(true) {
        plan.reasons.push(Reason::Terminated);
    }
    match end::standing(observed, &plan.status, &metrics) {
        Standing::Over { phase, message } => {
            end::close(observed, &mut plan, &metrics, phase, message);
        }
        Standing::Ends(last) => due::answers(observed, &mut plan, last),
        Standing::GoesOn => due::measure(observed, &mut plan, &metrics),
    }
    end::summarize(&mut plan.status, &metrics);
    plan
}

/// The result of a metric, once it has one.
fn result_of<'a>(status: &'a AnalysisRunStatus, metric: &str) -> Option<&'a MetricResult> {
    let mut results = status.metric_results.iter();
    results.find(|result| result.name == metric)
}

/// The metric has its verdict.
fn is_over(result: &MetricResult) -> bool {
    result.phase.is_some_and(AnalysisPhase::is_completed)
}
