//! Permits that have ended against a real Postgres (gate.md G6, G17): a Gate rebuilt from its set finds nothing to start.

use hub_engine::observed::{Outcome, OutcomeResult};
use hub_engine::release::{Direction, Permit, TargetState};

use super::fixture::Signer;
use super::words::fleet::{Fleet, id, name};
use crate::desired::{Governance, SignedPermit};
use crate::report::Body;

/// The permit in a member's set.
async fn permitted(fleet: &Fleet, member: usize) -> Option<Permit> {
    Some(signed(fleet, member).await?.permit)
}

async fn signed(fleet: &Fleet, member: usize) -> Option<SignedPermit> {
    let member = fleet.members.get(member).unwrap();
    let set = fleet.store.desired_set(&member.name).await.unwrap();
    let governance = set.entries.into_iter().next()?.governance;
    let Governance::Governed { permit, .. } = governance else {
        return None;
    };
    permit
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

/// How a cluster goes back is what the plan of its release says, also by hand (G22); nothing goes forward that way.
#[tokio::test]
async fn a_permit_that_leads_back_says_whether_its_steps_are_skipped() {
    for wanted in [false, true] {
        let mut fleet = match wanted {
            false => Fleet::new(false).await,
            true => Fleet::backwards().await,
        };
        fleet.push("b", 2).await;
        assert!(!signed(&fleet, 0).await.unwrap().steps_backwards);
        fleet.settle().await;
        fleet.say(hub_engine::verb::Verb::Rollback, 1, "").await;
        let back = signed(&fleet, 1).await.unwrap();
        assert_eq!(back.permit.direction, Direction::Rollback);
        assert_eq!(back.steps_backwards, wanted);
        let says = |text: &str| text.ends_with("goes back to v1:a by the canary's steps");
        let told = fleet.told(1).await;
        assert_eq!(told.iter().any(|(_, text)| says(text)), wanted, "{told:?}");
        let notes = fleet.store.preview(&name()).await.unwrap().unwrap().notes;
        let says = |note: &String| note.ends_with("last wave first, by the canary's steps");
        assert_eq!(notes.iter().any(says), wanted, "{notes:?}");
        fleet.settle().await;
        assert_eq!(signed(&fleet, 0).await.unwrap().steps_backwards, wanted);
        fleet.store.history_replay(&name()).await.unwrap().unwrap();
    }
}
