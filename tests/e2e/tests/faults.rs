//! An API server on a bad day. In: a canary whose writes go wrong, a third of them, each sort of fault in its turn. Out: it
//! completes, with as many ReplicaSets and pods as on a good day, and nothing was written over somebody else's.

use std::collections::BTreeSet;

use serde_json::json;
use tests_e2e::bed::Bed;
use tests_e2e::deed;
use tests_e2e::object::{Kind, text};
use tests_e2e::shop::Shop;
use tests_fleet::proxy::api::ApiProxy;
use tests_fleet::proxy::fault::Fault;
use tests_fleet::records::{self, Happening, JournalLine};
use tests_fleet::{Agent, AgentAccess, AgentOptions};

/// The first of so many writes goes wrong.
const ONE_OF: u64 = 3;

#[tokio::test]
async fn a_canary_completes_whatever_goes_wrong_with_its_writes() {
    let bed = Bed::up("faults", &["faults"]).await.expect("a cluster");
    let cluster = bed.first().expect("the cluster").clone();
    let access = AgentAccess::install(&bed.run, &cluster)
        .await
        .expect("rights");
    deed::remove_our_kinds(&cluster)
        .await
        .expect("a plain cluster");
    let proxy = ApiProxy::start(access.server(), &["/leases", "/events"])
        .await
        .expect("a proxy");
    let access = access
        .through(&bed.run, "faults", proxy.url(), None)
        .expect("access");
    let mut agent = Agent::start(&bed.run, &access, &AgentOptions::default()).expect("the agent");
    for fault in Fault::ALL {
        let namespace = format!("{fault:?}").to_lowercase();
        let shop = Shop::open(&cluster, &namespace).await.expect("a namespace");
        proxy.faults().set(Some((fault, ONE_OF)));
        let steps = json!([{"setWeight": 20}, {"pause": {"duration": "1s"}}]);
        shop.first("v1", &steps).await.expect("the first version");
        shop.deploy("v2", &steps).await.expect("the second version");
        let rollout = shop.healthy("v2").await.expect("healthy");
        assert!(
            proxy.faults().made() >= 3,
            "{fault:?}: {}",
            proxy.faults().made()
        );
        proxy.faults().set(None);
        assert_eq!(
            text(&rollout, "/status/stableRS"),
            text(&rollout, "/status/currentPodHash")
        );
        let sets = shop.all(Kind::ReplicaSet).await.expect("its sets");
        assert_eq!(sets.len(), 2, "{fault:?}");
        let lines: Vec<JournalLine> = records::read(&cluster.journal()).expect("the journal");
        let started: BTreeSet<String> = lines
            .into_iter()
            .filter(|line| line.namespace == namespace && line.event == Happening::Started)
            .map(|line| line.uid)
            .collect();
        assert_eq!(started.len(), 10, "{fault:?}: each pod once");
    }
    agent.process().must_run().expect("it runs");
    agent.assert_no_forbidden().expect("its rights are enough");
}
