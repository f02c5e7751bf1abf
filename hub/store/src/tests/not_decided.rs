//! Plans that the audit refuses, or that do not come out, against a real Postgres: nothing starts, people are told why, and what
//! they stop is stopped in the clusters (gate.md G30).

use hub_engine::name::Person;
use hub_engine::{Decided, Observed};

use super::fixture::Signer;
use super::words::fleet::{Fleet, id, name};
use crate::decide::Decide;
use crate::desired::Governance;
use crate::stop::NewStop;

const SAID: &str = "S8: planted";

fn refuses(observed: &Observed) -> Result<Decided, String> {
    hub_engine::restrain(observed, SAID.to_owned())
}

#[allow(clippy::panic, reason = "a plan that does not come out")]
fn panics(_: &Observed) -> Result<Decided, String> {
    panic!("planted")
}

async fn stopped(fleet: &Fleet) -> Vec<Option<String>> {
    let mut all = Vec::new();
    for member in &fleet.members {
        let set = fleet.store.desired_set(&member.name).await.unwrap();
        for entry in set.entries {
            let Governance::Governed { terms, .. } = entry.governance else {
                continue;
            };
            all.push(terms.stopped);
        }
    }
    all
}

async fn check(decide: Decide, says: &str) {
    let mut fleet = Fleet::new(false).await;
    let right = std::mem::replace(&mut fleet.store.decide, decide);
    fleet.pushed("b", 2).await;
    let decided = fleet.store.decide(fleet.epoch, &name(), &Signer).await;
    let decided = decided.unwrap().unwrap();
    assert!(decided.refused.contains(says), "{}", decided.refused);
    assert!(decided.plan.actions.is_empty(), "{:?}", decided.plan);
    let mut stored = fleet.store.fleet_rollout_list().await.unwrap();
    let reasons = stored.pop().unwrap().reasons;
    let texts: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    assert!(
        matches!(texts.as_slice(), [only] if only.contains(says) && only.contains("a stop still counts")),
        "{texts:?}"
    );
    let stop = NewStop {
        fleet_rollout: Some(name()),
        lift: false,
        person: Person("ann".into()),
        reason: "wrong".to_owned(),
        key: String::new(),
    };
    fleet.store.stop(&stop).await.unwrap();
    fleet.decide().await;
    let wanted = Some("stopped by ann: wrong".to_owned());
    assert_eq!(stopped(&fleet).await, [wanted.clone(), wanted]);
    // As soon as the plan is right again, everything goes on.
    fleet.store.decide = right;
    let lift = NewStop { lift: true, ..stop };
    fleet.store.stop(&lift).await.unwrap();
    fleet.settle().await;
    assert_eq!(stopped(&fleet).await, [None, None]);
    let row = fleet.store.release_get(&id(1)).await.unwrap();
    assert!(row.release.phase.ended(), "{:?}", row.release.phase);
}

#[tokio::test]
async fn a_plan_that_the_audit_refuses_starts_nothing_and_a_stop_still_counts() {
    check(refuses, SAID).await;
}

#[tokio::test]
async fn so_does_one_that_does_not_come_out() {
    check(panics, "no plan came out").await;
}
