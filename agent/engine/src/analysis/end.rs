//! The end of a run.
//!
//! In: the metrics' results, what is being measured, a request to end. Out: whether it is over and as what; the status of a
//! run that is over; its deletion in time. It must not measure.

use std::collections::BTreeMap;

use agent_api::{AnalysisPhase, AnalysisRunStatus, MetricResult, RunSummary};
use jiff::{SignedDuration, Timestamp};

use super::prepared::Prepared;
use super::result::{self, TERMINATED};
use super::told::Told;
use super::{Action, Observed, Plan, Reason, is_over, result_of};

/// Message of a metric that the run's end came before.
const ENDED_EARLY: &str = "ended with the run, before a verdict of its own";
/// Message of a run that somebody ended.
const RUN_TERMINATED: &str = "Run Terminated";

/// How long the end of a run waits for answers that are still to come: what takes longer is no answer to a question whose
/// other half is bad news already, and an abort waits for this.
const LAST_ANSWERS: SignedDuration = SignedDuration::from_secs(30);

/// How long a run is kept whose owner does not name it: it may not have come to it yet, or be done with it.
const UNNAMED: SignedDuration = SignedDuration::from_secs(120);
/// When to look again whether a run's owner knows how it ended: nothing tells of that, and it takes no request.
const OWNER_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It goes on.
    GoesOn,
    /// It is to end; these answers, which could change its verdict, are still to come, each until its time.
    Ends(BTreeMap<String, Timestamp>),
    /// It is over.
    Over {
        /// As what.
        phase: AnalysisPhase,
        /// Why.
        message: Option<String>,
    },
}

/// Whether the run's end has come: by its worst metric, by request, or because all is measured.
pub(super) fn standing(
    observed: &Observed,
    status: &AnalysisRunStatus,
    metrics: &[Prepared],
) -> Standing {
    let worst = worst(status, metrics);
    let bad = worst.filter(|worst| worst.phase != Some(AnalysisPhase::Successful));
    let asked = observed.run.spec.terminate == Some(true);
    if bad.is_none() && !asked {
        return if all_measured(status, metrics) {
            Standing::Over {
                phase: AnalysisPhase::Successful,
                message: None,
            }
        } else {
            Standing::GoesOn
        };
    }
    let phase = bad.and_then(|bad| bad.phase);
    let phase = phase.unwrap_or(AnalysisPhase::Successful);
    let ended = began(observed, status, metrics);
    let last = metrics.iter().filter_map(|metric| {
        let until = waits(observed, metric, phase, ended)?;
        Some((metric.metric.name.clone(), until))
    });
    let last: BTreeMap<String, Timestamp> = last.collect();
    if !last.is_empty() {
        return Standing::Ends(last);
    }
    let message = bad.and_then(|bad| bad.message.clone());
    let by_request = message.is_none() && asked;
    Standing::Over {
        phase,
        message: message.or_else(|| by_request.then(|| RUN_TERMINATED.to_owned())),
    }
}

/// Until when the answer that is under way is waited for. It could make the verdict worse; or it may leave a Job behind that
/// is better known to be ended. The time counts from the end, if that is known, and else from the question: a question that
/// was not asked when the end came is given up.
fn waits(
    observed: &Observed,
    metric: &Prepared,
    phase: AnalysisPhase,
    ended: Option<Timestamp>,
) -> Option<Timestamp> {
    let could_be_worse = phase != AnalysisPhase::Failed && !metric.dry_run;
    let leaves_something = metric.metric.provider.job.is_some();
    let asked = (*observed.in_flight.get(&metric.metric.name)?)?;
    let from = ended.map_or(asked, |ended| ended.max(asked));
    let until = from.checked_add(LAST_ANSWERS).ok()?;
    ((could_be_worse || leaves_something) && observed.now < until).then_some(until)
}

/// When the end began: with the first metric that went wrong, which had its verdict at its last measurement.
fn began(
    observed: &Observed,
    status: &AnalysisRunStatus,
    metrics: &[Prepared],
) -> Option<Timestamp> {
    let wrong = counting_and_over(status, metrics)
        .filter(|result| result.phase != Some(AnalysisPhase::Successful));
    let ends = wrong.filter_map(|result| result.measurements.last()?.finished_at);
    ends.map(|end| observed.clock_set.shifted(end).timestamp())
        .min()
}

/// The worst metric that counts and is over; of several the first.
fn worst<'a>(status: &'a AnalysisRunStatus, metrics: &[Prepared]) -> Option<&'a MetricResult> {
    let over = counting_and_over(status, metrics);
    over.rev().max_by_key(|result| result.phase)
}

fn counting_and_over<'a>(
    status: &'a AnalysisRunStatus,
    metrics: &[Prepared],
) -> impl DoubleEndedIterator<Item = &'a MetricResult> {
    let counting = metrics.iter().filter(|metric| !metric.dry_run);
    let results = counting.filter_map(|metric| result_of(status, &metric.metric.name));
    results.filter(|result| is_over(result))
}

