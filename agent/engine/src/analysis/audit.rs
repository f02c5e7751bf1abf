//! What no plan for an AnalysisRun may do.
//!
//! In: what was observed and planned. Out: violations. It must not share code with the engine it checks.

use agent_api::AnalysisPhase;

use super::{Action, Observed, Plan};
use crate::audit::Violation;

/// Checks a plan against the invariants.
pub fn audit(observed: &Observed, plan: &Plan) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut breaks = |rule: &'static str, detail: String| found.push(Violation { rule, detail });
    let before = observed.run.status.as_ref().and_then(|status| status.phase);
    let over = plan.status.phase.is_some_and(AnalysisPhase::is_completed);
    if before.is_some_and(AnalysisPhase::is_completed) && plan.status.phase != before {
        breaks(
            "verdict-is-final",
            format!("{before:?} became {:?}", plan.status.phase),
        );
    }
    let mut started = Vec::new();
    for action in &plan.actions {
        let Action::Measure { resolved, .. } = action else {
            continue;
        };
        if over {
            breaks("no-measurement-after-the-end", resolved.name.clone());
        }
        if observed.in_flight.contains(&resolved.name) || started.contains(&resolved.name) {
            breaks("one-measurement-at-a-time", resolved.name.clone());
        }
        started.push(resolved.name.clone());
    }
    if plan.status.phase == Some(AnalysisPhase::Successful) && observed.run.spec.dry_run.is_empty()
    {
        for result in &plan.status.metric_results {
            if result
                .phase
                .is_some_and(|phase| phase.is_completed() && phase != AnalysisPhase::Successful)
            {
                breaks("no-success-over-a-failure", result.name.clone());
            }
        }
    }
    if over != plan.status.completed_at.is_some() {
        breaks(
            "completed-at-with-the-verdict",
            format!("{:?}", plan.status.phase),
        );
    }
    let waits = plan.wake.is_some() || !started.is_empty() || !observed.in_flight.is_empty();
    if !over && !waits {
        breaks(
            "somebody-wakes-it",
            "nothing is under way and there is no wake".to_owned(),
        );
    }
    found
}
