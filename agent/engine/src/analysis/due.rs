//! What is measured now, and when the next is.
//!
//! In: the planned status, the metrics, the time. Out: measure and resume actions, the wake. It must not judge.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::end::give_up;
use super::prepared::Prepared;
use super::{Action, Observed, Plan, Reason, is_over, result, result_of};

/// Starts what is due, and goes on with what was waiting for its provider.
pub(super) fn measure(observed: &Observed, plan: &mut Plan, metrics: &[Prepared]) {
    let started = plan.status.started_at;
    let by_now = |stored| observed.clock_set.shifted(stored).timestamp();
    let started = started.map_or(observed.now, by_now);
    for (index, prepared) in metrics.iter().enumerate() {
        let metric = prepared.metric.name.clone();
        let known = result_of(&plan.status, &metric);
        if known.is_some_and(is_over) {
            continue;
        }
        if observed.in_flight.contains_key(&metric) {
            plan.reasons.push(Reason::Measuring { metric });
            continue;
        }
        let open = known.and_then(result::open).cloned();
        let due = match &open {
            Some(open) => open.resume_at.map_or(observed.now, by_now),
            None => {
                let last = known.and_then(|known| known.measurements.last());
                prepared.limits.due(started, last, &observed.clock_set)
            }
        };
        if due > observed.now {
            plan.reasons.push(match open {
                Some(_) => Reason::ResumesAt { metric, at: due },
                None => Reason::NextAt { metric, at: due },
            });
            wake_at(plan, due);
            continue;
        }
        let resolved = Box::new(prepared.metric.clone());
        plan.actions.push(match open {
            Some(open) => Action::Resume {
                metric: index,
                resolved,
                measurement: Box::new(open),
            },
            None => Action::Measure {
                metric: index,
                resolved,
            },
        });
        plan.reasons.push(Reason::Measuring { metric });
    }
}

/// The run is to end: the answers that could change its verdict are waited for, each until its time. What was not asked yet
/// is not asked any more.
pub(super) fn answers(observed: &Observed, plan: &mut Plan, last: BTreeMap<String, Timestamp>) {
    for (metric, asked) in &observed.in_flight {
        if asked.is_none() {
            give_up(plan, metric, None);
        }
    }
    for (metric, until) in last {
        plan.reasons.push(Reason::LastAnswer { metric, until });
        wake_at(plan, until);
    }
}

fn wake_at(plan: &mut Plan, at: Timestamp) {
    plan.wake = Some(plan.wake.map_or(at, |wake| wake.min(at)));
}