/// Every metric has its verdict. Dry runs are measured to their end too, unless they have none and another metric has.
fn all_measured(status: &AnalysisRunStatus, metrics: &[Prepared]) -> bool {
    let counting = metrics.iter().any(|metric| !metric.dry_run);
    let missing = |metric: &Prepared| {
        let open = !result_of(status, &metric.metric.name).is_some_and(is_over);
        open && (!counting || !metric.dry_run || metric.limits.count.is_some())
    };
    !metrics.iter().any(missing)
}

/// The run is over: what is under way is given up or ended, metrics without a verdict get one.
pub(super) fn close(
    observed: &Observed,
    plan: &mut Plan,
    metrics: &[Prepared],
    phase: AnalysisPhase,
    message: Option<String>,
) {
    for (metric, asked) in &observed.in_flight {
        give_up(plan, metric, *asked);
    }
    for (index, prepared) in metrics.iter().enumerate() {
        let known = result_of(&plan.status, &prepared.metric.name);
        if let Some(open) = known.and_then(result::open) {
            plan.actions.push(Action::Terminate {
                metric: index,
                resolved: Box::new(prepared.metric.clone()),
                measurement: Box::new(open.clone()),
            });
        }
    }
    for known in &mut plan.status.metric_results {
        if is_over(known) {
            continue;
        }
        let open = result::open(known).is_some();
        result::terminate(known, observed.now);
        known.phase = Some(AnalysisPhase::Successful);
        known.message = Some(if open { TERMINATED } else { ENDED_EARLY }.to_owned());
    }
    plan.status.phase = Some(phase);
    plan.status.message = message;
    plan.status.completed_at = Some(observed.now.into());
    plan.reasons.push(Reason::Over { phase });
    time_to_live(observed, plan);
}

/// A measurement that nobody waits for any more.
pub(super) fn give_up(plan: &mut Plan, metric: &str, asked: Option<Timestamp>) {
    plan.actions.push(Action::Cancel {
        metric: metric.to_owned(),
    });
    plan.reasons.push(Reason::GivenUp {
        metric: metric.to_owned(),
        asked,
    });
}

/// Counts metrics by outcome, those that count apart from those that do not.
pub(super) fn summarize(status: &mut AnalysisRunStatus, metrics: &[Prepared]) {
    let (run, dry_run) = (
        summary(status, metrics, false),
        summary(status, metrics, true),
    );
    status.dry_run_summary = (dry_run.count != Some(0)).then_some(dry_run);
    status.run_summary = Some(run);
}

fn summary(status: &AnalysisRunStatus, metrics: &[Prepared], dry_run: bool) -> RunSummary {
    let all = || metrics.iter().filter(|metric| metric.dry_run == dry_run);
    let of = |phase: AnalysisPhase| {
        let phases = all().filter_map(|metric| result_of(status, &metric.metric.name)?.phase);
        let count = phases.filter(|one| *one == phase).count();
        (count > 0).then(|| i32::try_from(count).unwrap_or(i32::MAX))
    };
    RunSummary {
        count: Some(i32::try_from(all().count()).unwrap_or(i32::MAX)),
        successful: of(AnalysisPhase::Successful),
        failed: of(AnalysisPhase::Failed),
        inconclusive: of(AnalysisPhase::Inconclusive),
        error: of(AnalysisPhase::Error),
        ..RunSummary::default()
    }
}

/// Deletes a run that has lived long enough after its end, and whose owner knows of that.
pub(super) fn time_to_live(observed: &Observed, plan: &mut Plan) {
    let Some(strategy) = &observed.run.spec.ttl_strategy else {
        return;
    };
    let by_phase = match plan.status.phase {
        Some(AnalysisPhase::Successful) => strategy.seconds_after_success,
        Some(AnalysisPhase::Failed | AnalysisPhase::Error | AnalysisPhase::Inconclusive) => {
            strategy.seconds_after_failure
        }
        Some(AnalysisPhase::Running | AnalysisPhase::Pending) | None => return,
    };
    let (Some(seconds), Some(over)) = (
        by_phase.or(strategy.seconds_after_completion),
        plan.status.completed_at,
    ) else {
        return;
    };
    let lives = SignedDuration::from_secs(i64::from(seconds));
    let over = observed.clock_set.shifted(over);
    let at = |after: SignedDuration| {
        let at = over.timestamp().checked_add(after);
        at.unwrap_or(Timestamp::MAX)
    };
    if at(lives) > observed.now {
        plan.wake = Some(at(lives));
        return;
    }
    let again = match observed.told {
        Told::Named(known) if known != plan.status.phase => {
            observed.now.checked_add(OWNER_AGAIN).ok()
        }
        Told::Unnamed => Some(at(lives.max(UNNAMED))).filter(|at| *at > observed.now),
        Told::Named(_) | Told::NoOwner => None,
    };
    match again {
        None => plan.actions.push(Action::DeleteRun),
        Some(at) => {
            plan.reasons.push(Reason::OwnerFirst { at });
            plan.wake = Some(at);
        }
    }
}
