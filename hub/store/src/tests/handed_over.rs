//! A cluster that one FleetRollout let go and another one governs (gate.md G12, G24). In: a push, decided by either of them
//! first. Out: a release of the one that governs it, with the plan that was shown before.

use hub_engine::member::LetGo;
use hub_engine::name::ReleaseId;
use hub_engine::release::ReleasePhase;
use hub_engine::verb::Verb;
use hub_engine::{ClusterName, FleetRolloutName};

use super::fixture::Signer;
use super::words::fleet::{Fleet, name, word};
use crate::preview::Previewed;
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

async fn let_go(fleet: &Fleet, cluster: Option<ClusterName>) {
    let verb = Verb::Ungovern {
        cluster,
        mode: LetGo::KeepServing,
    };
    let request = NewRequest {
        release: None,
        ..word(verb, 0, "")
    };
    fleet.store.request_add(&request).await.unwrap();
    fleet.decide().await;
}

async fn handed_over() -> Fleet {
    let fleet = Fleet::new(false).await;
    let_go(&fleet, Some("us".into())).await;
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

/// The clusters of its waves, and its digest: of what is stored, and the same of its own text as a file.
async fn shown(fleet: &Fleet, name: &FleetRolloutName) -> (Vec<String>, String) {
    let plan = fleet.store.preview(name).await.unwrap().unwrap();
    let rows = fleet.store.fleet_rollout_list().await.unwrap();
    let row = rows.iter().find(|row| row.fleet_rollout.name == *name);
    let file = hub_engine::parse_file(&row.unwrap().text).unwrap();
    let planned = fleet.store.preview_of(&file).await.unwrap();
    let Previewed::Plans(planned) = planned else {
        panic!("{planned:?}");
    };
    assert_eq!(
        (planned[0].digest.as_str(), &planned[0].notes),
        (plan.digest.as_str(), &plan.notes)
    );
    let clusters = plan.waves.iter().flat_map(|wave| &wave.clusters);
    let clusters: Vec<String> = clusters.map(|one| one.name.to_string()).collect();
    assert_eq!(plan.governed as usize, clusters.len());
    (clusters, plan.digest)
}

async fn opened(fleet: &Fleet, fleet_rollout: FleetRolloutName) -> String {
    let number = 1;
    let id = ReleaseId {
        fleet_rollout,
        number,
    };
    let row = fleet.store.release_get(&id).await.unwrap();
    row.release.plan_digest
}

#[tokio::test]
async fn a_release_opens_with_the_plan_that_was_shown_without_what_was_let_go() {
    let mut fleet = Fleet::new(false).await;
    let whole = shown(&fleet, &name()).await;
    assert_eq!(whole.0, ["eu", "us"]);
    let_go(&fleet, Some("us".into())).await;
    let (clusters, digest) = shown(&fleet, &name()).await;
    assert_eq!(clusters, ["eu"]);
    let plan = fleet.store.preview(&name()).await.unwrap().unwrap();
    let notes = plan.notes.join("\n");
    assert!(notes.contains("let go, so in no wave: us"), "{notes}");
    fleet.push("b", 2).await;
    assert_eq!(opened(&fleet, name()).await, digest);
}

#[tokio::test]
async fn a_release_opens_with_the_plan_that_was_shown_without_what_another_one_governs() {
    let mut fleet = handed_over().await;
    // By its labels it is the next one's, too; the first one goes on governing it.
    sqlx::query("update clusters set labels = '{\"ring\": \"us\"}' where name = 'eu'")
        .execute(&fleet.store.pool)
        .await
        .unwrap();
    let (clusters, digest) = shown(&fleet, &next()).await;
    assert_eq!(clusters, ["us"]);
    let plan = fleet.store.preview(&next()).await.unwrap().unwrap();
    let notes = plan.notes.join("\n");
    assert!(
        notes.contains("governed by another FleetRollout, so in no wave: eu (checkout)"),
        "{notes}"
    );
    fleet.pushed("b", 2).await;
    decide(&fleet, &next()).await;
    assert_eq!(opened(&fleet, next()).await, digest);
}

/// Whoever applies it again means its clusters, and is shown that.
#[tokio::test]
async fn one_that_was_deleted_is_planned_over_what_it_had_let_go() {
    let fleet = Fleet::new(false).await;
    let rows = fleet.store.fleet_rollout_list().await.unwrap();
    let file = hub_engine::parse_file(&rows[0].text).unwrap();
    let_go(&fleet, None).await;
    assert_eq!(shown(&fleet, &name()).await.0, Vec::<String>::new());
    let person = "ann".into();
    let own = name();
    let deleted = fleet.store.fleet_rollout_delete(&own, &person, "over");
    deleted.await.unwrap();
    let planned = fleet.store.preview_of(&file).await.unwrap();
    let applied = fleet.store.fleet_rollout_apply(&file, &person, false);
    applied.await.unwrap();
    let (clusters, digest) = shown(&fleet, &name()).await;
    assert_eq!(clusters, ["eu", "us"]);
    assert!(
        matches!(&planned, Previewed::Plans(plans) if plans[0].digest == digest),
        "{planned:?}"
    );
}
