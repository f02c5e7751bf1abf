//! When a FleetRollout may turn to another enforcement, by table.

use serde_json::{Value, json};

use super::turn;
use crate::document::Enforcement;
use crate::observed::Observed;

fn observed(more: Value) -> Observed {
    let mut all = json!({
        "now": "2026-11-23T12:00:00Z",
        "fleet_rollout": {
            "name": "checkout", "rollout": {"namespace": "shop", "name": "checkout"}, "waves": [{"name": "all"}]
        },
    });
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

fn release(phase: &str, state: &str) -> Value {
    json!([{
        "id": "checkout#2", "cause": {"change": {"cluster": "eu-1", "change": 1}}, "plan": {"waves": []}, "plan_digest": "p1:a",
        "phase": phase, "opened_at": "2026-11-23T11:00:00Z",
        "targets": [{"cluster": "eu-1", "wave": 1, "state": state}]
    }])
}

#[test]
fn a_turn_is_refused_while_something_would_be_freed_by_it() {
    let check = |to: Enforcement, more: Value, expected: Option<&str>| {
        let mut observed = observed(more.clone());
        if to == Enforcement::Enforce {
            observed.fleet_rollout.enforcement = Enforcement::Observe;
        }
        let answer = turn(&observed, to);
        match expected {
            Some(part) => assert!(
                answer.as_ref().is_some_and(|one| one.contains(part)),
                "{more}: {answer:?}"
            ),
            None => assert_eq!(answer, None, "{more}"),
        }
    };
    let open = json!({"releases": release("Progressing", "Held")});
    let flying = json!({"releases": release("Superseded", "Progressing")});
    let silent = json!({"releases": release("Superseded", "Unknown")});
    let back = json!({"releases": release("RolledBackPartially", "RollingBack")});
    let done = json!({"releases": release("Succeeded", "Succeeded")});
    let held =
        json!({"clusters": [{"name": "eu-1", "rollout": {"held": "v1:b", "served": "v1:a"}}]});
    let gone = json!({"clusters": [{"name": "eu-1", "rollout": {"held": "v1:b"}, "gone": {
        "how": "Left", "by": {"person": "ada", "reason": "sold", "at": "2026-11-23T11:00:00Z"}}}]});
    check(
        Enforcement::Observe,
        open.clone(),
        Some("while release checkout#2 is Progressing"),
    );
    check(
        Enforcement::Observe,
        flying,
        Some("eu-1 of release checkout#2 is Progressing"),
    );
    check(
        Enforcement::Observe,
        silent,
        Some("eu-1 of release checkout#2 is Unknown"),
    );
    check(
        Enforcement::Observe,
        back,
        Some("eu-1 of release checkout#2 is RollingBack"),
    );
    check(
        Enforcement::Observe,
        held.clone(),
        Some("while eu-1 holds content"),
    );
    check(Enforcement::Observe, done, None);
    check(Enforcement::Observe, gone, None);
    check(
        Enforcement::Enforce,
        open,
        Some("from Observe to Enforce while release checkout#2"),
    );
    check(Enforcement::Enforce, held, None);
}
