//! What begins again: a release that failed, by a person's word, and an agent that joins once more in mid-release. In: verbs, a
//! Secret that is deleted, a new token. Out: the content is served after all; the canary goes on where it was.

use kube::api::DeleteParams;
use serde_json::{Value, json};
use tests_e2e::deed;
use tests_e2e::fleet::{Fleet, state};
use tests_e2e::object::{Kind, text};
use tests_e2e::shop::{SOON, Shop};
use tests_fleet::agent::NAMESPACE as AGENT_NAMESPACE;
use tests_fleet::records::{self, Happening, JournalLine};
use tests_fleet::{Agent, AgentAccess, AgentOptions, eventually};

use super::{World, by_hand};

/// Namespace and FleetRollout.
const AGAIN: &str = "again";
/// Where an agent keeps who it is.
const IDENTITY: &str = "groundswell-agent-identity";

/// The first step of a canary waits for a person, who lets it go on.
async fn lets_go_on(shop: &Shop, version: &str) {
    shop.paused_at(1).await.expect("at its first step");
    shop.verb(&deed::promote()).await.expect("promoted");
    shop.healthy(version).await.expect("through");
}

/// A release goes through both clusters, whose first one is at its first step or on its way there.
async fn through_both(world: &World<'_>, release: &str, version: &str) {
    let [one, two] = &world.shops[..] else {
        panic!("two clusters");
    };
    lets_go_on(one, version).await;
    world.asks_for_approval(release).await;
    world.approve(release).await;
    lets_go_on(two, version).await;
    let ended = world.fleet.ends(release, "Succeeded").await;
    let ended = ended.expect("through");
    for cluster in ["one", "two"] {
        assert_eq!(state(&ended, cluster), "Succeeded", "{ended}");
    }
}

/// v2 fails in the first cluster; a person says to the fleet that it may start once more.
pub(super) async fn is_started(fleet: &Fleet) {
    let world = World::open(fleet, AGAIN).await;
    world.push("v1", [&by_hand(), &by_hand()]).await;
    for shop in &world.shops {
        shop.healthy("v1").await.expect("a first deploy is free");
    }
    world.push("v2", [&by_hand(), &by_hand()]).await;
    let one = &world.shops[0];
    one.paused_at(1).await.expect("at its first step");
    one.verb(&deed::abort()).await.expect("aborted");
    let ended = |release: &Value| ["Failed", "RolledBack"].contains(&text(release, "/phase"));
    let ended = fleet.release_until("again#1", "ends badly", ended).await;
    let ended = ended.expect("ended");
    assert_eq!(state(&ended, "one"), "Failed", "{ended}");
    one.serves(&[("v1", 5)]).await.expect("back on v1");
    let start = ["release", "start", AGAIN, "--reason", "it was the network"];
    fleet.admin.run(&start).await.expect("started again");
    through_both(&world, "again#2", "v2").await;
}

/// Pods of a version that were ever started in the first cluster.
fn started(world: &World<'_>, version: &str) -> usize {
    let cluster = &world.fleet.bed.sandbox.clusters()[0];
    let lines: Vec<JournalLine> = records::read(&cluster.journal()).expect("a journal");
    let image = format!("demo:{version}");
    let of_it = |line: &&JournalLine| {
        line.event == Happening::Started && line.image == image && line.namespace == AGAIN
    };
    lines.iter().filter(of_it).count()
}

/// In the middle of v3 the agent of the first cluster loses who it is, and joins with a new token.
pub(super) async fn is_registered(fleet: &mut Fleet) {
    let shops = fleet.shops(AGAIN).await.expect("its namespaces");
    let world = World { fleet, shops };
    world.push("v3", [&by_hand(), &by_hand()]).await;
    let one = &world.shops[0];
    one.paused_at(1).await.expect("at its first step");
    let World { shops, .. } = world;
    joins_anew(fleet).await;

    let world = World { fleet, shops };
    let one = &world.shops[0];
    one.paused_at(1).await.expect("where it was");
    one.serves(&[("v2", 4), ("v3", 1)]).await.expect("a fifth");
    assert_eq!(started(&world, "v3"), 1, "nothing was begun twice");
    through_both(&world, "again#3", "v3").await;
    assert_eq!(started(&world, "v3"), 5, "each pod once");
    let mut permits = fleet.history("PermitGranted").await.expect("history");
    permits.retain(|permit| text(permit, "/release") == "again#3");
    assert_eq!(permits.len(), 2, "one for each cluster: {permits:?}");
}

/// The agent of the first cluster ends, its identity goes, and another program joins as the same cluster.
async fn joins_anew(fleet: &mut Fleet) {
    let cluster = fleet.bed.sandbox.clusters()[0].clone();
    fleet.agents[0].process().stop().await.expect("ended");
    let client = cluster.client().await.expect("a client");
    let secrets = Kind::Secret.of(&client, AGENT_NAMESPACE);
    let gone = secrets.delete(IDENTITY, &DeleteParams::default()).await;
    gone.expect("it was there");
    let label = format!("name={}", cluster.name());
    let token = ["cluster", "token", cluster.name(), "--label", &label];
    let token = fleet.admin.run(&token).await.expect("a token");
    let access = AgentAccess::install(&fleet.bed.run, &cluster).await;
    let options = AgentOptions {
        hub: Some(fleet.hub.url()),
        join_token: Some(token.trim().to_owned()),
        ..AgentOptions::default()
    };
    let agent = Agent::start(&fleet.bed.run, &access.expect("rights"), &options);
    fleet.agents[0] = agent.expect("the agent");
    eventually("it has joined once more", SOON, async || {
        let joined = fleet.history("ClusterJoined").await;
        let mut joined = joined.map_err(|error| error.to_string())?;
        joined.retain(|row| row.to_string().contains("one joined with token"));
        match joined.len() {
            2 => Ok(()),
            _ => Err(json!(joined).to_string()),
        }
    })
    .await
    .expect("joined");
    fleet.connected(2).await.expect("both");
}
