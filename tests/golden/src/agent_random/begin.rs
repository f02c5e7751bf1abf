//! How a life begins: replicas, limits, steps, and whether a fleet governs it.
//!
//! In: dice. Out: what an agent would see first. It must not look at a clock.

use agent_api::{
    Enforcement, FirstContact, Gate, GateSpec, HubLoss, HubLossAction, Policy, RolloutRef,
    Workload, WorkloadKind,
};
use agent_engine::{GateObserved, GateRecord, Governance, HubContact, Observed};
use serde_json::{Value, json};

use super::Dice;
use crate::agent_fixture;

pub(super) fn begin(dice: &mut Dice) -> Result<Observed, String> {
    let steps = steps(dice);
    let replicas = dice.below(9);
    let mut canary = json!({});
    if dice.one_in(3) {
        let unavailable = dice.below(3);
        let surge = if unavailable == 0 {
            1 + dice.below(2)
        } else {
            dice.below(3)
        };
        canary = json!({"maxSurge": surge, "maxUnavailable": unavailable});
    }
    if let (true, Some(fields)) = (dice.one_in(5), canary.as_object_mut()) {
        let kind = if dice.one_in(2) { "Percent" } else { "Pods" };
        let threshold = json!({"type": kind, "value": 1 + dice.below(100)});
        fields.insert("replicaProgressThreshold".to_owned(), threshold);
    }
    let deadline = dice
        .one_in(4)
        .then(|| json!({"progressDeadlineSeconds": 30, "progressDeadlineAbort": true}));
    let mut spec = deadline.unwrap_or(json!({}));
    if let (true, Some(fields)) = (dice.one_in(4), spec.as_object_mut()) {
        let window = json!({"revisions": dice.below(4)});
        fields.insert("rollbackWindow".to_owned(), window);
    }
    let fixture = json!({
        "about": "a life", "now": "2026-01-01T00:00:00Z", "templates": templates(),
        "rollout": {
            "version": "v1", "replicas": replicas, "steps": steps, "canary": canary,
            "spec": spec,
        },
    });
    let mut observed =
        agent_fixture::observed(&fixture.to_string()).map_err(|error| error.to_string())?;
    if dice.one_in(5) {
        name_workload(dice, &mut observed);
    }
    if dice.one_in(3) {
        return Ok(observed);
    }
    observed.gate = gate(dice);
    Ok(observed)
}

/// The same content from a Deployment that runs already.
fn name_workload(dice: &mut Dice, observed: &mut Observed) {
    let scale_down = ["never", "onsuccess", "progressively"];
    let spec = &mut observed.rollout.spec;
    spec.workload_ref = serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "name": agent_fixture::NAME,
        "scaleDown": dice.pick(&scale_down),
    }))
    .ok();
    observed.workload = Some(Workload {
        kind: WorkloadKind::Deployment,
        name: agent_fixture::NAME.to_owned(),
        generation: 1,
        replicas: spec.replicas,
        selector: Some(std::mem::take(&mut spec.selector)),
        template: spec.template.take().unwrap_or_default(),
    });
}

pub(super) fn steps(dice: &mut Dice) -> Vec<Value> {
    let count = dice.below(5);
    let mut weight = 0;
    let mut steps = Vec::new();
    for _ in 0..count {
        steps.push(match dice.below(6) {
            0 => json!({"pause": {}}),
            1 => json!({"pause": {"duration": dice.below(60)}}),
            2 => json!({"analysis": {"templates": [{"templateName": "errors"}]}}),
            _ => {
                weight = (weight + dice.below(45)).min(100);
                json!({"setWeight": weight})
            }
        });
    }
    steps
}

fn templates() -> Value {
    json!([{"name": "errors", "spec": errors()}])
}

fn errors() -> Value {
    json!({"metrics": [{
        "name": "error-rate", "successCondition": "result[0] < 0.05",
        "provider": {"prometheus": {"address": "http://prometheus", "query": "errors"}},
    }]})
}

fn gate(dice: &mut Dice) -> GateObserved {
    let action = *dice
        .pick(&[
            HubLossAction::Finish,
            HubLossAction::Hold,
            HubLossAction::Abort,
        ])
        .unwrap_or(&HubLossAction::Hold);
    let spec = GateSpec {
        rollout: RolloutRef {
            namespace: "shop".into(),
            name: agent_fixture::NAME.into(),
            ..RolloutRef::default()
        },
        governed: true,
        incarnation: 1,
        version: 1,
        fleet_rollout: "checkout".into(),
        policy: Policy {
            on_hub_loss: HubLoss {
                action,
                after_seconds: Some(dice.below(60)),
                ..HubLoss::default()
            },
            enforcement: if dice.one_in(6) {
                Enforcement::Observe
            } else {
                Enforcement::Enforce
            },
            first_contact: FirstContact::Hold,
            ..Policy::default()
        },
        ..GateSpec::default()
    };
    GateObserved {
        governance: Governance::Governed,
        governed_by: Some("checkout".into()),
        record: GateRecord::Present(Box::new(Gate {
            spec,
            ..Gate::default()
        })),
        hub: HubContact::Connected,
        lease_live: true,
        first_deploy_free: !dice.one_in(3),
        ..GateObserved::stand_alone()
    }
}
