//! The agent's decision engine: what is known about one Rollout in, what to write out.
//!
//! In: `Observed`, plain data with the time in it. Out: `Plan`. It must not do I/O of any kind: no clock, no environment,
//! no files, no network, no threads, no randomness (`clippy.toml` beside this crate forbids the calls).

pub mod observed;
pub mod plan;
#[cfg(feature = "planted")]
pub mod planted;
pub mod reason;

pub use observed::{GateObserved, GateRecord, Governance, HubContact, Kept, Observed, TemplateKey, Templates};
pub use plan::{Action, Event, EventKind, GateChange, KeepTemplate, Plan};
pub use reason::Reason;

/// Decides what to do about one Rollout. Total and deterministic: the same input gives the same plan.
pub fn reconcile(observed: &Observed) -> Plan {
    let status = observed.rollout.status.clone().unwrap_or_default();
    Plan { actions: Vec::new(), status, reasons: Vec::new(), wake: None }
}

/// A rule that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule, in one word.
    pub rule: &'static str,
    /// What breaks it.
    pub detail: String,
}

/// Checks a plan against the invariants.
pub fn audit(_observed: &Observed, _plan: &Plan) -> Vec<Violation> {
    Vec::new()
}
