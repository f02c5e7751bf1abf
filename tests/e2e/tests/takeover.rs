//! Argo Rollouts' published controller and the agent in one cluster, both candidates for the one Lease. In: canaries that
//! one of them began, and its end. Out: only who holds the Lease acts; the other goes on where the canary stands, without a
//! pod started or stopped by it, and a person's promotion leads on to the end.

use serde_json::{Value, json};
use tests_e2e::bed::Bed;
use tests_e2e::deed;
use tests_e2e::peer::{Peer, rival};
use tests_e2e::shop::{SOON, Shop};
use tests_e2e::standing::{self, Standing};
use tests_fleet::{AgentAccess, Cluster, eventually};

/// How often a candidate finds the Lease held while the other one takes a step.
const LOOKS: usize = 5;

/// It is taken over at the second pause, where the canary is larger than a canary that begins anew.
fn steps() -> Value {
    json!([
        {"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {}},
        {"setWeight": 80}, {"pause": {"duration": 1}},
    ])
}

/// Brings a version to its first pause.
async fn begin(shop: &Shop, old: &str, new: &str) {
    shop.deploy(new, &steps()).await.expect("applied");
    shop.paused_at(1).await.expect("at the first pause");
    shop.serves(&[(old, 4), (new, 1)]).await.expect("a fifth");
}

/// From its first pause to the second.
async fn go_on(cluster: &Cluster, shop: &Shop, old: &str, new: &str) -> Standing {
    shop.verb(&deed::promote()).await.expect("promoted");
    shop.paused_at(3).await.expect("at the second pause");
    shop.serves(&[(old, 2), (new, 3)]).await.expect("three");
    Standing::of(cluster, shop).await.expect("where it stands")
}

/// From its second pause to the end.
async fn finish(cluster: &Cluster, shop: &Shop, new: &str, started: usize) {
    shop.verb(&deed::promote()).await.expect("promoted");
    shop.healthy(new).await.expect("out");
    let pods = standing::started(cluster, shop).expect("the journal");
    assert_eq!(pods.len(), started, "each pod of {new} once");
}

#[tokio::test]
async fn argo_rollouts_and_the_agent_take_over_from_each_other_in_mid_canary() {
    let bed = Bed::up("takeover", &["takeover"]).await.expect("a cluster");
    let cluster = bed.first().expect("it").clone();
    let access = AgentAccess::install(&bed.run, &cluster).await;
    let access = access.expect("rights");
    deed::remove_our_kinds(&cluster).await.expect("a plain one");
    let shop = Shop::open(&cluster, "takeover").await.expect("a namespace");

    // Theirs to ours.
    let mut peer = Peer::start(&bed.run, &cluster, "peer-first").expect("the peer");
    peer.leads().await.expect("it leads");
    shop.first("v1", &steps()).await.expect("healthy");
    begin(&shop, "v1", "v2").await;
    let mut agent = rival(&bed.run, &access).expect("the agent");
    eventually(
        "the agent has looked several times",
        SOON,
        async || match agent.process().log().matches("is held by").count() {
            LOOKS.. => Ok(()),
            looks => Err(format!("{looks} looks")),
        },
    )
    .await
    .expect("it waits");
    let before = go_on(&cluster, &shop, "v1", "v2").await;
    standing::untouched(&shop).await.expect("one acts");
    peer.process().kill().await.expect("killed");
    standing::taken_over(&shop, &before.hashes[0])
        .await
        .expect("the agent leads");
    let after = Standing::of(&cluster, &shop).await.expect("it");
    assert_eq!(before, after, "the agent leaves it as it stands");
    finish(&cluster, &shop, "v2", 5 + 5).await;

    // Ours to theirs.
    begin(&shop, "v2", "v3").await;
    let mut peer = Peer::start(&bed.run, &cluster, "peer-second").expect("the peer");
    peer.stands_by().await.expect("it waits");
    let before = go_on(&cluster, &shop, "v2", "v3").await;
    assert_eq!(peer.passes(), 0, "one acts");
    agent.process().must_run().expect("it runs");
    agent.assert_no_fault().expect("its rights are enough");
    agent.process().kill().await.expect("killed");
    peer.leads().await.expect("it leads");
    peer.rests().await.expect("it has looked");
    let after = Standing::of(&cluster, &shop).await.expect("it");
    assert_eq!(before, after, "the peer leaves it as it stands");
    finish(&cluster, &shop, "v3", 5 + 5 + 5).await;
    peer.process().must_run().expect("it runs");
}
