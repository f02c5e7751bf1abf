//! A cluster put back to a time before its first permit, or before the end of it, against a real Postgres (gate.md G18, L4, F37):
//! what it had reached counts again by its agent's word alone. And one whose Rollout was made again, which has lost nothing.

use hub_engine::observed::Outcome;
use hub_engine::release::TargetState;

use crate::report::Body;

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

/// What was deleted took its end with it, and its Gate's record, which is by name, may tell that once more (G6, G10). What the
/// release needs of it stays.
#[tokio::test]
async fn a_rollout_that_was_made_again_is_not_asked_for_the_end_of_the_former() {
    for told_once_more in [false, true] {
        let mut fleet = Fleet::baking().await;
        fleet.push("b", 2).await;
        fleet.settle().await;
        let store = fleet.store.clone();
        fleet.members[0].acknowledges(&store).await;
        let version = store.desired_set(&"eu".into()).await.unwrap().fence.version;
        let (outcome, state) = known(&fleet).await;
        assert_eq!(state, TargetState::Succeeded);

        let member = &mut fleet.members[0];
        member.state.uid = "another".into();
        if !told_once_more {
            member.state.outcome = None;
        }
        let state = member.state.clone();
        member.report(&store, Body::State(state)).await;
        member.state.outcome = None;
        for _ in 0..2 {
            fleet.members[0].comes(&store, version).await;
        }
        assert_eq!(
            known(&fleet).await,
            (outcome.clone(), TargetState::Succeeded)
        );
        fleet.settle().await;
        assert_eq!(known(&fleet).await.1, TargetState::Succeeded);

        // The end of its own permit is asked for.
        let mut own = outcome.unwrap();
        own.fence.version += 1;
        let member = &mut fleet.members[0];
        let (uid, outcome) = ("another".into(), own);
        member.report(&store, Body::Outcome { uid, outcome }).await;
        member.comes(&store, version).await;
        assert_eq!(known(&fleet).await.0, None);
    }
}
