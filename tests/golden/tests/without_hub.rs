//! What a cluster does without its hub is said by the agent (the Gate, `kubectl get gates`) and by the hub (`groundswell
//! explain`), each out of what it knows. In: one permit under every policy. Out: the same words from both engines.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;

use agent_engine::{Action, GateRecord, HubContact, Observed, reconcile};
use hub_engine::amount::Seconds;
use hub_engine::document::OnHubLoss;
use hub_engine::loss::without_hub;
use hub_engine::release::Target;
use jiff::Timestamp;
use serde_json::json;
use tests_golden::agent_fixture::observed;

fn fixture(case: &str) -> Observed {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/agent");
    let path = folder.join(case).join("observed.yaml");
    observed(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A canary that is on its way by a permit, with its hub and a lease.
fn on_its_way() -> Observed {
    fixture("gate_permit_step")
}

fn edited(edit: impl FnOnce(&mut agent_api::Gate)) -> Observed {
    let mut observed = on_its_way();
    match &mut observed.gate.record {
        GateRecord::Present(gate) => edit(gate),
        GateRecord::Missing | GateRecord::Undecodable(_) => panic!("the fixture has a Gate"),
    }
    observed
}

/// What the record says after a pass: as written, or as it was.
fn agent(observed: &Observed) -> String {
    let plan = reconcile(observed);
    let recorded = plan.actions.iter().find_map(|action| {
        if let Action::RecordGate { status, .. } = action {
            status.without_hub.clone()
        } else {
            None
        }
    });
    recorded.unwrap_or_else(|| panic!("nothing is recorded:\n{plan}"))
}

fn hub(policy: OnHubLoss, state: &str, direction: &str, max_step: Option<u32>) -> String {
    let permit = json!({
        "release": "checkout#1", "direction": direction, "fence": {"incarnation": 1, "version": 1},
        "digest": "v1:a", "max_step": max_step, "why": "", "granted_at": "2026-01-01T00:00:00Z"
    });
    let target = json!({"cluster": "a", "wave": 1, "state": state, "permit": permit});
    let target: Target = serde_json::from_value(target).unwrap();
    without_hub(policy, &target)
}

#[test]
fn the_agent_and_the_hub_say_the_same_before_it_happens() {
    let after = Seconds(600);
    let policies = [
        (OnHubLoss::Finish, json!({"action": "Finish"})),
        (OnHubLoss::Hold, json!({"action": "Hold"})),
        (
            OnHubLoss::Abort { after },
            json!({"action": "Abort", "afterSeconds": 600}),
        ),
    ];
    for (policy, gate) in policies {
        for max_step in [None, Some(3)] {
            let seen = edited(|record| {
                record.spec.policy.on_hub_loss = serde_json::from_value(gate.clone()).unwrap();
                let permit = record.spec.permit.as_mut().unwrap();
                permit.max_step = max_step.map(|step: u32| step.try_into().unwrap());
            });
            let wanted = hub(policy, "Progressing", "Forward", max_step);
            assert_eq!(agent(&seen), wanted, "{gate} {max_step:?}");
        }
    }
    let wanted = hub(OnHubLoss::Finish, "Held", "Forward", None);
    assert_eq!(agent(&fixture("gate_held")), wanted);
    let wanted = hub(OnHubLoss::Hold, "RollingBack", "Rollback", None);
    assert_eq!(agent(&fixture("gate_rollback")), wanted);
}

#[test]
fn it_says_what_it_does_while_the_hub_is_silent() {
    let silent = |gate: serde_json::Value| {
        let mut seen = edited(|record| {
            record.spec.policy.on_hub_loss = serde_json::from_value(gate).unwrap();
        });
        let since: Timestamp = "2026-01-01T00:03:00Z".parse().unwrap();
        seen.gate.hub = HubContact::Lost { since };
        (seen.gate.lease_live, seen.gate.lease_until) = (false, None);
        agent(&seen)
    };
    let silence = "the hub is silent since 2026-01-01T00:03:00Z and the lease has ended: ";
    let cases = [
        (
            json!({"action": "Finish"}),
            "goes on to its end under its own analysis, and starts nothing after that",
        ),
        (
            json!({"action": "Hold"}),
            "holds at its step until the hub is back",
        ),
        (
            json!({"action": "Abort", "afterSeconds": 3600}),
            "holds at its step, and goes back to what it served 1h after its lease has ended",
        ),
    ];
    for (policy, does) in cases {
        assert_eq!(
            silent(policy.clone()),
            format!("{silence}{does}"),
            "{policy}"
        );
    }
    let mut seen = on_its_way();
    (seen.gate.lease_live, seen.gate.lease_until) = (false, None);
    assert_eq!(
        agent(&seen),
        "holds at its step: the lease has ended and the hub does not renew it"
    );
}

/// The share that it is at is the whole, which was permitted: it is not said to hold.
#[test]
fn what_has_every_step_behind_it_goes_on_and_that_is_said() {
    let past = |hub: HubContact| {
        let steps = on_its_way().rollout.spec.strategy.canary.unwrap().steps;
        let steps = i32::try_from(steps.len()).unwrap();
        let mut seen = edited(|record| {
            let hold = json!({"action": "Hold"});
            record.spec.policy.on_hub_loss = serde_json::from_value(hold).unwrap();
            let status = record.status.as_mut().unwrap();
            let effective = status.effective.as_mut().unwrap();
            effective.rest.insert("step".to_owned(), steps.into());
        });
        let status = seen.rollout.status.as_mut().unwrap();
        status.current_step_index = Some(steps);
        (status.controller_pause, status.pause_conditions) = (None, Vec::new());
        (seen.gate.lease_live, seen.gate.lease_until) = (false, None);
        seen.gate.hub = hub;
        agent(&seen)
    };
    let since: Timestamp = "2026-01-01T00:03:00Z".parse().unwrap();
    assert_eq!(
        past(HubContact::Lost { since }),
        "the hub is silent since 2026-01-01T00:03:00Z and the lease has ended: goes on to its end, as every step is behind it"
    );
    assert_eq!(
        past(HubContact::Connected),
        "goes on to its end, as every step is behind it: the lease has ended and the hub does not renew it"
    );
}
