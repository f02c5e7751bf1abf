//! Agents that look at a part of a cluster. In: one with rights in a single namespace, one with an instance id. Out: each
//! acts on what is its own and on nothing else, and never lacks a right.

use serde_json::json;
use tests_e2e::bed::Bed;
use tests_e2e::deed;
use tests_e2e::object::{Kind, text};
use tests_e2e::shop::{NAME, SOON, Shop};
use tests_fleet::agent::NAMESPACE;
use tests_fleet::{Agent, AgentAccess, AgentOptions, eventually};

fn options(more: &[&str]) -> AgentOptions {
    AgentOptions {
        more: more.iter().map(|one| (*one).to_owned()).collect(),
        ..AgentOptions::default()
    }
}

/// Nobody has looked at it.
async fn untouched(shop: &Shop, name: &str) {
    let rollout = shop.named(Kind::Rollout, name).await.expect(name);
    assert_eq!(rollout.pointer("/status/phase"), None, "{rollout}");
}

/// Runs that belong to nobody, measured by a server that nobody answers for and by real Jobs, have their verdicts.
async fn measured(shop: &Shop) {
    let nobody = json!({"web": {"url": "http://[::1]:1/", "timeoutSeconds": 1}});
    let job = |script: &str| {
        let container = json!({"name": "smoke", "image": "sh:1", "args": ["-c", script]});
        let pod = json!({"restartPolicy": "Never", "containers": [container]});
        json!({"job": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}}})
    };
    let runs = [
        ("alone", nobody, "Error"),
        ("good", job("exit 0"), "Successful"),
        ("bad", job("exit 1"), "Failed"),
    ];
    for (name, provider, _) in &runs {
        let metric = json!({"name": "up", "consecutiveErrorLimit": 0, "provider": provider});
        let run = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": name, "namespace": shop.namespace()},
            "spec": {"metrics": [metric]},
        });
        shop.apply(&run).await.expect("a run");
    }
    for (name, _, verdict) in runs {
        let ended = eventually("a run has its verdict", SOON, async || {
            let run = shop.named(Kind::AnalysisRun, name).await;
            let run = run.map_err(|error| error.to_string())?;
            match text(&run, "/status/phase") {
                found if found == verdict => Ok(()),
                _ => Err(run["status"].to_string()),
            }
        });
        ended.await.expect(name);
    }
}

#[tokio::test]
async fn an_agent_acts_on_its_namespace_or_its_instance_alone() {
    let bed = Bed::up("reach", &["reach"]).await.expect("a cluster");
    let cluster = bed.first().expect("the cluster").clone();
    let inside = AgentAccess::install_from(&bed.run, &cluster, "namespaced")
        .await
        .expect("rights in one namespace");
    deed::remove_our_kinds(&cluster)
        .await
        .expect("a plain cluster");
    let elsewhere = Shop::open(&cluster, "elsewhere").await.expect("another");
    elsewhere.deploy("v1", &json!([])).await.expect("a Rollout");
    let own = Shop::open(&cluster, NAMESPACE).await.expect("its own");
    let mut agent =
        Agent::start(&bed.run, &inside, &options(&["--namespaced"])).expect("the agent");
    own.first("v1", &json!([])).await.expect("healthy");
    untouched(&elsewhere, NAME).await;
    agent.process().must_run().expect("it runs");
    agent.assert_no_fault().expect("its rights are enough");
    drop(agent);

    let access = AgentAccess::install(&bed.run, &cluster)
        .await
        .expect("rights everywhere");
    let mut agent = Agent::start(&bed.run, &access, &options(&["--controllers", "analysis"]))
        .expect("the agent");
    measured(&elsewhere).await;
    untouched(&elsewhere, NAME).await;
    agent.process().must_run().expect("it runs");
    agent.assert_no_fault().expect("no fault");
    drop(agent);

    let blue = Shop::open(&cluster, "blue").await.expect("a namespace");
    let blue = blue.of("blue");
    blue.deploy("v1", &json!([])).await.expect("labelled");
    let mut agent =
        Agent::start(&bed.run, &access, &options(&["--instance-id", "blue"])).expect("the agent");
    blue.healthy("v1").await.expect("healthy");
    untouched(&elsewhere, NAME).await;
    agent.process().must_run().expect("it runs");
    agent.assert_no_fault().expect("no fault");
    drop(agent);

    let green = blue.clone().of("green");
    green.deploy("v2", &json!([])).await.expect("another's");
    let mut agent = Agent::start(&bed.run, &access, &options(&[])).expect("the agent");
    elsewhere.healthy("v1").await.expect("healthy");
    let rollout = blue.rollout().await.expect("the Rollout");
    assert_eq!(
        text(&rollout, "/status/observedGeneration"),
        "1",
        "what bears a label is not for the agent without an id"
    );
    agent.process().must_run().expect("it runs");
    agent.assert_no_fault().expect("its rights are enough");
}
