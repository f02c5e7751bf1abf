//! Blue-green over several passes on the model cluster, and what its status says to autoscalers and clients.
#![allow(clippy::unwrap_used, clippy::panic)]

use agent_api::names::LABEL_POD_HASH;
use agent_api::{Phase, RolloutStrategy};
use agent_engine::{audit, reconcile, services};
use serde_json::json;
use tests_golden::agent_cluster::Cluster;
use tests_golden::agent_fixture::{hash, observed, template};

/// Replicas of every Rollout here.
const REPLICAS: i32 = 5;

fn cluster(case: &str) -> Cluster {
    let path = format!(
        "{}/../fixtures/agent/{case}/observed.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    Cluster::new(observed(&std::fs::read_to_string(path).unwrap()).unwrap())
}

/// The same, with its pods there.
fn running(case: &str) -> Cluster {
    let mut cluster = cluster(case);
    cluster.tick(10, REPLICAS);
    cluster
}

/// Available pods that the active Service selects; all of them while it selects by no version.
fn users_have(cluster: &Cluster) -> i32 {
    let selected = services::find(&cluster.observed, "web").and_then(services::selects);
    let counts = cluster.observed.replica_sets.iter().filter_map(|set| {
        let labels = set.metadata.labels.as_ref()?;
        let hash = labels.get(LABEL_POD_HASH)?;
        let counts = selected
            .as_ref()
            .is_none_or(|wanted| wanted.as_str() == hash);
        // Pods beyond what is wanted go, and nobody says which.
        counts.then_some(set.available().min(set.desired()))
    });
    counts.sum()
}

/// Passes until nothing is written and no time is waited for; in each, users have at least so many pods.
fn lives(cluster: &mut Cluster, least: i32) {
    for _ in 0..60 {
        let plan = reconcile(&cluster.observed);
        assert!(audit(&cluster.observed, &plan).is_empty(), "{plan}");
        let writes = cluster.apply(&plan, None).unwrap();
        let have = users_have(cluster);
        assert!(have >= least, "users have {have} pods after\n{plan}");
        if writes == 0 && plan.wake.is_none() {
            return;
        }
        cluster.tick(10, 1);
        let have = users_have(cluster);
        assert!(have >= least, "users have {have} pods");
    }
    panic!("it does not come to rest");
}

fn strategy(value: serde_json::Value) -> RolloutStrategy {
    serde_json::from_value(value).unwrap()
}

#[test]
fn complaint_3275_the_stable_version_keeps_its_pods_from_canary_to_blue_green() {
    // In mid-canary v1 has 3 pods and v2 has 2; then Git brings v3 and blue-green at once.
    let mut cluster = running("bg_stable_not_scaled_down_3275");
    lives(&mut cluster, REPLICAS);
    let status = cluster.observed.rollout.status.clone().unwrap();
    assert_eq!(status.stable_rs, Some(hash("v3")));
    assert_eq!(cluster.desired(hash("v3").as_str()), REPLICAS);
    assert_eq!(cluster.desired(hash("v1").as_str()), 0);
}

#[test]
fn complaint_3275_the_stable_version_keeps_its_pods_from_blue_green_to_canary_and_back() {
    let mut cluster = running("bg_at_rest");
    let canary = json!({"canary": {"maxSurge": 1, "maxUnavailable": 0, "steps": [{"setWeight": 40}, {"pause": {"duration": 20}}]}});
    cluster.observed.rollout.spec.strategy = strategy(canary);
    cluster.observed.rollout.spec.template = Some(template("v2"));
    lives(&mut cluster, REPLICAS);
    assert!(services::manager(&cluster.observed.services[0].metadata).is_none());
    let blue_green = json!({"blueGreen": {"activeService": "web"}});
    cluster.observed.rollout.spec.strategy = strategy(blue_green);
    cluster.observed.rollout.spec.template = Some(template("v3"));
    lives(&mut cluster, REPLICAS);
    let status = cluster.observed.rollout.status.clone().unwrap();
    assert_eq!(status.stable_rs, Some(hash("v3")));
    assert_eq!(status.phase, Some(Phase::Healthy));
}

#[test]
fn an_autoscaler_sees_the_pods_of_the_active_version_alone() {
    let check = |case: &str, version: &str, available: i32| {
        let plan = reconcile(&cluster(case).observed);
        let status = plan.status;
        assert_eq!(status.hpa_replicas, Some(REPLICAS), "{case}");
        assert_eq!(status.available_replicas, Some(available), "{case}");
        let selector = format!("app=web,{LABEL_POD_HASH}={}", hash(version));
        assert_eq!(status.selector, Some(selector), "{case}");
        let active = status.blue_green.unwrap().active_selector;
        assert_eq!(active, Some(hash(version).to_string()), "{case}");
    };
    check("bg_at_rest", "v1", 5);
    check("bg_pause_waits", "v1", 5);
    // The status says what the Service selects after the plan.
    check("bg_switches", "v2", 5);
    check("bg_post_runs", "v2", 4);
    check("bg_post_bad", "v1", 5);
    // A spec that is wrong does not double an autoscaler's numbers.
    check("bg_service_missing", "v1", 5);
}

#[test]
fn the_status_names_the_preview_and_the_one_way_check_point() {
    let state = |case: &str| {
        reconcile(&cluster(case).observed)
            .status
            .blue_green
            .unwrap()
    };
    let newest = Some(hash("v2").to_string());
    assert_eq!(state("bg_update_begins").preview_selector, newest);
    assert_eq!(state("bg_aborted").preview_selector, newest);
    let passed = |case: &str| state(case).scale_up_preview_check_point;
    assert_eq!(passed("bg_preview_count"), None);
    assert_eq!(passed("bg_preview_count_promoted"), Some(true));
    assert_eq!(passed("bg_preview_count_pending"), Some(true));
    let run = state("bg_pre_begins").pre_promotion_analysis_run_status;
    assert_eq!(run.unwrap().name, format!("web-{}-2-pre", hash("v2")));
}

#[test]
fn no_client_waits_for_a_pause_that_is_over() {
    // The plugin says that it waits for the Rollout to unpause while the controller's pause has no condition.
    for case in ["bg_seconds_over_pods_come", "bg_preview_count_pending"] {
        let mut cluster = cluster(case);
        let available = cluster.observed.replica_sets[1].available();
        let mut active = None;
        for _ in 0..10 {
            let plan = reconcile(&cluster.observed);
            assert_eq!(audit(&cluster.observed, &plan), []);
            let status = &plan.status;
            assert_eq!(status.controller_pause, None, "{case}\n{plan}");
            assert_eq!(status.pause_conditions, [], "{case}\n{plan}");
            active = status.blue_green.clone().unwrap().active_selector;
            if active == Some(hash("v2").to_string()) {
                break;
            }
            cluster.apply(&plan, None).unwrap();
            cluster.tick(10, 1);
        }
        assert_eq!(active, Some(hash("v2").to_string()), "{case}");
        assert!(available < REPLICAS, "{case} has waited");
    }
}
