//! The plan that may be committed. In: `Observed`. Out: what `reconcile` plans, where the audit finds nothing; else a plan that
//! starts nothing and goes on telling the clusters what persons stop, with what the audit found. It must not mend a plan.

use crate::audit::{Violation, audit};
use crate::observed::Observed;
use crate::plan::Plan;
use crate::planted::Bug;
use crate::reconcile::{reconcile_with, restrained};

/// One bug breaks a rule in every cluster: so many tell what it is.
const TOLD_MAX: usize = 3;

/// A plan that the audit lets pass.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a plan that is not applied has no effect"]
pub struct Decided {
    /// To be committed.
    pub plan: Plan,
    /// What is wrong with the plan that it stands for; empty: nothing, it is that plan.
    pub refused: String,
}

/// The plan for what is observed. Pure, total and deterministic.
///
/// # Errors
/// What is wrong even with a plan that starts nothing.
pub fn decide(observed: &Observed) -> Result<Decided, String> {
    decide_with(observed, Bug::default())
}

/// [`decide`] with a bug; for tests.
///
/// # Errors
/// As `decide`.
pub fn decide_with(observed: &Observed, bug: Bug) -> Result<Decided, String> {
    let plan = reconcile_with(observed, bug);
    match said(&audit(observed, &plan)) {
        refused if refused.is_empty() => Ok(Decided { plan, refused }),
        refused => restrain(observed, refused),
    }
}

/// The plan where none came out, or a wrong one.
///
/// # Errors
/// As `decide`.
pub fn restrain(observed: &Observed, refused: String) -> Result<Decided, String> {
    let plan = restrained(observed, &refused);
    match said(&audit(observed, &plan)) {
        more if more.is_empty() => Ok(Decided { plan, refused }),
        more => Err(format!("{refused}; and of one that starts nothing: {more}")),
    }
}

fn said(violations: &[Violation]) -> String {
    let told = violations.iter().take(TOLD_MAX);
    let mut texts: Vec<String> = told.map(ToString::to_string).collect();
    let more = violations.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}
