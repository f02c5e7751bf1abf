//! Being written.
use crate::observed::Observed;
use crate::plan::Plan;

/// An invariant that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, e.g. `S1`.
    pub rule: &'static str,
    /// What breaks it.
    pub message: String,
}

/// Checks a plan against the invariants. Empty: none is broken.
#[must_use]
pub fn audit(_observed: &Observed, _plan: &Plan) -> Vec<Violation> {
    Vec::new()
}
