//! How a life begins: replicas, limits, steps, and whether a fleet governs it.
//!
//! In: dice. Out: what an agent would see first. It must not look at a clock.

use agent_api::names::ANNOTATION_KEEP_STABLE;
use agent_api::{
    Enforcement, Gate, GateSpec, HubLoss, HubLossAction, Policy, RolloutRef, Workload, WorkloadKind,
};
use agent_engine::{GateObserved, GateRecord, Governance, HubContact, Observed};
use serde_json::{Map, Value, json};

use super::Dice;
use crate::agent_fixture;

pub(super) fn begin(dice: &mut Dice) -> Result<Observed, String> {
    let routed = dice.one_in(3);
    let steps = steps(dice, routed);
    let replicas = dice.below(9);
    let mut canary = Map::new();
    if dice.one_in(3) {
        let unavailable = dice.below(3);
        let surge = if unavailable == 0 {
            1 + dice.below(2)
        } else {
            dice.below(3)
        };
        canary.insert("maxSurge".to_owned(), json!(surge));
        canary.insert("maxUnavailable".to_owned(), json!(unavailable));
    }
    if routed {
        canary.extend(routing(dice));
    }
    let with_services = routed || dice.one_in(4);
    if with_services {
        canary.insert("canaryService".to_owned(), json!("web-canary"));
        canary.insert("stableService".to_owned(), json!("web-stable"));
    }
    if dice.one_in(3) {
        let start = if steps.len() > 1 { dice.below(2) } else { 0 };
        let analysis = json!({"templates": [{"templateName": "errors"}], "startingStep": start});
        canary.insert("analysis".to_owned(), analysis);
    }
    if dice.one_in(5) {
        let kind = if dice.one_in(2) { "Percent" } else { "Pods" };
        let threshold = json!({"type": kind, "value": 1 + dice.below(100)});
        canary.insert("replicaProgressThreshold".to_owned(), threshold);
    }
    let deadline = dice
        .one_in(4)
        .then(|| json!({"progressDeadlineSeconds": 30, "progressDeadlineAbort": true}));
    let mut spec = deadline.unwrap_or(json!({}));
    if let (true, Some(fields)) = (dice.one_in(4), spec.as_object_mut()) {
        let window = json!({"revisions": dice.below(4)});
        fields.insert("rollbackWindow".to_owned(), window);
    }
    let mut fixture = json!({
        "about": "a life", "now": "2026-01-01T00:00:00Z", "templates": templates(),
        "traffic": routed.then(|| json!({})),
        "services": [{"name": "web"}, {"name": "preview"}, {"name": "web-canary"}, {"name": "web-stable"}],
        "rollout": {
            "version": "v1", "replicas": replicas, "steps": steps, "canary": canary,
            "spec": spec,
        },
    });
    if dice.one_in(3)
        && let Some(rollout) = fixture.get_mut("rollout")
    {
        *rollout = json!({
            "version": "v1", "replicas": replicas, "blueGreen": blue_green(dice),
            "spec": rollout.get("spec").cloned(),
        });
    }
    let mut observed =
        agent_fixture::observed(&fixture.to_string()).map_err(|error| error.to_string())?;
    if dice.one_in(5) {
        name_workload(dice, &mut observed);
    }
    if dice.one_in(4) {
        keep_stable(&mut observed, true);
    }
    if dice.one_in(3) {
        return Ok(observed);
    }
    observed.gate = gate(dice);
    Ok(observed)
}

