//! A cluster put back to a time before its first permit, or before the end of it, against a real Postgres (gate.md G18, L4, F37):
//! what it had reached counts again by its agent's word alone.

use hub_engine::observed::Outcome;
use hub_engine::release::TargetState;

use super::words::fleet::{Fleet, id, name};

/// What the hub knows of `eu`: its outcome, and its target.
async fn known(fleet: &Fleet) -> (Option<Outcome>, TargetState) {
    let observed = fleet.store.observe(&name()).await.unwrap().unwrap();
    let rollout = observed.cluster(&"eu".into()).unwrap().rollout.clone();
    let row = fleet.store.release_get(&id(1)).await.unwrap();
    let state = row.release.target(&"eu".into()).unwrap().state;
    (rollout.unwrap().outcome.clone(), state)
}

#[tokio::test]
async fn a_cluster_that_comes_back_without_its_outcome_begins_again() {
    let mut fleet = Fleet::baking().await;
    let before = fleet.members[0].state.clone();
    fleet.push("b", 2).await;
    fleet.settle().await;
    fleet.members[0].acknowledges(&fleet.store).await;
    let (outcome, state) = known(&fleet).await;
    assert_eq!(state, TargetState::Succeeded, "and its wave bakes");
    let first = outcome.unwrap().fence;

    // An agent that starts anew at the fence that it had says everything.
    let fence = fleet.store.desired_set(&"eu".into()).await.unwrap().fence;
    let store = fleet.store.clone();
    let member = &mut fleet.members[0];
    let served = member.state.clone();
    member.comes(&store, fence.version).await;
    assert_eq!(known(&fleet).await.0, served.outcome);
    let member = &mut fleet.members[0];
    member.state.outcome = None;

    // Out of a backup it serves the former content and holds what Git says.
    let member = &mut fleet.members[0];
    member.state.served = before.served;
    member.state.healthy = before.healthy;
    member.state.held = served.spec.as_ref().map(|spec| spec.digest.clone());
    member.comes(&store, 0).await;
    assert_eq!(known(&fleet).await, (None, TargetState::Succeeded));
    fleet.decide().await;
    let waits = known(&fleet).await.1;
    assert_eq!(waits, TargetState::Succeeded, "until it has caught up");
    fleet.members[0].acknowledges(&fleet.store).await;
    fleet.decide().await;
    assert_eq!(known(&fleet).await, (None, TargetState::Permitted));
    fleet.settle().await;
    let (outcome, state) = known(&fleet).await;
    assert_eq!(state, TargetState::Succeeded);
    assert!(outcome.unwrap().fence > first);
}

/// The copy is of the same fence: its permit had taken effect, and the hub's word after its end was not stored yet.
#[tokio::test]
async fn a_cluster_that_comes_back_at_its_fence_without_its_outcome_begins_again() {
    let mut fleet = Fleet::baking().await;
    let before = fleet.members[0].state.clone();
    fleet.push("b", 2).await;
    for _ in 0..3 {
        fleet.decide().await;
    }
    let store = fleet.store.clone();
    fleet.members[0].acknowledges(&store).await;
    let held = fleet.members[0].state.held.clone();
    let fence = store.desired_set(&"eu".into()).await.unwrap().fence;
    fleet.members[0].work(&store).await;
    for _ in 0..3 {
        fleet.decide().await;
    }
    let (outcome, state) = known(&fleet).await;
    assert_eq!(state, TargetState::Succeeded);
    let desired = store.desired_set(&"eu".into()).await.unwrap().fence;
    assert!(desired > fence, "its end takes the permit out of the set");
    let first = outcome.unwrap().fence;

    let member = &mut fleet.members[0];
    member.state.served = before.served;
    member.state.healthy = before.healthy;
    (member.state.held, member.state.outcome) = (held, None);
    member.comes(&store, fence.version).await;
    assert_eq!(known(&fleet).await, (None, TargetState::Succeeded));
    fleet.members[0].acknowledges(&store).await;
    fleet.decide().await;
    assert_eq!(known(&fleet).await, (None, TargetState::Permitted));
    fleet.settle().await;
    let (outcome, state) = known(&fleet).await;
    assert_eq!(state, TargetState::Succeeded);
    assert!(outcome.unwrap().fence > first);
}
