//! Numbers that can wait a moment.
//!
//! In: what is observed, a finished plan. Out: the plan without its status, when that would only count pods anew and one
//! was written just now: it waits a moment, or goes with the first change of more. Pods of one step are made one by one
//! and come up one by one, and each would be two writes. It must not hold back a phase, a step, a pause or a condition.

use agent_api::names::condition;
use agent_api::{Phase, RolloutStatus};
use jiff::SignedDuration;

use crate::observed::Observed;
use crate::pass::conditions::FALSE;
use crate::plan::Plan;
use crate::reason::Reason;

/// What follows the news that a version was made or goes on: its pods are counted from here on.
const COUNTED: &str = "ReplicaSetUpdated";

/// For pods that became available, or ceased to be: long enough to count those of a step once, short enough that nobody
/// who watches takes notice, and a small part of an autoscaler's 15 s.
const AVAILABLE: SignedDuration = SignedDuration::from_secs(1);
/// For pods that were made in an update: that they are there says little before they are available, and mostly they soon
/// are.
const MADE: SignedDuration = SignedDuration::from_secs(5);
/// Numbers wait for a change that is due by itself anyway, the end of a pause as a rule, if it is no further off than this:
/// it takes them along.
const DUE_ANYWAY: SignedDuration = MADE;
/// So many times longer while more waits for the agent than it can work on: everything is late then, every write makes it
/// later, and numbers of pods are what is missed least.
const BUSY: i32 = 6;

/// Puts the status as it is in place of a planned one that can wait.
pub fn hold_back(observed: &Observed, plan: &mut Plan) {
    let (Some(written), Some(before)) = (observed.status_written, &observed.rollout.status) else {
        return;
    };
    // An autoscaler divides by this one.
    let divisor = before.hpa_replicas != plan.status.hpa_replicas;
    let available = before.available_replicas != plan.status.available_replicas
        || before.ready_replicas != plan.status.ready_replicas;
    // Pods that were made will soon be available only while there is an update; else their number is the news.
    let updating = before.phase == Some(Phase::Progressing);
    let hold = if divisor || available || !updating {
        AVAILABLE
    } else {
        MADE
    };
    let hold = if observed.busy {
        hold.saturating_mul(BUSY)
    } else {
        hold
    };
    let (Ok(due), Ok(soon)) = (written.checked_add(hold), written.checked_add(DUE_ANYWAY)) else {
        return;
    };
    let anyway = plan.wake.filter(|wake| *wake <= soon && !divisor);
    let due = anyway.map_or(due, |wake| wake.max(due));
    // A clock that went back holds nothing up.
    let just_now = written <= observed.now && observed.now < due;
    if !just_now || *before == plan.status || !counts_only(before, &plan.status) {
        return;
    }
    plan.status = before.clone();
    plan.reasons.push(Reason::NumbersWait);
    plan.wake = Some(plan.wake.map_or(due, |wake| wake.min(due)));
}

/// Whether two statuses differ in numbers of pods, and in what is said of an update's progress by them.
fn counts_only(before: &RolloutStatus, planned: &RolloutStatus) -> bool {
    let mut same = RolloutStatus {
        replicas: before.replicas,
        updated_replicas: before.updated_replicas,
        ready_replicas: before.ready_replicas,
        available_replicas: before.available_replicas,
        hpa_replicas: before.hpa_replicas,
        ..planned.clone()
    };
    // Any other phase has one sentence, which is the news.
    if before.phase == Some(Phase::Progressing) {
        same.message.clone_from(&before.message);
    }
    let known = before.condition(condition::PROGRESSING);
    let shown = same
        .conditions
        .iter_mut()
        .find(|one| one.r#type == condition::PROGRESSING);
    if let (Some(known), Some(shown)) = (known, shown)
        && shown.reason.as_deref() == Some(COUNTED)
        && known.status != FALSE
    {
        *shown = known.clone();
    }
    same == *before
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(changes: &[(&str, Value)]) -> RolloutStatus {
        let mut status = json!({
            "phase": "Progressing", "message": "more replicas need to be updated",
            "currentPodHash": "b", "stableRS": "a", "currentStepIndex": 0,
            "replicas": 5, "availableReplicas": 4,
            "conditions": [
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetCreated", "message": "made"},
                {"type": "Available", "status": "True", "reason": "AvailableReason", "message": "enough"},
            ],
        });
        for (path, value) in changes {
            *status.pointer_mut(path).unwrap() = value.clone();
        }
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn nothing_waits_but_numbers() {
        let counted = ("/conditions/0/reason", json!("ReplicaSetUpdated"));
        let check = |changes: &[(&str, Value)], waits: bool| {
            let found = counts_only(&status(&[]), &status(changes));
            assert_eq!(found, waits, "{changes:?}");
        };
        check(&[("/replicas", json!(6))], true);
        check(&[("/availableReplicas", json!(5)), counted.clone()], true);
        check(
            &[(
                "/message",
                json!("updated replicas are still becoming available"),
            )],
            true,
        );
        check(&[("/conditions/0/reason", json!("RolloutAborted"))], false);
        check(
            &[("/conditions/0/reason", json!("ProgressDeadlineExceeded"))],
            false,
        );
        check(&[("/conditions/1/status", json!("False"))], false);
        for (path, other) in [
            ("/phase", json!("Healthy")),
            ("/currentPodHash", json!("c")),
            ("/stableRS", json!("b")),
            ("/currentStepIndex", json!(1)),
        ] {
            check(&[(path, other.clone())], false);
            check(
                &[(path, other), ("/replicas", json!(6)), counted.clone()],
                false,
            );
        }
    }

    #[test]
    fn what_was_stuck_and_moves_is_said_at_once() {
        let stuck = [
            ("/conditions/0/status", json!("False")),
            ("/conditions/0/reason", json!("ProgressDeadlineExceeded")),
        ];
        let moves = [("/conditions/0/reason", json!("ReplicaSetUpdated"))];
        assert!(!counts_only(&status(&stuck), &status(&moves)));
    }
}
