//! Pauses while the wall clock is set (S12). In: fixtures in which a pause is over or runs, and how far the clock was set in it.
//! Out: a pause lasts its length, whatever the clock says by then, and the audit says the same.
#![allow(clippy::unwrap_used)]

use agent_engine::{Observed, audit, reconcile};
use jiff::SignedDuration;
use tests_golden::agent_fixture::observed;

/// Each with the pause that it is in.
const CASES: [&str; 3] = ["pause_over", "bg_seconds_over", "pause_runs"];

fn case(name: &str) -> Observed {
    let path = format!(
        "{}/../fixtures/agent/{name}/observed.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    observed(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Set forward or back by an hour in the pause, and by nothing: the plan is the same but for the times that it names.
#[test]
fn a_pause_lasts_its_length_whatever_the_clock_is_set_to() {
    for name in CASES {
        let plain = case(name);
        let goes_on = |observed: &Observed| {
            let plan = reconcile(observed);
            assert_eq!(audit(observed, &plan), [], "{name}: {plan}");
            let status = &plan.status;
            let pauses = status.pause_conditions.len();
            let wait = plan.wake.map(|wake| wake.duration_since(observed.now));
            (status.current_step_index, pauses, wait, plan.actions.len())
        };
        let wanted = goes_on(&plain);
        for hours in [-1, 1] {
            let clock_set = SignedDuration::from_hours(hours);
            let now = plain.now.checked_add(clock_set).unwrap();
            let set = Observed {
                now,
                clock_set,
                ..plain.clone()
            };
            assert_eq!(goes_on(&set), wanted, "{name}, {hours} h");
        }
    }
}

/// The audit does not let a pause end for a clock that was set forward.
#[test]
fn a_pause_that_ends_for_a_clock_that_was_set_is_found() {
    for name in ["pause_over", "bg_seconds_over"] {
        let plain = case(name);
        let plan = reconcile(&plain);
        let set = Observed {
            clock_set: SignedDuration::from_hours(1),
            ..plain
        };
        assert_ne!(audit(&set, &plan), [], "{name}");
    }
}
