//! What a permit froze goes by Git again once its outcome is there (G2, G17). In: a cluster that serves what it was permitted,
//! and a Rollout edited since. Out: the plan, and what the audit says of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use agent_api::DeliveryDigest;
use agent_engine::observed::GateRecord;
use agent_engine::{Action, Observed, audit, reconcile};
use serde_json::json;
use tests_golden::agent_fixture::{digest, observed};

/// The steps that the permit was given for.
const FROZEN: &str = "v1:frozen";

/// Git allows two missing pods since, and asks for a restart; the permitted strategy allowed one.
const RESTART: &str = "
about: story
now: 2026-01-01T00:05:00Z
rollout:
  version: v1
  generation: 2
  revision: 1
  replicas: 8
  steps: [{setWeight: 20}]
  canary: {maxUnavailable: 2}
  spec: {restartAt: \"2026-01-01T00:04:00Z\"}
  status: {phase: Healthy, observedGeneration: \"1\", currentPodHash: hash(v1), stableRS: hash(v1), currentStepIndex: 1}
replicaSets:
- {version: v1, revision: 1, desired: 4}
pods:
- {version: v1, name: a, created: \"2025-12-31T20:00:00Z\"}
- {version: v1, name: b, created: \"2025-12-31T20:00:00Z\"}
- {version: v1, name: c, created: \"2025-12-31T20:00:00Z\"}
- {version: v1, name: d, created: \"2025-12-31T20:00:00Z\"}
gate:
  record:
    apiVersion: fleet.groundswell.dev/v1alpha1
    kind: Gate
    metadata: {name: shop.web}
    spec:
      rollout: {namespace: shop, name: web}
      fleetRollout: checkout
      governed: true
      incarnation: 1
      version: 9
      permit: {release: \"checkout#2\", direction: Forward, fence: {incarnation: 1, version: 9}, digest: digest(v1), deliveryDigest: \"v1:frozen\", startBy: \"2026-01-01T01:00:00Z\", leaseSeconds: 30, clusterUid: c, rolloutUid: rollout-uid, signature: s}
      policy: {onHubLoss: {action: Finish}, rollbackPhase: Degraded, enforcement: Enforce}
    status:
      served: {digest: digest(v1), deliveryDigest: \"v1:frozen\", podHash: hash(v1), generation: 1, at: \"2025-12-02T00:00:00Z\"}
      kept:
      - {digest: digest(v1), deliveryDigest: \"v1:frozen\", name: shop.web.v1, keptAt: \"2025-12-01T00:00:00Z\", lastServedAt: \"2025-12-02T00:00:00Z\"}
      effective: {fence: {incarnation: 1, version: 9}, digest: digest(v1), generation: 1, at: \"2025-12-01T00:00:00Z\", step: 1}
      outcome: {fence: {incarnation: 1, version: 9}, release: \"checkout#2\", digest: digest(v1), result: Served, generation: 1, at: \"2025-12-02T00:00:00Z\"}
      observedDigest: digest(v1)
  kept: [\"v1:frozen\"]
";

fn begin() -> Observed {
    let mut observed = observed(RESTART).unwrap();
    observed.rollout.spec.replicas = Some(4);
    let kept = observed.gate.kept.get_mut(&digest("v1")).unwrap();
    assert_eq!(kept.delivery, DeliveryDigest(FROZEN.to_owned()));
    let canary = kept.strategy.pointer_mut("/canary").unwrap();
    canary
        .as_object_mut()
        .unwrap()
        .insert("maxUnavailable".to_owned(), json!(1));
    observed
}

fn evicted(observed: &Observed) -> usize {
    let plan = reconcile(observed);
    let violations = audit(observed, &plan);
    assert!(violations.is_empty(), "{violations:?}\n{plan}");
    let evicts = |action: &&Action| matches!(action, Action::EvictPod { .. });
    plan.actions.iter().filter(evicts).count()
}

/// Found by a random life (seed 34053): the audit took the frozen bounds for those of now.
#[test]
fn a_restart_goes_by_the_bounds_of_now() {
    assert_eq!(evicted(&begin()), 2);
}

#[test]
fn the_outcome_that_is_recorded_now_ends_what_was_frozen() {
    let mut observed = begin();
    let GateRecord::Present(gate) = &mut observed.gate.record else {
        panic!("no record");
    };
    gate.status.as_mut().unwrap().outcome = None;
    assert_eq!(evicted(&observed), 2);
}
