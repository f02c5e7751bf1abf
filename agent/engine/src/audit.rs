//! What no plan may do, whoever made it.
//!
//! In: what was observed and what was planned. Out: violations. It must not ask the engine what it would do: it reads the
//! observation with the same eyes (`sets`, `gate::observe`), and judges the plan by rules of its own.

mod blue_green;
mod claims;
mod duration;
mod evictions;
mod gate;
mod glass;
mod objects;
mod pods;
mod steps;
mod traffic;
mod view;
mod workload;

use crate::observed::Observed;
use crate::plan::Plan;
use view::View;

/// A rule that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// What breaks it.
    pub detail: String,
}

/// Every rule, for tests that have to break each.
pub const RULES: [&str; 54] = [
    "held-makes-no-set",
    "refused-waits",
    "held-keeps-status",
    "max-step",
    "lease-ends-raising",
    "record-before-effect",
    "outcome-rises",
    "spent-stays-spent",
    "served-names-its-release",
    "lease-is-not-lengthened",
    "served-is-complete",
    "enough-available",
    "not-too-many",
    "kept-stable-stays",
    "weight-of-the-step",
    "scale-from-what-is",
    "promotion-needs-pods",
    "abort-stays",
    "aborted-gets-no-weight",
    "analysis-before-progress",
    "pause-before-progress",
    "person-pauses",
    "paused-starts-nothing",
    "names-are-repeatable",
    "names-are-new",
    "revision-rises",
    "nothing-in-use-is-deleted",
    "status-is-whole",
    "times-are-of-the-past",
    "evicts-old-pods",
    "evicts-few",
    "restart-sees-all",
    "template-is-content",
    "pods-stay-found",
    "workload-gives-way-to-ready-pods",
    "workload-generation-is-noted",
    "duration-adds-up",
    "taken-back-grows-nothing",
    "active-has-pods",
    "active-keeps-pods",
    "stable-keeps-pods",
    "aborted-is-not-active",
    "held-switches-nothing",
    "switch-is-permitted",
    "promotion-was-waited-for",
    "traffic-has-pods",
    "weight-needs-pods",
    "promotion-needs-traffic",
    "service-needs-pods",
    "background-is-heard",
    "claims-by-selector",
    "experiment-of-the-step",
    "break-glass-once",
    "stop-holds-the-step",
];

/// Checks a plan against the invariants.
pub fn audit(observed: &Observed, plan: &Plan) -> Vec<Violation> {
    // A Rollout on its way out gets no writes, and its status is nobody's business any more.
    if observed.rollout.metadata.deletion_timestamp.is_some() && plan.actions.is_empty() {
        return Vec::new();
    }
    let view = View::of(observed, plan);
    let mut found = Vec::new();
    gate::check(&view, &mut found);
    glass::check(&view, &mut found);
    pods::check(&view, &mut found);
    steps::check(&view, &mut found);
    traffic::check(&view, &mut found);
    objects::check(&view, &mut found);
    evictions::check(&view, &mut found);
    workload::check(&view, &mut found);
    duration::check(&view, &mut found);
    blue_green::check(&view, &mut found);
    claims::check(&view, &mut found);
    found
}
