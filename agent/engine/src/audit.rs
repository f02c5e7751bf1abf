//! Being filled in: what no plan may do.

use crate::observed::Observed;
use crate::plan::Plan;

/// A rule that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// What breaks it.
    pub detail: String,
}

/// Checks a plan against the invariants.
pub fn audit(_observed: &Observed, _plan: &Plan) -> Vec<Violation> {
    Vec::new()
}
