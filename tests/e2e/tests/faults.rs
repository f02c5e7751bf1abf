//! An API server on a bad day. In: canaries whose writes go wrong, a third of them, for each sort of fault one. Out: it
//! completes, with as many ReplicaSets and pods as on a good day, and nothing was written over somebody else's.

use futures::future::join_all;
use serde_json::json;
use tests_e2e::bed::Shared;
use tests_e2e::lane::Lane;
use tests_e2e::object::{Kind, text};
use tests_e2e::standing;
use tests_fleet::proxy::fault::Fault;

/// The first of so many writes goes wrong.
const ONE_OF: u64 = 3;

#[tokio::test]
async fn a_canary_completes_whatever_goes_wrong_with_its_writes() {
    let shared = Shared::get().await.expect("the shared cluster");
    join_all(Fault::ALL.map(async |fault| completes(shared, fault).await)).await;
}

async fn completes(shared: &Shared, fault: Fault) {
    let name = format!("faults-{fault:?}").to_lowercase();
    let lane = Lane::open(shared, &name).await.expect("an agent");
    let (shop, faults) = (&lane.shop, lane.proxy.faults());
    faults.set(Some((fault, ONE_OF)));
    let steps = json!([{"setWeight": 20}, {"pause": {"duration": "1s"}}]);
    shop.first("v1", &steps).await.expect("the first version");
    shop.deploy("v2", &steps).await.expect("the second version");
    let rollout = shop.healthy("v2").await.expect("healthy");
    assert!(faults.made() >= 3, "{fault:?}: {}", faults.made());
    assert_eq!(
        text(&rollout, "/status/stableRS"),
        text(&rollout, "/status/currentPodHash")
    );
    let sets = shop.all(Kind::ReplicaSet).await.expect("its sets");
    assert_eq!(sets.len(), 2, "{fault:?}");
    let cluster = shared.cluster().expect("it");
    let started = standing::started(cluster, shop).expect("the journal");
    assert_eq!(started.len(), 10, "{fault:?}: each pod once");
    lane.close().await.expect("its rights are enough");
}
