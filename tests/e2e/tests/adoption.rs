//! A cluster that another controller of Rollouts ran. In: its objects, as it writes them, in the middle of a canary, and
//! the Lease that it still holds. Out: the agent waits for the Lease, then takes over where the canary stands: no pod is
//! started or stopped by it, and a person's promotion leads on from there. The same for ReplicaSets that their Rollout left
//! behind.

use jiff::Timestamp;
use serde_json::{Value, json};
use tests_e2e::bed::{Bed, Shared};
use tests_e2e::deed;
use tests_e2e::object::{Kind, number, text};
use tests_e2e::shop::{NAME, SOON, Shop};
use tests_e2e::standing::{self, Standing};
use tests_fleet::agent::NAMESPACE;
use tests_fleet::{Agent, AgentAccess, AgentOptions, Cluster, eventually};

const LEASE: &str = "argo-rollouts-controller-lock";
/// Hashes as the other controller makes them; ours of the same templates are others.
const STABLE: &str = "6cf8f5dd7b";
const CANARY: &str = "789746c88d";
/// So short that the test need not wait long, so long that a renewal a second keeps it.
const LEASE_SECONDS: i64 = 4;
/// How often the agent finds it held, two seconds apart, before the other controller goes.
const LOOKS: usize = 5;

fn steps() -> Value {
    json!([
        {"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {"duration": "1s"}},
        {"setWeight": 80},
    ])
}

fn lease(renewed: Timestamp) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": LEASE, "namespace": NAMESPACE},
        "spec": {
            "holderIdentity": "argo-rollouts-5d4f_1b2c", "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": format!("{renewed:.6}"), "leaseTransitions": 1,
        },
    })
}

/// A ReplicaSet as the other controller leaves it.
fn replica_set(rollout: &Value, version: &str, hash: &str, revision: &str, replicas: u32) -> Value {
    let mut template = rollout["spec"]["template"].clone();
    template["spec"]["containers"][0]["image"] = json!(format!("demo:{version}"));
    template["metadata"]["labels"]["rollouts-pod-template-hash"] = json!(hash);
    let labels = template["metadata"]["labels"].clone();
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{NAME}-{hash}"), "namespace": rollout["metadata"]["namespace"],
            "labels": labels,
            "annotations": {
                "rollout.argoproj.io/desired-replicas": "5",
                "rollout.argoproj.io/revision": revision,
            },
            "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": NAME,
                "uid": rollout["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    })
}

/// The status as the other controller leaves it at a pause.
fn status(rollout: &Value) -> Value {
    let at = "2026-01-01T00:00:00Z";
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": reason,
            "lastUpdateTime": at, "lastTransitionTime": at,
        })
    };
    json!({"status": {
        "HPAReplicas": 5, "replicas": 5, "readyReplicas": 5, "availableReplicas": 5,
        "updatedReplicas": 1, "selector": format!("app={NAME}"),
        "blueGreen": {}, "canary": {},
        "currentPodHash": CANARY, "stableRS": STABLE,
        "currentStepHash": "75c65b4545", "currentStepIndex": 1,
        "controllerPause": true,
        "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": at}],
        "observedGeneration": rollout["metadata"]["generation"].to_string(),
        "phase": "Paused", "message": "CanaryPauseStep",
        "conditions": [
            condition("Available", "True", "AvailableReason"),
            condition("Completed", "False", "RolloutCompleted"),
            condition("Healthy", "False", "RolloutHealthy"),
            condition("Paused", "True", "RolloutPaused"),
            condition("Progressing", "Unknown", "RolloutPaused"),
        ],
    }})
}

/// The objects of a canary at its pause, with pods that run.
async fn canary_of_another(cluster: &Cluster) -> Shop {
    let shop = Shop::open(cluster, "adopted").await.expect("a namespace");
    shop.deploy("v2", &steps()).await.expect("the Rollout");
    shop.patch(&json!({"metadata": {"annotations": {"rollout.argoproj.io/revision": "2"}}}))
        .await
        .expect("its revision");
    let rollout = shop.rollout().await.expect("the Rollout");
    for set in [
        replica_set(&rollout, "v1", STABLE, "1", 4),
        replica_set(&rollout, "v2", CANARY, "2", 1),
    ] {
        shop.apply(&set).await.expect("a ReplicaSet");
    }
    shop.verb(&status(&rollout)).await.expect("the status");
    shop.apply(&lease(Timestamp::now()))
        .await
        .expect("the Lease");
    shop.serves(&[("v1", 4), ("v2", 1)])
        .await
        .expect("its pods");
    shop
}

