//! An agent without a hub, which is a complete controller for one cluster. In: the demo's manifests of staging, a real
//! Prometheus, load. Out: a first deploy, a good canary through all its steps, and a bad one that its own analysis takes
//! back, as the kubelet's journal tells of them.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tests_demo::evidence::{Life, lives};
use tests_demo::manifests;
use tests_demo::scenario::{
    FIRST_PAUSE, FIRST_PODS, MEASURE_EVERY, MEASUREMENTS, REPLICAS, SECOND_PAUSE, SECOND_PODS,
    VERSIONS, Version, WHOLE_SECOND,
};
use tests_fleet::traffic::{Applier, Load};
use tests_fleet::{
    Agent, AgentAccess, AgentOptions, GitRepo, Prometheus, RunDir, Sandbox, eventually, records,
};

const SOON: Duration = Duration::from_secs(60);

fn read(journal: &Path) -> Vec<Life> {
    lives(&records::read(journal).expect("a journal")).expect("lives")
}

fn ready(lives: &[Life], version: Version, at: Timestamp) -> usize {
    lives
        .iter()
        .filter(|life| life.version == version && life.ready_at(at))
        .count()
}

async fn serves(journal: &Path, version: Version) {
    eventually(&format!("{version} serves"), SOON, async || {
        let (lives, now) = (read(journal), Timestamp::now());
        let counts: Vec<usize> = VERSIONS
            .iter()
            .map(|version| ready(&lives, *version, now))
            .collect();
        let alone = counts.iter().sum::<usize>() == REPLICAS;
        if alone && ready(&lives, version, now) == REPLICAS {
            Ok(())
        } else {
            Err(format!("ready pods of v1 to v5: {counts:?}"))
        }
    })
    .await
    .expect("it serves");
}

/// The moment at which a version's n-th pod was started.
fn nth_start(lives: &[Life], version: Version, n: usize) -> Option<Timestamp> {
    let mut starts: Vec<Timestamp> = lives
        .iter()
        .filter(|life| life.version == version)
        .map(|life| life.started)
        .collect();
    starts.sort();
    starts.get(n - 1).copied()
}

#[tokio::test]
async fn it_takes_a_good_version_through_its_steps_and_a_bad_one_back() {
    tests_fleet::init();
    let [v1, v2, v3, ..] = VERSIONS;
    let run = RunDir::temporary("alone").expect("a folder");
    let sandbox = Sandbox::up(&run, &["staging"]).await.expect("a cluster");
    let cluster = sandbox.cluster("staging").expect("the cluster").clone();
    let journal = cluster.journal();
    let prometheus = Prometheus::start(&run, sandbox.clusters())
        .await
        .expect("Prometheus");
    let access = AgentAccess::install(&run, &cluster).await.expect("rights");
    let options = AgentOptions {
        prometheus: Some(prometheus.url()),
        ..AgentOptions::default()
    };
    let agent = Agent::start(&run, &access, &options).expect("an agent");
    let repo = GitRepo::create(&run).expect("a repository");
    let mut applier = Applier::start(&run, &repo, sandbox.clusters()).expect("an applier");
    let mut push = async |version: Version| {
        let files = manifests::push(version);
        let revision = repo.push(&files, &version.to_string()).expect("pushed");
        let applied = applier.applied(&revision, "staging", SOON).await;
        applied.expect("applied");
    };

    push(v1).await;
    serves(&journal, v1).await;
    let _load = Load::start(&run, &cluster, "checkout.shop", 50).expect("load");

    push(v2).await;
    serves(&journal, v2).await;
    let lives = read(&journal);
    let start = |n: usize| nth_start(&lives, v2, n).expect("a start");
    assert_eq!(nth_start(&lives, v2, REPLICAS + 1), None, "no pod twice");
    let first_held = start(FIRST_PODS + 1).duration_since(start(FIRST_PODS));
    let second_held = start(SECOND_PODS + 1).duration_since(start(SECOND_PODS));
    let at_least = |pause: Duration| pause.saturating_sub(WHOLE_SECOND).as_secs_f64();
    let measured = FIRST_PAUSE + MEASURE_EVERY * (MEASUREMENTS - 1);
    assert!(first_held.as_secs_f64() >= at_least(measured));
    assert!(second_held.as_secs_f64() >= at_least(SECOND_PAUSE));

    push(v3).await;
    eventually("v3 was there and is gone", SOON, async || {
        let lives = read(&journal);
        let mut of_v3 = lives.iter().filter(|life| life.version == v3).peekable();
        let was_there = of_v3.peek().is_some();
        if was_there && of_v3.all(|life| life.ended.is_some()) {
            Ok(())
        } else {
            Err(format!("was there: {was_there}"))
        }
    })
    .await
    .expect("it is caught");
    serves(&journal, v2).await;
    let lives = read(&journal);
    assert_eq!(
        nth_start(&lives, v3, FIRST_PODS + 1),
        None,
        "caught at the first step"
    );
    agent.assert_no_fault().expect("rights enough");
}
