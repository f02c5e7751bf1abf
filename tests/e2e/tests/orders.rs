//! Orders of people and of the hub, as they arrive in clusters. In: canaries on their way in two clusters, a stop, a hub that
//! goes away, a cluster that is renamed. Out: every cluster obeys, says in its Gate what it does without the hub and why, and
//! goes on under its new name with its next certificate.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests_e2e::fleet::{Fleet, RELEASE, in_two_waves, revised, state};
use tests_e2e::object::{Kind, text};
use tests_e2e::shop::{NAME, Shop};
use tests_fleet::{HubOptions, eventually};

/// The agent's own namespace.
const AGENT: &str = "groundswell";
/// A stop is promised within five seconds; a busy machine is given more, and the time that it took is printed.
const STOPPED: Duration = Duration::from_secs(30);
/// Of a certificate: its next one is due at two thirds.
const CERTIFICATE_SECONDS: &str = "12";

async fn push(shops: &[Shop], version: &str) {
    let by_hand = json!([{"setWeight": 20}, {"pause": {}}]);
    for shop in shops {
        let manifest = revised(shop.manifest(version, &by_hand), version);
        shop.apply(&manifest).await.expect("applied");
    }
}

/// Waits until the Gate of a cluster says this of what it does without the hub.
async fn says(fleet: &Fleet, index: usize, wanted: &str) -> String {
    let cluster = &fleet.bed.sandbox.clusters()[index];
    let client = cluster.client().await.expect("a client");
    let what = format!("the Gate in {} says {wanted}", cluster.name());
    eventually(&what, RELEASE, async || {
        let gates = Kind::Gate.of(&client, AGENT);
        let gate = gates.get(&format!("{NAME}.{NAME}")).await;
        let gate = gate.map_err(|error| error.to_string())?;
        let gate = tests_e2e::object::json(&gate).map_err(|error| error.to_string())?;
        let said = text(&gate, "/status/withoutHub").to_owned();
        if said.contains(wanted) {
            Ok(said)
        } else {
            Err(said)
        }
    })
    .await
    .expect("it says so")
}

#[tokio::test]
async fn a_stop_reaches_every_cluster_and_each_says_what_it_does_without_the_hub() {
    let options = HubOptions {
        lease_seconds: 5,
        ..HubOptions::default()
    };
    let fleet = Fleet::up("orders", &["one", "two"], &options, async |hub| {
        Ok(hub.url())
    });
    let mut fleet = fleet.await.expect("a fleet");
    let mut intent = in_two_waves(NAME, NAME);
    intent["spec"]["waves"] = json!([{"name": "all", "maxConcurrent": "100%"}]);
    intent["spec"]["onHubLoss"] = json!("Hold");
    fleet.apply(&intent).await.expect("stored");
    let shops = fleet.shops(NAME).await.expect("namespaces");
    push(&shops, "v1").await;
    for shop in &shops {
        shop.healthy("v1").await.expect("a first deploy is free");
    }
    let rests = "serves what it serves and starts nothing";
    for index in 0..2 {
        assert_eq!(says(&fleet, index, rests).await, rests);
    }
    push(&shops, "v2").await;
    let name = "checkout#1";
    let all = |release: &Value| {
        let paused = |cluster| ["Paused", "Progressing"].contains(&state(release, cluster));
        paused("one") && paused("two")
    };
    let on_its_way = fleet.release_until(name, "is everywhere", all).await;
    let on_its_way = on_its_way.expect("both in flight");
    let before = "holds at its next step when its lease has ended";
    for index in 0..2 {
        assert_eq!(says(&fleet, index, before).await, before);
        let target = format!("/waves/0/targets/{index}/withoutHub");
        assert_eq!(text(&on_its_way, &target), before, "in the hub's words");
    }

    stopped_and_let_go(&fleet).await;

    fleet.hub.process().kill().await.expect("gone");
    for index in 0..2 {
        let said = says(&fleet, index, "holds at its step until the hub is back").await;
        assert!(said.starts_with("the hub is silent since "), "{said}");
        let why = " and the lease has ended: ";
        assert!(said.contains(why), "{said}");
    }
    fleet.hub.again(&fleet.bed.run).await.expect("back");
    for index in 0..2 {
        assert_eq!(says(&fleet, index, before).await, before);
    }
    fleet.check().expect("no fault");
}

/// `groundswell stop`, measured to the moment at which the last cluster has obeyed.
async fn stopped_and_let_go(fleet: &Fleet) {
    let reason = "alarm 7";
    let began = Instant::now();
    let stop = ["stop", "--all", "--reason", reason];
    fleet.admin.run(&stop).await.expect("stopped");
    for index in 0..2 {
        let said = says(fleet, index, reason).await;
        assert!(said.starts_with("holds at its step: "), "{said}");
    }
    let took = began.elapsed();
    println!(
        "two clusters obeyed a stop {:.2} s after it was said",
        took.as_secs_f64()
    );
    assert!(took < STOPPED, "{took:?}");
    let go_on = ["unstop", "--all", "--reason", "all clear"];
    fleet.admin.run(&go_on).await.expect("let go");
    for index in 0..2 {
        says(fleet, index, "holds at its next step").await;
    }
}

#[tokio::test]
async fn a_renamed_cluster_goes_on_with_its_next_certificate() {
    let options = HubOptions {
        more: vec![
            "--cluster-certificate-seconds".into(),
            CERTIFICATE_SECONDS.into(),
        ],
        ..HubOptions::default()
    };
    let fleet = Fleet::up("renamed", &["one"], &options, async |hub| Ok(hub.url()));
    let mut fleet = fleet.await.expect("a fleet");
    let rename = [
        "cluster",
        "rename",
        "one",
        "uno",
        "--reason",
        "a better name",
    ];
    fleet.admin.run(&rename).await.expect("renamed");
    let renewals = |fleet: &mut Fleet| {
        let log = fleet.agents[0].process().log();
        log.matches("the certificate is renewed").count()
    };
    let known = renewals(&mut fleet);
    // The first is asked for by the certificate of the old name, the second by that of the new one.
    for wanted in [known + 1, known + 2] {
        eventually(
            "the certificate is renewed",
            RELEASE,
            async || match renewals(&mut fleet) {
                count if count >= wanted => Ok(()),
                count => Err(format!("{count} of {wanted}")),
            },
        )
        .await
        .expect("the hub renews it, and the agent takes it");
    }
    // The stream that was open by the first certificate ends; the next one shows the newest.
    fleet.hub.process().kill().await.expect("gone");
    fleet.hub.again(&fleet.bed.run).await.expect("back");
    fleet.connected(1).await.expect("by its next certificate");
    let clusters = fleet.admin.json(&["get", "clusters"]).await;
    let clusters = clusters.expect("a list");
    let names: Vec<&str> = clusters
        .as_array()
        .expect("a list")
        .iter()
        .map(|cluster| text(cluster, "/name"))
        .collect();
    assert_eq!(names, ["uno"]);
    let renewed = fleet.history("CertificateRenewed").await.expect("rows");
    assert!(
        renewed.iter().any(|row| text(row, "/cluster") == "uno"),
        "{renewed:?}"
    );
    fleet.check().expect("no fault");
}
