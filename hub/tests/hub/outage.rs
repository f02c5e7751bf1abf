//! Postgres goes away and comes back; the hub and its streams stay.
use hub_store::embedded::Embedded;
use proto::v1::finding::Level;
use proto::v1::{CheckHubRequest, Finding, ListClustersRequest, report};
use tonic::Code;

use crate::agent::Agent;
use crate::fixture::{World, document, eventually};
use crate::session::rollout;

#[tokio::test(flavor = "multi_thread")]
async fn streams_outlive_a_restart_of_postgres() {
    let mut world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[("tier", "prod")]).await;
    let (mut stream, _) = agent.open(&world).await;
    stream.renewal().await;
    let mut admin = world.admin().await;

    world.postgres.take().unwrap().stop().await.unwrap();
    let away = eventually("the hub says so", async || {
        admin.list_clusters(ListClustersRequest {}).await.err()
    })
    .await;
    assert_eq!(away.code(), Code::Unavailable);
    assert!(away.message().contains("database"), "{away}");
    // A report that Postgres cannot take is neither lost nor acknowledged.
    stream
        .report(1, report::Body::State(rollout("checkout", "v1:a", "v1:a")))
        .await;

    world.postgres = Some(
        Embedded::start_volatile(&world.postgres_folder)
            .await
            .unwrap(),
    );
    stream.committed(1).await;
    stream.renewal().await;
    world
        .apply(&document("checkout", "checkout", "prod", "name: all"))
        .await;
    let delta = stream.set().await;
    assert_eq!(delta.entries.len(), 1);
    world.hub.take().unwrap().stop().await.unwrap();
}

/// What is found about one thing.
fn about<'a>(findings: &'a [Finding], what: &str) -> &'a Finding {
    findings.iter().find(|one| one.what == what).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_asks_how_the_hub_stands() {
    let world = World::start().await;
    let agent = Agent::member(&world, "prod-eu", &[("tier", "prod")]).await;
    let mut admin = world.admin().await;
    let mut findings = async |what: &str, level: Level| {
        eventually(what, async || {
            let answer = admin.check_hub(CheckHubRequest {}).await.unwrap();
            let findings = answer.into_inner().findings;
            (about(&findings, what).level() == level).then_some(findings)
        })
        .await
    };
    let alone = findings("clusters", Level::Warn).await;
    assert!(
        about(&alone, "clusters").message.contains("0 of 1"),
        "{alone:?}"
    );
    let (mut stream, _) = agent.open(&world).await;
    stream.renewal().await;
    let there = findings("clusters", Level::Ok).await;
    assert_eq!(about(&there, "database").level(), Level::Ok);
    assert_eq!(
        about(&there, "standby").level(),
        Level::Warn,
        "there is none"
    );
    findings("decisions", Level::Ok).await;
}
