//! Measurements that need not be written one by one.
//!
//! In: what is observed, a finished plan, how many runs there are. Out: whether the planned status is written now or
//! can wait. An API server takes a few hundred writes a second; ten thousand runs with two metrics at ten seconds would be two
//! thousand. It must not hold back a phase, nor what a provider needs to be found again by.

use agent_api::{AnalysisPhase, AnalysisRunStatus, Measurement, MetricResult, StatusTime};
use jiff::{SignedDuration, Timestamp};

use super::{Observed, Plan};

/// Writes of measurements alone, of all runs together, are so far apart on average: a hundred a second, a third of what a
/// small API server takes. Up to a hundred runs at an interval of a second are so written at once.
const APART: SignedDuration = SignedDuration::from_millis(10);
/// However many runs there are, somebody who looks at one sees what was measured within this.
const LONGEST: SignedDuration = SignedDuration::from_secs(120);
/// Metrics that are measured together go into one write, when the rest of them answers within this.
const TOGETHER: SignedDuration = SignedDuration::from_secs(1);
/// How urgent the planned status is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// It says something that cannot wait, or changes nothing.
    Now,
    /// Measurements alone, which have waited long enough; they can wait for a moment with less to do.
    Soon,
    /// Measurements alone, not before then.
    Later(Timestamp),
}

/// How urgent a planned status is beside the one that is stored. `runs` is how many are being measured on this agent; what
/// is `observed` may have been planned before and not be stored.
pub fn writing(
    stored: Option<&AnalysisRunStatus>,
    observed: &Observed,
    plan: &Plan,
    runs: usize,
) -> Writing {
    let Some(before) = stored else {
        return Writing::Now;
    };
    if *before == plan.status || !measurements_only(before, &plan.status) {
        return Writing::Now;
    }
    let runs = i32::try_from(runs).unwrap_or(i32::MAX);
    let hold = APART.saturating_mul(runs).min(LONGEST);
    let ends = |status| ends(status).map(StatusTime::timestamp);
    let written = ends(before).max().unwrap_or(observed.now);
    let mut due = later(written, hold);
    let first = ends(&plan.status).filter(|at| *at > written).min();
    if let (false, Some(first)) = (observed.in_flight.is_empty(), first) {
        due = due.max(later(first, TOGETHER));
    }
    // A clock that went back holds nothing up.
    if written <= observed.now && observed.now < due {
        Writing::Later(due)
    } else {
        Writing::Soon
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

/// When the run began and each measurement ended; the last is not long before the status was written.
fn ends(status: &AnalysisRunStatus) -> impl Iterator<Item = StatusTime> {
    let results = status.metric_results.iter();
    let measurements = results.flat_map(|one| &one.measurements);
    let ends = measurements.filter_map(|one| one.finished_at);
    ends.chain(status.started_at)
}

/// How much a status has counted: of two statuses of one run the one with more is the later one.
#[must_use]
pub fn counted(status: &AnalysisRunStatus) -> i64 {
    let results = status.metric_results.iter();
    let counts = results.flat_map(|one| [one.count, one.error]);
    counts.flatten().map(i64::from).sum()
}

/// Whether two statuses differ in nothing but measurements that are over, and their numbers.
fn measurements_only(before: &AnalysisRunStatus, planned: &AnalysisRunStatus) -> bool {
    let same = AnalysisRunStatus {
        metric_results: before.metric_results.clone(),
        run_summary: before.run_summary.clone(),
        dry_run_summary: before.dry_run_summary.clone(),
        ..planned.clone()
    };
    same == *before
        && before.metric_results.len() <= planned.metric_results.len()
        && planned.metric_results.iter().all(|result| {
            match super::result_of(before, &result.name) {
                Some(known) => {
                    known == result
                        || (goes_on(known) && goes_on(result) && bad(known) == bad(result))
                }
                None => goes_on(result) && bad(result) == 0,
            }
        })
}

/// The metric has no verdict, and nothing of it is under way at its provider.
fn goes_on(result: &MetricResult) -> bool {
    let over = |one: &Measurement| one.phase.is_some_and(AnalysisPhase::is_completed);
    result.phase == Some(AnalysisPhase::Running) && result.measurements.iter().all(over)
}

/// Measurements that speak against the version. A limit above 0 counts on each, so none may be lost with the agent.
fn bad(result: &MetricResult) -> i64 {
    let counts = [result.failed, result.inconclusive];
    counts.into_iter().flatten().map(i64::from).sum()
}

#[cfg(test)]
mod tests;
