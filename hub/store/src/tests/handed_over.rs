//! A cluster that one FleetRollout let go and another one governs (gate.md G12, G24). In: a push, decided by either of them
//! first. Out: a release of the one that governs it.

use hub_engine::member::LetGo;
use hub_engine::name::ReleaseId;
use hub_engine::release::ReleasePhase;
use hub_engine::verb::Verb;
use hub_engine::{ClusterName, FleetRolloutName};

use super::fixture::Signer;
use super::words::fleet::{Fleet, name, word};
use crate::request::NewRequest;

/// Each selects one cluster: `us` goes from the first to the second.
const DOCUMENTS: &str = "
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: checkout}
spec:
  rollout: {namespace: shop, name: checkout}
  enforcement: Enforce
  clusters: {matchLabels: {ring: eu}}
  waves:
  - {name: all}
---
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: next}
spec:
  rollout: {namespace: shop, name: checkout}
  enforcement: Enforce
  clusters: {matchLabels: {ring: us}}
  waves:
  - {name: all}
";

fn next() -> FleetRolloutName {
    "next".into()
}

async fn decide(fleet: &Fleet, name: &FleetRolloutName) {
    for _ in 0..4 {
        let decided = fleet.store.decide(fleet.epoch, name, &Signer).await;
        decided.unwrap().unwrap();
    }
}

async fn handed_over() -> Fleet {
    let fleet = Fleet::new(false).await;
    let verb = Verb::Ungovern {
        cluster: Some("us".into()),
        mode: LetGo::KeepServing,
    };
    let request = NewRequest {
        release: None,
        ..word(verb, 0, "")
    };
    fleet.store.request_add(&request).await.unwrap();
    fleet.decide().await;
    let file = hub_engine::parse_file(DOCUMENTS).unwrap();
    let person = "ann".into();
    let applied = fleet.store.fleet_rollout_apply(&file, &person, false);
    applied.await.unwrap();
    decide(&fleet, &next()).await;
    let old = fleet.store.observe(&name()).await.unwrap().unwrap();
    assert_eq!(old.conflicts.get(&ClusterName::from("us")), Some(&next()));
    fleet
}

#[tokio::test]
async fn a_push_opens_a_release_of_whoever_governs_the_cluster_now() {
    for first in [name(), next()] {
        let mut fleet = handed_over().await;
        fleet.pushed("b", 2).await;
        decide(&fleet, &first).await;
        for one in [name(), next()] {
            decide(&fleet, &one).await;
        }
        for (fleet_rollout, cluster) in [(name(), "eu"), (next(), "us")] {
            let id = ReleaseId {
                fleet_rollout,
                number: 1,
            };
            let row = fleet.store.release_get(&id).await.unwrap();
            assert_eq!(
                row.release.phase,
                ReleasePhase::Progressing,
                "{first} first"
            );
            let targets = row.release.targets.iter();
            let targets: Vec<&str> = targets.map(|one| one.cluster.as_str()).collect();
            assert_eq!(targets, [cluster], "{first} first");
        }
        let left = fleet.store.observe(&name()).await.unwrap().unwrap();
        assert!(left.changes.is_empty(), "{first} first");
    }
}
