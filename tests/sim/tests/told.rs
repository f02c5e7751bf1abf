//! What an agent tells of the end of a permit, whatever became of the Gate (gate.md G6, L4): by an end that is missing at Hello the
//! hub knows a cluster that was put back from a copy. In: records. Out: the state that Hello brings. It must not ask for a hub.
#![allow(clippy::unwrap_used)]

use agent::link::state::rollout_state;
use agent_api::{Fence, GateStatus, Outcome, RolloutStatus};
use agent_engine::Observed;
use tests_golden::agent_fixture::observed;

const SHOP: &str = "
about: a Gate that somebody deleted
now: 2026-01-01T00:05:00Z
rollout: {version: v1, replicas: 2, steps: [{setWeight: 50}]}
";

fn ended(version: u64) -> Outcome {
    Outcome {
        fence: Fence {
            incarnation: 1,
            version,
        },
        ..Outcome::default()
    }
}

fn recorded(version: u64) -> GateStatus {
    GateStatus {
        outcome: Some(ended(version)),
        ..GateStatus::default()
    }
}

/// The version of the end that is told.
fn told(seen: &Observed, record: Option<&GateStatus>) -> Option<u64> {
    let state = rollout_state(seen, &RolloutStatus::default(), record, &[]);
    Some(state.outcome?.fence?.version)
}

#[test]
fn the_end_of_a_permit_is_told_without_the_gate() {
    let mut seen = observed(SHOP).unwrap();
    assert_eq!(told(&seen, None), None);
    seen.gate.spent = Some(ended(7));
    assert_eq!(told(&seen, None), Some(7), "the member record has it");
    assert_eq!(told(&seen, Some(&recorded(6))), Some(7), "and first");
    assert_eq!(told(&seen, Some(&recorded(8))), Some(8));
}
