//! Clusters that come and go in the middle of a release (F28). In: three real clusters, of which one joins and one is removed
//! while a release waits for a person. Out: the release ends as its policy says, and only what was permitted ever started.

use agent_api::names::gate_name;
use serde_json::{Value, json};
use tests_e2e::bed::Bed;
use tests_e2e::fleet::{Fleet, in_two_waves, revised, state};
use tests_e2e::object::{Kind, text};
use tests_e2e::shop::{NAME, SOON, Shop};
use tests_fleet::agent::NAMESPACE;
use tests_fleet::records::{self, Happening, JournalLine};
use tests_fleet::{Agent, AgentAccess, AgentOptions, Hub, HubOptions, eventually};

fn quick() -> Value {
    json!([{"setWeight": 20}, {"pause": {"duration": "1s"}}])
}

async fn push(shop: &Shop, version: &str) {
    let manifest = revised(shop.manifest(version, &quick()), version);
    shop.apply(&manifest).await.expect("applied");
}

/// Kinds and rights of an agent.
async fn install(fleet: &Fleet, index: usize) -> AgentAccess {
    let cluster = &fleet.bed.sandbox.clusters()[index];
    let access = AgentAccess::install(&fleet.bed.run, cluster).await;
    access.expect("rights")
}

/// The agent of a cluster joins the fleet.
async fn join(fleet: &mut Fleet, index: usize, access: AgentAccess) {
    let cluster = fleet.bed.sandbox.clusters()[index].clone();
    let label = format!("name={}", cluster.name());
    let token = ["cluster", "token", cluster.name(), "--label", &label];
    let token = fleet.admin.run(&token).await.expect("a token");
    let options = AgentOptions {
        hub: Some(fleet.hub.url()),
        join_token: Some(token.trim().to_owned()),
        ..AgentOptions::default()
    };
    let agent = Agent::start(&fleet.bed.run, &access, &options).expect("the agent");
    fleet.agents.push(agent);
}

/// Waits until the agent knows that the fleet has a say.
async fn governed(fleet: &Fleet, index: usize, shop: &Shop) {
    let client = fleet.bed.sandbox.clusters()[index].client().await;
    let gates = Kind::Gate.of(&client.expect("a client"), NAMESPACE);
    let gate = gate_name(shop.namespace(), NAME);
    eventually("it is governed", SOON, async || {
        let gate = gates.get(&gate).await;
        gate.map(|_| ()).map_err(|error| error.to_string())
    })
    .await
    .expect("a Gate");
}

/// Pods of a version that were ever started in a cluster.
fn started(fleet: &Fleet, index: usize, shop: &Shop, version: &str) -> usize {
    let journal = fleet.bed.sandbox.clusters()[index].journal();
    let lines: Vec<JournalLine> = records::read(&journal).expect("a journal");
    let image = format!("demo:{version}");
    let of_it = |line: &&JournalLine| {
        line.event == Happening::Started
            && line.image == image
            && line.namespace == shop.namespace()
    };
    lines.iter().filter(of_it).count()
}

/// Three clusters and a hub, and no member yet.
async fn up() -> Fleet {
    tests_fleet::init();
    let bed = Bed::up("membership", &["one", "two", "three"]).await;
    let bed = bed.expect("clusters");
    let hub = Hub::start(&bed.run, &HubOptions::default()).await;
    let hub = hub.expect("the hub");
    let admin = hub.admin().expect("an administrator");
    Fleet {
        agents: Vec::new(),
        admin,
        hub,
        bed,
    }
}

#[tokio::test]
async fn a_cluster_leaves_and_another_joins_in_the_middle_of_a_release() {
    let mut fleet = up().await;
    for index in 0..2 {
        let access = install(&fleet, index).await;
        join(&mut fleet, index, access).await;
    }
    fleet.connected(2).await.expect("two of three");
    let mut intent = in_two_waves(NAME, NAME);
    let rest = intent["spec"]["waves"][1].as_object_mut().expect("a wave");
    rest.remove("clusters");
    intent["spec"]["membership"] = json!({"lateJoin": "CatchUp", "left": "Skip"});
    fleet.apply(&intent).await.expect("stored");
    let shops = fleet.shops(NAME).await.expect("namespaces");
    for (index, shop) in shops[..2].iter().enumerate() {
        governed(&fleet, index, shop).await;
    }
    for version in ["v1", "v2"] {
        for shop in &shops[..2] {
            push(shop, version).await;
        }
        if version == "v1" {
            for shop in &shops[..2] {
                shop.healthy("v1").await.expect("a first deploy");
            }
        }
    }
    let name = "checkout#1";
    fleet.asks_for_approval(name).await.expect("in the middle");

    // Another one joins, with the new version in its manifests from the start.
    let access = install(&fleet, 2).await;
    push(&shops[2], "v2").await;
    join(&mut fleet, 2, access).await;
    fleet.connected(3).await.expect("all three");
    let held = |release: &Value| state(release, "three") == "Held";
    let held = fleet.release_until(name, "takes it in", held).await;
    held.expect("it takes part in the last wave");
    assert_eq!(
        started(&fleet, 2, &shops[2], "v2"),
        0,
        "held until its turn"
    );

    // And one leaves.
    let remove = ["cluster", "remove", "two", "--reason", "sold"];
    fleet.admin.run(&remove).await.expect("removed");
    let out = |release: &Value| state(release, "two") == "Skipped";
    let out = fleet.release_until(name, "does without it", out).await;
    out.expect("by policy");

    fleet.approve(name).await.expect("approved");
    let release = fleet.ends(name, "Succeeded").await.expect("through");
    assert_eq!(state(&release, "one"), "Succeeded", "{release}");
    assert_eq!(state(&release, "three"), "Succeeded", "{release}");
    assert_eq!(state(&release, "two"), "Skipped", "{release}");
    let verdict = text(&release, "/verdict");
    assert_eq!(
        verdict,
        "served in 2 of 3 clusters; does not count: two (left the fleet, by admin: sold)"
    );
    shops[2].healthy("v2").await.expect("through the third");
    let stays = shops[1].serves(&[("v1", 5)]).await;
    stays.expect("what it serves it goes on serving");
    assert_eq!(
        started(&fleet, 1, &shops[1], "v2"),
        0,
        "and nothing is freed"
    );
    fleet.connected(2).await.expect("it is no member");
    let left = fleet.history("ClusterLeft").await.expect("history");
    assert_eq!(left.len(), 1, "{left:?}");
    fleet.check().expect("no fault");
}
