//! Bad plans that make an Experiment where none is to be. In: good plans. Out: the same with the Experiment of another.

use agent_engine::{Action, Plan};

use super::{Change, good};

/// The Experiment that a step makes, made here.
fn make(plan: &mut Plan) {
    let (_, other) = good("experiment_begins");
    let made = other.actions.into_iter();
    let made = made.filter(|action| matches!(action, Action::CreateExperiment { .. }));
    plan.actions.extend(made);
}

/// Rule, case, what is changed.
pub(crate) const BAD: [(&str, &str, Change); 5] = [
    // It is there, the version is taken back, the step is another one.
    ("experiment-of-the-step", "experiment_runs", |_, plan| {
        make(plan)
    }),
    ("experiment-of-the-step", "experiment_error", |_, plan| {
        make(plan)
    }),
    ("experiment-of-the-step", "weight_reached", |_, plan| {
        make(plan)
    }),
    (
        "lease-ends-raising",
        "experiment_waits_for_fleet",
        |_, plan| make(plan),
    ),
    ("held-makes-no-set", "gate_held", |_, plan| make(plan)),
];