/// The stable version is to keep all its pods, or not any more.
pub(super) fn keep_stable(observed: &mut Observed, keep: bool) {
    let annotations = &mut observed.rollout.metadata.annotations;
    annotations
        .get_or_insert_default()
        .insert(ANNOTATION_KEEP_STABLE.to_owned(), keep.to_string());
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

/// A router, and what else goes only with one.
fn routing(dice: &mut Dice) -> Map<String, Value> {
    let mut canary = Map::new();
    let istio =
        json!({"istio": {"virtualService": {"name": "web"}}, "managedRoutes": [{"name": "beta"}]});
    canary.insert("trafficRouting".to_owned(), istio);
    let dynamic = dice.one_in(2);
    if dynamic {
        canary.insert("dynamicStableScale".to_owned(), json!(true));
    } else if dice.one_in(3) {
        canary.insert("scaleDownDelaySeconds".to_owned(), json!(dice.below(40)));
    }
    if dice.one_in(3) {
        let seconds = dice.below(3) * 20;
        canary.insert("abortScaleDownDelaySeconds".to_owned(), json!(seconds));
    }
    if dice.one_in(4) {
        canary.insert("minPodsPerReplicaSet".to_owned(), json!(2));
    }
    if dice.one_in(4) {
        canary.insert(
            "scaleDownDelayRevisionLimit".to_owned(),
            json!(dice.below(2)),
        );
    }
    canary
}

/// A step that goes only with a router.
fn routed_step(dice: &mut Dice) -> Value {
    match dice.below(4) {
        0 => json!({"setCanaryScale": {"replicas": dice.below(4)}}),
        1 => json!({"setCanaryScale": {"weight": dice.below(101)}}),
        2 => json!({"setCanaryScale": {"matchTrafficWeight": true}}),
        _ => json!({"setHeaderRoute": {"name": "beta", "match": [
            {"headerName": "x-beta", "headerValue": {"exact": "yes"}},
        ]}}),
    }
}

/// A step that makes an Experiment.
fn experiment_step(dice: &mut Dice) -> Value {
    let mut step = json!({
        "templates": [{"name": "canary", "specRef": "canary"}],
        "scaleDownDelaySeconds": dice.below(20),
    });
    let mut set = |one_in: u64, key: &str, value: Value, dice: &mut Dice| {
        if let Some(fields) = step.as_object_mut().filter(|_| dice.one_in(one_in)) {
            fields.insert(key.to_owned(), value);
        }
    };
    let both =
        json!([{"name": "baseline", "specRef": "stable"}, {"name": "canary", "specRef": "canary"}]);
    set(2, "templates", both, dice);
    let analysis = json!([{"name": "errors", "templateName": "errors", "requiredForCompletion": dice.one_in(2)}]);
    set(2, "analyses", analysis, dice);
    let seconds = format!("{}s", dice.below(40));
    set(2, "duration", json!(seconds), dice);
    step
}

pub(super) fn steps(dice: &mut Dice, routed: bool) -> Vec<Value> {
    let count = dice.below(5);
    let mut weight = 0;
    let mut steps = Vec::new();
    for _ in 0..count {
        steps.push(match dice.below(7) {
            3 if routed && dice.one_in(2) => routed_step(dice),
            // Some steps go back.
            4 if routed => json!({"setWeight": dice.below(101)}),
            0 => json!({"pause": {}}),
            1 => json!({"pause": {"duration": dice.below(60)}}),
            6 => experiment_step(dice),
            2 => json!({"analysis": {"templates": [{"templateName": "errors"}]}}),
            _ => {
                weight = (weight + dice.below(45)).min(100);
                json!({"setWeight": weight})
            }
        });
    }
    steps
}

/// A blue-green strategy.
pub(super) fn blue_green(dice: &mut Dice) -> Value {
    let mut strategy = json!({"activeService": "web"});
    let analysis = json!({"templates": [{"templateName": "errors"}]});
    let mut set = |one_in: u64, key: &str, value: Value, dice: &mut Dice| {
        if let Some(fields) = strategy.as_object_mut().filter(|_| dice.one_in(one_in)) {
            fields.insert(key.to_owned(), value);
        }
    };
    set(2, "previewService", json!("preview"), dice);
    set(3, "autoPromotionEnabled", json!(false), dice);
    set(4, "autoPromotionSeconds", json!(dice.below(50)), dice);
    set(4, "previewReplicaCount", json!(dice.below(4)), dice);
    set(4, "prePromotionAnalysis", analysis.clone(), dice);
    set(4, "postPromotionAnalysis", analysis, dice);
    set(3, "scaleDownDelaySeconds", json!(dice.below(90)), dice);
    set(4, "scaleDownDelayRevisionLimit", json!(dice.below(3)), dice);
    set(3, "abortScaleDownDelaySeconds", json!(dice.below(60)), dice);
    strategy
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
        lease_until: None,
        first_deploy_free: !dice.one_in(3),
        ..GateObserved::stand_alone()
    }
}
