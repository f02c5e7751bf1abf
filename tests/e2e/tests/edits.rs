//! What people change beside the version: steps while it is held, verbs under a permit, a Secret that an older version needs.
//! In: a fleet of two clusters whose certificates live for seconds. Out: releases that come to their end, and a history that
//! tells who did what.

use serde_json::{Value, json};
use tests_e2e::deed;
use tests_e2e::fleet::{Fleet, RELEASE, in_two_waves, revised, state};
use tests_e2e::object::{Kind, text};
use tests_e2e::shop::{NAME, Shop};
use tests_fleet::{HubOptions, eventually};

/// A Secret that v1 and v2 name and v3 does not.
const WORDS: &str = "words";
/// The agent's own namespace, and the Secret in which it keeps its identity.
const AGENT: (&str, &str) = ("groundswell", "groundswell-agent-identity");

fn quick() -> Value {
    json!([{"setWeight": 20}, {"pause": {"duration": "1s"}}])
}

/// Two of five until a person promotes.
fn by_hand() -> Value {
    json!([{"setWeight": 40}, {"pause": {}}])
}

struct World {
    fleet: Fleet,
    shops: Vec<Shop>,
}

impl World {
    async fn up() -> Self {
        let options = HubOptions {
            more: vec!["--cluster-certificate-seconds".into(), "20".into()],
            ..HubOptions::default()
        };
        let fleet = Fleet::up(
            "edits",
            &["one", "two"],
            &options,
            async |hub| Ok(hub.url()),
        )
        .await
        .expect("a fleet");
        let shops = fleet.shops("shop").await.expect("namespaces");
        for shop in &shops {
            let words = json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": WORDS, "namespace": "shop"},
                "stringData": {"word": "please"},
            });
            shop.apply(&words).await.expect("a Secret");
        }
        Self { fleet, shops }
    }

    async fn apply(&self, index: usize, version: &str, steps: &Value) {
        let shop = &self.shops[index];
        let mut manifest = revised(shop.manifest(version, steps), version);
        if version != "v3" {
            manifest["spec"]["template"]["spec"]["containers"][0]["env"] = json!([
                {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": WORDS, "key": "word"}}},
                {"name": "MORE", "valueFrom": {"secretKeyRef": {"name": "never-there", "key": "word", "optional": true}}},
            ]);
        }
        shop.apply(&manifest).await.expect("applied");
    }

    /// Waits until the history has a row of a kind with these words.
    async fn told(&self, kind: &str, words: &str) -> Value {
        eventually(&format!("{kind} with {words:?}"), RELEASE, async || {
            let rows = self.fleet.history(kind).await;
            let rows = rows.map_err(|error| error.to_string())?;
            let found = rows
                .iter()
                .find(|row| text(row, "/message").contains(words));
            found.cloned().ok_or_else(|| format!("{rows:?}"))
        })
        .await
        .expect("it is told")
    }

    /// The certificates that the agents use now.
    async fn certificates(&self) -> Vec<String> {
        let mut all = Vec::new();
        for cluster in self.fleet.bed.sandbox.clusters() {
            let client = cluster.client().await.expect("a client");
            let secret = Kind::Secret.of(&client, AGENT.0).get(AGENT.1).await;
            let secret = tests_e2e::object::json(&secret.expect("an identity")).expect("JSON");
            all.push(text(&secret, "/data/tls.crt").to_owned());
        }
        all
    }
}

#[tokio::test]
async fn steps_verbs_and_secrets_change_under_a_release() {
    let mut world = World::up().await;
    let joined_with = world.certificates().await;
    let intent = in_two_waves(NAME, "shop");
    world.fleet.apply(&intent).await.expect("stored");
    for index in [0, 1] {
        world.apply(index, "v1", &quick()).await;
    }
    for shop in &world.shops {
        shop.healthy("v1").await.expect("a first deploy is free");
    }
    edited_while_held(&world).await;
    no_way_back(&world).await;
    renewed(&mut world, &joined_with).await;
    world.fleet.check().expect("no fault");
}

