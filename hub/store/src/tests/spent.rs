//! Permits that have ended against a real Postgres (gate.md G6, G17): a Gate rebuilt from its set finds nothing to start.

use hub_engine::observed::{Outcome, OutcomeResult};
use hub_engine::release::{Direction, Permit, TargetState};

use super::fixture::Signer;
use super::words::fleet::{Fleet, id, name};
use crate::desired::Governance;
use crate::report::Body;

/// The permit in a member's set.
async fn permitted(fleet: &Fleet, member: usize) -> Option<Permit> {
    let member = fleet.members.get(member).unwrap();
    let set = fleet.store.desired_set(&member.name).await.unwrap();
    let governance = set.entries.into_iter().next()?.governance;
    let Governance::Governed { permit, .. } = governance else {
        return None;
    };
    Some(permit?.permit)
}

async fn fence(fleet: &Fleet) -> hub_engine::Fence {
    fleet.store.desired_set(&"eu".into()).await.unwrap().fence
}

async fn ends(fleet: &mut Fleet, permit: &Permit, result: OutcomeResult) {
    let store = fleet.store.clone();
    let member = fleet.members.first_mut().unwrap();
    member.state.outcome = Some(Outcome {
        fence: permit.fence,
        release: permit.release.to_string(),
        digest: permit.digest.clone(),
        result,
        message: "errors".to_owned(),
        generation: 2,
    });
    let state = member.state.clone();
    member.report(&store, Body::State(state)).await;
}

/// One transaction records the outcome and takes the permit out of the set: no reader of sets sees the one without the other.
#[tokio::test]
async fn an_outcome_takes_its_permit_out_of_the_set() {
    let mut fleet = Fleet::new(false).await;
    fleet.push("b", 2).await;
    let permit = permitted(&fleet, 0).await.unwrap();
    let before = fence(&fleet).await;
    ends(&mut fleet, &permit, OutcomeResult::Failed).await;
    let decided = fleet.store.decide(fleet.epoch, &name(), &Signer).await;
    let plan = decided.unwrap().unwrap().plan;
    let kinds: Vec<&str> = plan.actions.iter().map(|one| one.action.kind()).collect();
    assert!(
        kinds.contains(&"TargetFailed") && kinds.contains(&"PermitRevoked"),
        "{kinds:?}"
    );
    assert_eq!(permitted(&fleet, 0).await, None);
    assert!(fence(&fleet).await > before);
    let told = fleet.told(1).await;
    let revoked = told.iter().filter(|(kind, _)| kind == "PermitRevoked");
    let texts: Vec<&str> = revoked.map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["eu loses its permit: it has ended Failed"]);
    // Nothing is left to do, and what the history alone gives has no permit either.
    fleet.decide().await;
    let replayed = fleet.store.history_replay(&name()).await.unwrap().unwrap();
    let gate = replayed.cluster(&"eu".into()).unwrap().gate.clone();
    assert_eq!(gate.unwrap().permit, None);
    let row = fleet.store.release_get(&id(1)).await.unwrap();
    let target = row.release.target(&"eu".into()).unwrap();
    assert_eq!(
        (target.state, &target.permit),
        (TargetState::Failed, &Some(permit))
    );
}

/// One that leads back stands while Git still says what was taken back (G22).
#[tokio::test]
async fn a_permit_that_leads_back_stays_after_its_outcome() {
    let mut fleet = Fleet::new(false).await;
    fleet.push("b", 2).await;
    fleet.settle().await;
    assert_eq!(permitted(&fleet, 0).await, None, "served, and spent");
    fleet.say(hub_engine::verb::Verb::Rollback, 1, "").await;
    fleet.settle().await;
    let back = permitted(&fleet, 0).await.unwrap();
    assert_eq!(back.direction, Direction::Rollback);
}