#[tokio::test]
async fn a_canary_of_another_controller_is_taken_over_where_it_stands() {
    let bed = Bed::up("adoption", &["adoption"]).await.expect("a cluster");
    let cluster = bed.first().expect("the cluster").clone();
    let access = AgentAccess::install(&bed.run, &cluster)
        .await
        .expect("rights");
    deed::remove_our_kinds(&cluster)
        .await
        .expect("a plain cluster");
    let shop = canary_of_another(&cluster).await;
    let before = Standing::of(&cluster, &shop).await.expect("it");
    let version = resource_version(&shop).await;

    let options = AgentOptions {
        more: vec!["--leader-elect=true".to_owned()],
        ..AgentOptions::default()
    };
    let mut agent = Agent::start(&bed.run, &access, &options).expect("the agent");
    let held = "is held by argo-rollouts-5d4f_1b2c";
    // Longer than the Lease is good for: it is the renewals that hold the agent off.
    eventually("it has looked several times", SOON, async || {
        let renewed = shop.apply(&lease(Timestamp::now())).await;
        renewed.map_err(|error| error.to_string())?;
        match agent.process().log().matches(held).count() {
            LOOKS.. => Ok(()),
            looks => Err(format!("{looks} looks")),
        }
    })
    .await
    .expect("it waits");
    assert_eq!(
        resource_version(&shop).await,
        version,
        "while another one leads nothing is written"
    );

    standing::taken_over(&shop, CANARY)
        .await
        .expect("taken over");
    shop.until("the steps are noted", |rollout| {
        text(rollout, "/status/currentStepHash") != "75c65b4545"
    })
    .await
    .expect("noted");
    let after = Standing::of(&cluster, &shop).await.expect("it");
    let before = Standing {
        steps: after.steps.clone(),
        ..before
    };
    assert_eq!(before, after, "no pod is started or stopped by it");
    assert_eq!(after.hashes, [CANARY, STABLE]);

    shop.verb(&deed::promote()).await.expect("promoted");
    shop.healthy("v2").await.expect("healthy");
    let started = standing::started(&cluster, &shop).expect("the journal");
    assert_eq!(started.len(), 4 + 5, "each pod of the new version once");
    let sets = shop.all(Kind::ReplicaSet).await.expect("the sets");
    assert_eq!(sets.len(), 2, "no other ReplicaSet was made");
    agent.process().must_run().expect("it runs");
    agent.assert_no_fault().expect("its rights are enough");
}

/// The UID of the owner that controls a ReplicaSet.
fn owner(set: &Value) -> &str {
    text(set, "/metadata/ownerReferences/0/uid")
}

#[tokio::test]
async fn a_rollout_that_is_applied_again_takes_its_orphans_over() {
    let shared = Shared::get().await.expect("the shared cluster");
    let cluster = shared.cluster().expect("the cluster");
    let shop = Shop::open(cluster, "orphans").await.expect("a namespace");
    let started = || standing::started(cluster, &shop).expect("the journal");
    let steps = json!([{"setWeight": 20}]);
    shop.first("v1", &steps).await.expect("healthy");
    shop.deploy("v2", &steps).await.expect("applied");
    shop.healthy("v2").await.expect("healthy");
    let before = started();

    shop.orphan().await.expect("deleted alone");
    shop.deploy("v2", &steps).await.expect("applied again");
    let rollout = shop.healthy("v2").await.expect("healthy again");
    let uid = text(&rollout, "/metadata/uid");
    let sets = shop.all(Kind::ReplicaSet).await.expect("the sets");
    let owners: Vec<&str> = sets.iter().map(owner).collect();
    assert_eq!(
        owners,
        [uid, uid],
        "both are its own, and no other was made"
    );
    assert_eq!(before, started(), "no pod is made again");

    let hash = text(&rollout, "/status/currentPodHash");
    let name = format!("{NAME}-{hash}");
    let strays = json!({"metadata": {"labels": {"app": "another"}}});
    shop.patch_named(Kind::ReplicaSet, &name, &strays)
        .await
        .expect("another label");
    let rollout = shop
        .until("another ReplicaSet has its place", |rollout| {
            text(rollout, "/status/phase") == "Healthy" && text(rollout, "/status/stableRS") != hash
        })
        .await
        .expect("replaced");
    assert_eq!(number(&rollout, "/status/collisionCount"), 1);
    let released = shop.named(Kind::ReplicaSet, &name).await.expect("let go");
    assert_eq!(owner(&released), "", "it is nobody's");
    shop.serves(&[("v2", 5 + 5)]).await.expect("its pods stay");
    shared.check().await.expect("the agent runs");
}

async fn resource_version(shop: &Shop) -> String {
    let rollout = shop.rollout().await.expect("the Rollout");
    text(&rollout, "/metadata/resourceVersion").to_owned()
}