/// G2: the steps are edited while the version is held; the permit is for the new ones, and they come to their end. G15: what a
/// person does under it is told, once.
async fn edited_while_held(world: &World) {
    let name = "checkout#1";
    for index in [0, 1] {
        world.apply(index, "v2", &quick()).await;
    }
    world.fleet.asks_for_approval(name).await.expect("asks");
    let two = &world.shops[1];
    two.phase("Paused").await.expect("held");
    world.apply(1, "v2", &by_hand()).await;
    world.told("StrategyEdited", "in two were edited").await;
    world.told("DeliveryBound", "two delivers").await;
    world.fleet.approve(name).await.expect("approved");
    two.serves(&[("v1", 3), ("v2", 2)])
        .await
        .expect("by the steps of now");
    two.paused_at(1).await.expect("until a person promotes");
    two.patch(&json!({"spec": {"paused": true}}))
        .await
        .expect("paused");
    world
        .told("LocalVerb", "pause of shop/checkout in two")
        .await;
    two.patch(&json!({"spec": {"paused": false}}))
        .await
        .expect("resumed");
    world
        .told("LocalVerb", "resume of shop/checkout in two")
        .await;
    two.verb(&deed::promote()).await.expect("promoted");
    world.fleet.ends(name, "Succeeded").await.expect("through");
    two.healthy("v2").await.expect("out");
    let promoted = world
        .told("LocalVerb", "promote of shop/checkout in two")
        .await;
    assert_eq!(text(&promoted, "/release"), name);
    assert_eq!(text(&promoted, "/cluster"), "two");
    assert!(
        text(&promoted, "/message").contains("at step 2 of 2"),
        "{promoted}"
    );
    let verbs = world.fleet.history("LocalVerb").await.expect("history");
    assert_eq!(verbs.len(), 3, "each once: {verbs:?}");
}

/// G23: what v2 needs is gone where v3 is taken back.
async fn no_way_back(world: &World) {
    let name = "checkout#2";
    world.apply(0, "v3", &quick()).await;
    world.apply(1, "v3", &by_hand()).await;
    world.fleet.asks_for_approval(name).await.expect("asks");
    world.shops[0]
        .healthy("v3")
        .await
        .expect("out in the first");
    world.shops[0]
        .delete(Kind::Secret, WORDS)
        .await
        .expect("deleted");
    world.fleet.approve(name).await.expect("approved");
    world.shops[1].paused_at(1).await.expect("in canary");
    world.shops[1].verb(&deed::abort()).await.expect("aborted");
    let release = world
        .fleet
        .ends(name, "RolledBackPartially")
        .await
        .expect("named in the verdict");
    assert_eq!(state(&release, "one"), "Failed", "{release}");
    assert!(
        release.to_string().contains("NoRollbackTarget"),
        "{release}"
    );
    world.shops[0]
        .serves(&[("v3", 5)])
        .await
        .expect("held, never a guess");
    world
        .told("LocalVerb", "abort of shop/checkout in two")
        .await;
}

/// The certificates that the clusters joined with have been followed by others, which a new hub process and new agents take.
async fn renewed(world: &mut World, joined_with: &[String]) {
    eventually("every certificate is another one", RELEASE, async || {
        let now = world.certificates().await;
        let same = now
            .iter()
            .zip(joined_with)
            .filter(|(now, then)| now == then);
        match same.count() {
            0 => Ok(()),
            count => Err(format!("{count} are the first ones")),
        }
    })
    .await
    .expect("renewed");
    let rows = world.fleet.history("CertificateRenewed").await;
    assert!(rows.expect("history").len() >= 2);
    let Fleet { hub, bed, .. } = &mut world.fleet;
    hub.process().kill().await.expect("killed");
    hub.again(&bed.run).await.expect("started again");
    world.fleet.connected(2).await.expect("both are back");
}
