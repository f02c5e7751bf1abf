//! What a cluster would do if the hub went away now (gate.md G20, G21). In: a target and the policy of its FleetRollout. Out: one
//! sentence. It must not decide anything: its agent does, by the same policy.

use crate::document::OnHubLoss;
use crate::release::{Direction, Target, TargetState};

/// For people, before it happens.
#[must_use]
pub fn without_hub(policy: OnHubLoss, target: &Target) -> String {
    let permit = target.permit.as_ref();
    let back = permit.is_some_and(|permit| permit.direction == Direction::Rollback);
    match target.state {
        TargetState::RollingBack if back => "goes back to the end: nothing holds that".to_owned(),
        TargetState::Permitted
        | TargetState::Progressing
        | TargetState::Paused
        | TargetState::Unknown => in_flight(policy, permit.and_then(|permit| permit.max_step)),
        TargetState::Pending
        | TargetState::WaitingForContent
        | TargetState::Held
        | TargetState::Succeeded
        | TargetState::Failed
        | TargetState::RollingBack
        | TargetState::RolledBack
        | TargetState::Skipped
        | TargetState::Removed
        | TargetState::Behind => "serves what it serves and starts nothing".to_owned(),
    }
}

fn in_flight(policy: OnHubLoss, max_step: Option<u32>) -> String {
    match (policy, max_step) {
        (OnHubLoss::Finish, None) => {
            "goes on to its end under its own analysis, and starts nothing after that".to_owned()
        }
        (OnHubLoss::Finish, Some(step)) => {
            format!("goes on to step {step} under its own analysis, and no further")
        }
        (OnHubLoss::Hold, _) => "holds at its next step when its lease has ended".to_owned(),
        (OnHubLoss::Abort { after }, _) => format!(
            "goes back to what it served {after} after its lease has ended, if it is not through by then"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Seconds;

    #[test]
    fn every_policy_says_what_it_does() {
        let target = |state: &str, direction: &str, max_step: Option<u32>| -> Target {
            let permit = serde_json::json!({
                "release": "checkout#1", "direction": direction, "fence": {"incarnation": 1, "version": 1},
                "digest": "v1:a", "max_step": max_step, "why": "", "granted_at": "2026-01-01T00:00:00Z"
            });
            let target =
                serde_json::json!({"cluster": "a", "wave": 1, "state": state, "permit": permit});
            serde_json::from_value(target).unwrap()
        };
        let abort = OnHubLoss::Abort {
            after: Seconds(600),
        };
        let cases = [
            (
                OnHubLoss::Finish,
                "Progressing",
                "Forward",
                None,
                "goes on to its end",
            ),
            (
                OnHubLoss::Finish,
                "Unknown",
                "Forward",
                Some(2),
                "goes on to step 2",
            ),
            (
                OnHubLoss::Hold,
                "Paused",
                "Forward",
                None,
                "holds at its next step",
            ),
            (
                abort,
                "Permitted",
                "Forward",
                None,
                "goes back to what it served 10m after",
            ),
            (
                OnHubLoss::Hold,
                "RollingBack",
                "Rollback",
                None,
                "goes back to the end",
            ),
            (
                OnHubLoss::Hold,
                "RollingBack",
                "Forward",
                None,
                "serves what it serves",
            ),
            (abort, "Held", "Forward", None, "serves what it serves"),
            (
                OnHubLoss::Finish,
                "Succeeded",
                "Forward",
                None,
                "serves what it serves",
            ),
        ];
        for (policy, state, direction, max_step, wanted) in cases {
            let said = without_hub(policy, &target(state, direction, max_step));
            assert!(said.starts_with(wanted), "{policy:?} {state}: {said}");
        }
    }
}
