//! Bad plans about the status alone. In: good plans. Out: the same with one wrong word in it.

use super::{Change, later};

/// Rule, case, what is changed.
pub(crate) const BAD: [(&str, &str, Change); 3] = [
    ("status-is-whole", "at_rest", |_, plan| {
        plan.status.observed_generation = Some("0".into())
    }),
    ("duration-adds-up", "new_version", |_, plan| {
        plan.status.duration.as_mut().unwrap().completion_status = Some("Promoted".into())
    }),
    ("times-are-of-the-past", "abort", |_, plan| {
        plan.status.aborted_at = Some(later())
    }),
];
