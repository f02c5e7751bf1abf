//! Bad plans about what persons said: break-glass and stops. In: good plans. Out: the same with a word that nobody has, that
//! counts again, or that is not heeded.

use agent_api::BreakGlassRecord;
use agent_engine::{Action, Plan};

use super::{Change, digest, good, later, record, recorded, scale};

/// The oldest word that is recorded.
fn word(plan: &mut Plan) -> &mut BreakGlassRecord {
    record(plan).break_glass.first_mut().unwrap()
}

/// Rule, case, what is changed.
pub(crate) const BAD: [(&str, &str, Change); 7] = [
    ("break-glass-once", "gate_break_glass", |_, plan| {
        word(plan).digest = digest("v3")
    }),
    ("break-glass-once", "gate_break_glass", |_, plan| {
        word(plan).by = "eve".to_owned()
    }),
    ("break-glass-once", "gate_break_glass_twice", |_, plan| {
        let mut again = word(plan).clone();
        (again.at, again.ended) = (later(), None);
        record(plan).break_glass.push(again);
    }),
    ("break-glass-once", "gate_break_glass_twice", |_, plan| {
        word(plan).ended = None
    }),
    (
        "break-glass-once",
        "gate_break_glass_refused",
        |observed, plan| {
            let (with, other) = good("gate_break_glass");
            assert_eq!(with.rollout.spec, observed.rollout.spec);
            let mut other = other;
            let words = record(&mut other).break_glass.clone();
            assert!(recorded(observed).break_glass.is_empty());
            record(plan).break_glass = words;
        },
    ),
    (
        "held-makes-no-set",
        "gate_break_glass_refused",
        |_, plan| {
            let (_, other) = good("gate_break_glass");
            let made = other.actions.into_iter();
            plan.actions
                .extend(made.filter(|one| matches!(one, Action::CreateReplicaSet { .. })));
        },
    ),
    ("stop-holds-the-step", "gate_stopped", |_, plan| {
        scale(plan, "v2", 1, 5)
    }),
];
