//! What other controllers of these resources are known to get wrong in a canary, each as a story on the model cluster. The
//! numbers are those of the public reports.
#![allow(clippy::unwrap_used, clippy::panic)]

use agent_api::{AnalysisPhase, Phase};
use agent_engine::{Action, audit, reconcile};
use tests_golden::agent_cluster::Cluster;
use tests_golden::agent_fixture::{digest, hash, observed, template};

/// A cluster with v1 out and v2 on its way.
fn under_way(fixture: &str) -> Cluster {
    let mut cluster = Cluster::new(observed(fixture).unwrap());
    settle(&mut cluster);
    assert_eq!(
        cluster.status().phase,
        Some(Phase::Healthy),
        "v1 does not come out"
    );
    cluster.observed.rollout.spec.template = Some(template("v2"));
    cluster.edited();
    settle(&mut cluster);
    cluster
}

fn pass(cluster: &mut Cluster) -> usize {
    let plan = reconcile(&cluster.observed);
    let violations = audit(&cluster.observed, &plan);
    assert!(violations.is_empty(), "{violations:?}\n{plan}");
    cluster.apply(&plan, None).unwrap()
}

/// Passes until nothing is written and nothing moves, without waiting for a wake.
fn settle(cluster: &mut Cluster) {
    for _ in 0..60 {
        let before = cluster.observed.replica_sets.clone();
        let writes = pass(cluster);
        cluster.tick(1, 100);
        if writes == 0 && before == cluster.observed.replica_sets {
            return;
        }
    }
    panic!("does not settle");
}

/// What the canary Service selects.
fn canary_service(cluster: &Cluster) -> Option<String> {
    let mut all = cluster.observed.services.iter();
    let found = all.find(|service| service.metadata.name.as_deref() == Some("web-canary"))?;
    let hash = agent_engine::services::selects(found)?;
    Some(hash.to_string())
}

fn weight(cluster: &Cluster) -> i32 {
    let traffic = cluster.observed.traffic.as_ref().unwrap();
    let weights = traffic.weights.as_ref().unwrap();
    weights.canary.as_ref().unwrap().weight
}

const PLAIN: &str = "
about: story
now: 2026-01-01T00:00:00Z
rollout: {version: v1, steps: [{setWeight: 20}, {pause: {}}, {setWeight: 60}, {pause: {}}]}
";

const SERVICES: &str = "
about: story
now: 2026-01-01T00:00:00Z
rollout:
  version: v1
  steps: [{setWeight: 20}, {pause: {}}, {setWeight: 60}, {pause: {}}]
  canary: {canaryService: web-canary, stableService: web-stable}
services: [{name: web-canary}, {name: web-stable}]
";

const ROUTED: &str = "
about: story
now: 2026-01-01T00:00:00Z
rollout:
  version: v1
  steps: [{setWeight: 20}, {pause: {}}, {setWeight: 60}, {pause: {}}]
  canary: {canaryService: web-canary, stableService: web-stable, trafficRouting: {nginx: {stableIngress: web}}}
services: [{name: web-canary}, {name: web-stable}]
traffic: {}
";

/// 2929: an aborted rollout starts again by itself.
#[test]
fn issue_2929_an_abort_is_not_retried_by_itself() {
    for fixture in [PLAIN, SERVICES, ROUTED] {
        let mut cluster = under_way(fixture);
        cluster.patch(|status| status.abort = Some(true));
        settle(&mut cluster);
        let writes = cluster.writes;
        for hours in 1..=48 {
            cluster.tick(3600, 100);
            settle(&mut cluster);
            let status = cluster.status();
            assert_eq!(status.abort, Some(true), "after {hours} h");
            assert_eq!(status.phase, Some(Phase::Degraded));
            assert_eq!(status.current_step_index, Some(0));
        }
        // An autoscaler, a label on the Rollout and a lost status of a pod are no reason either.
        cluster.observed.rollout.spec.replicas = Some(8);
        cluster.edited();
        settle(&mut cluster);
        assert_eq!(cluster.status().abort, Some(true));
        assert_eq!(cluster.desired(hash("v1").as_str()), 8);
        assert_eq!(cluster.desired(hash("v2").as_str()), 0);
        assert!(cluster.writes < writes + 20, "it writes and writes");
    }
}

/// 3758: after an abort the Services' selectors go to and fro.
#[test]
fn issue_3758_selectors_do_not_flap_after_an_abort() {
    for fixture in [SERVICES, ROUTED] {
        let mut cluster = under_way(fixture);
        assert_eq!(canary_service(&cluster), Some(hash("v2").to_string()));
        cluster.patch(|status| status.abort = Some(true));
        settle(&mut cluster);
        assert_eq!(canary_service(&cluster), Some(hash("v1").to_string()));
        let mut switches = 0;
        for round in 0..40 {
            // Pods of both versions come and go, the canary's last ones among them.
            cluster.broken = match round % 3 {
                0 => vec![digest("v2").to_string()],
                1 => vec![digest("v1").to_string()],
                _ => Vec::new(),
            };
            cluster.tick(7, 1);
            let plan = reconcile(&cluster.observed);
            let is_switch = |action: &&Action| matches!(action, Action::SwitchService { .. });
            switches += plan.actions.iter().filter(is_switch).count();
            pass(&mut cluster);
            assert_eq!(
                canary_service(&cluster),
                Some(hash("v1").to_string()),
                "round {round}"
            );
        }
        assert_eq!(switches, 0);
    }
}

/// 2048: after an abort the rollout shows Progressing for ever.
#[test]
fn issue_2048_an_abort_does_not_stay_progressing() {
    for fixture in [PLAIN, SERVICES, ROUTED] {
        let mut cluster = under_way(fixture);
        // The canary crashes, and is aborted while its pods are not available.
        cluster.broken = vec![digest("v2").to_string()];
        cluster.tick(1, 100);
        settle(&mut cluster);
        cluster.patch(|status| status.abort = Some(true));
        settle(&mut cluster);
        let after = cluster.status();
        assert_eq!(after.phase, Some(Phase::Degraded));
        assert!(after.message.unwrap().starts_with("RolloutAborted: "));
        // The spec goes back to what is stable: healthy, without a person.
        cluster.observed.rollout.spec.template = Some(template("v1"));
        cluster.edited();
        settle(&mut cluster);
        cluster.tick(60, 100);
        settle(&mut cluster);
        let back = cluster.status();
        assert_eq!((back.phase, back.message), (Some(Phase::Healthy), None));
        assert_eq!(back.abort, None);
    }
}

/// 4973: an autoscaler's growth brings an aborted canary up again.
#[test]
fn issue_4973_an_aborted_canary_does_not_grow() {
    let kept = ROUTED.replace(
        "stableIngress: web}}",
        "stableIngress: web}}, abortScaleDownDelaySeconds: 0",
    );
    for fixture in [PLAIN, ROUTED, &kept] {
        let mut cluster = under_way(fixture);
        cluster.patch(|status| status.abort = Some(true));
        settle(&mut cluster);
        let had = cluster.desired(hash("v2").as_str());
        for replicas in [10, 3, 20] {
            cluster.observed.rollout.spec.replicas = Some(replicas);
            cluster.edited();
            settle(&mut cluster);
            assert!(
                cluster.desired(hash("v2").as_str()) <= had,
                "{replicas} replicas"
            );
            assert_eq!(cluster.desired(hash("v1").as_str()), replicas);
        }
    }
}

/// 4852: a jump to the last step sends all of the traffic to the few pods that there are.
#[test]
fn issue_4852_a_jump_to_the_end_does_not_move_traffic_before_pods() {
    let mut cluster = under_way(ROUTED);
    assert_eq!(weight(&cluster), 20);
    cluster.patch(|status| {
        status.current_step_index = Some(4);
        status.pause_conditions.clear();
    });
    // One more pod a pass becomes available.
    let mut raised = false;
    for _ in 0..20 {
        pass(&mut cluster);
        let available = cluster
            .observed
            .replica_sets
            .iter()
            .find(|set| set.metadata.name.as_deref() == Some(&format!("web-{}", hash("v2"))))
            .map_or(0, agent_api::ReplicaSet::available);
        raised |= weight(&cluster) > 20;
        if weight(&cluster) > 20 {
            assert!(
                available >= 5,
                "weight {} on {available} pods",
                weight(&cluster)
            );
        }
        cluster.tick(1, 1);
    }
    assert!(raised);
    settle(&mut cluster);
    assert_eq!(cluster.status().stable_rs, Some(hash("v2")));
}

/// 3020: with dynamicStableScale, going back to the stable version in the middle sends its few pods all of the traffic.
#[test]
fn issue_3020_the_way_back_waits_for_the_stable_version() {
    let dynamic = ROUTED.replace(
        "stableIngress: web}}",
        "stableIngress: web}}, dynamicStableScale: true",
    );
    for verb in ["abort", "back to stable"] {
        let mut cluster = under_way(&dynamic);
        cluster.promote();
        settle(&mut cluster);
        assert_eq!(
            (weight(&cluster), cluster.desired(hash("v1").as_str())),
            (60, 2)
        );
        if verb == "abort" {
            cluster.patch(|status| status.abort = Some(true));
        } else {
            cluster.observed.rollout.spec.template = Some(template("v1"));
            cluster.edited();
        }
        for _ in 0..20 {
            pass(&mut cluster);
            let available = |version: &str| {
                let name = format!("web-{}", hash(version));
                let mut sets = cluster.observed.replica_sets.iter();
                sets.find(|set| set.metadata.name.as_deref() == Some(&name))
                    .map_or(0, agent_api::ReplicaSet::available)
            };
            // Five replicas of which one may be missing.
            let stable = 100 - weight(&cluster);
            assert!(
                available("v1") * 100 >= stable * 4,
                "{verb}: {stable} on {} pods",
                available("v1")
            );
            if weight(&cluster) > 0 {
                assert!(
                    available("v2") > 0,
                    "{verb}: the canary lost its pods first"
                );
            }
            cluster.tick(1, 1);
        }
        settle(&mut cluster);
        assert_eq!(weight(&cluster), 0, "{verb}");
        assert_eq!(cluster.desired(hash("v2").as_str()), 0, "{verb}");
        assert_eq!(cluster.desired(hash("v1").as_str()), 5, "{verb}");
    }
}

/// A whole routed canary with a router that confirms late: each share waits for its pods, each step for its share.
#[test]
fn a_routed_canary_from_start_to_end() {
    let mut cluster = under_way(ROUTED);
    cluster.confirms = Some(false);
    let mut seen = vec![weight(&cluster)];
    for _ in 0..3 {
        cluster.promote();
        for _ in 0..30 {
            pass(&mut cluster);
            if seen.last() != Some(&weight(&cluster)) {
                seen.push(weight(&cluster));
            }
            cluster.tick(1, 100);
        }
    }
    assert_eq!(seen, [20, 60, 100, 0]);
    let done = cluster.status();
    assert_eq!(done.stable_rs, Some(hash("v2")));
    // The old version stays for its 30 s, and nobody is sent to it.
    cluster.tick(40, 100);
    settle(&mut cluster);
    assert_eq!(cluster.desired(hash("v1").as_str()), 0);
    assert_eq!(cluster.status().phase, Some(Phase::Healthy));
}

/// The analysis in the background goes from its step to the end, and its verdict counts in between.
#[test]
fn the_background_is_heard_until_the_end() {
    let fixture = "
about: story
now: 2026-01-01T00:00:00Z
rollout:
  version: v1
  steps: [{setWeight: 20}, {pause: {}}, {setWeight: 60}, {pause: {}}]
  canary: {analysis: {templates: [{templateName: errors}], startingStep: 1}}
templates:
- name: errors
  spec:
    metrics:
    - name: error-rate
      interval: 10s
      successCondition: result[0] >= 0.95
      provider: {prometheus: {address: \"http://prometheus\", query: ok}}
";
    for verdict in [AnalysisPhase::Running, AnalysisPhase::Failed] {
        let mut cluster = under_way(fixture);
        cluster.finish_runs(AnalysisPhase::Running);
        settle(&mut cluster);
        let known = |cluster: &Cluster| {
            let canary = cluster.status().canary?;
            canary.current_background_analysis_run_status
        };
        let name = format!("web-{}-2", hash("v2"));
        assert_eq!(known(&cluster).map(|run| run.name), Some(name));
        cluster.promote();
        settle(&mut cluster);
        assert_eq!(cluster.status().current_step_index, Some(3));
        cluster.finish_runs(verdict);
        cluster.promote();
        settle(&mut cluster);
        let after = cluster.status();
        if verdict == AnalysisPhase::Failed {
            assert_eq!(after.phase, Some(Phase::Degraded));
            assert_eq!(cluster.desired(hash("v2").as_str()), 0);
        } else {
            assert_eq!(after.stable_rs, Some(hash("v2")));
            let ended = cluster.observed.analysis_runs.iter();
            assert!(
                ended
                    .into_iter()
                    .all(|run| run.spec.terminate == Some(true))
            );
            assert!(known(&cluster).is_none());
        }
    }
}

/// 4538: a canary without a router drains the stable version as it grows.
#[test]
fn issue_4538_the_stable_version_keeps_its_pods_until_promotion() {
    let kept = PLAIN.replace(
        "{version: v1,",
        "{version: v1, replicas: 10, annotations: {fleet.groundswell.dev/keep-stable: \"true\"},",
    );
    let mut cluster = under_way(&kept);
    let (v1, v2) = (hash("v1"), hash("v2"));
    for share in [2, 6] {
        assert_eq!(cluster.desired(v1.as_str()), 10);
        assert_eq!(cluster.desired(v2.as_str()), share);
        cluster.promote();
        for _ in 0..60 {
            if cluster.status().stable_rs.as_ref() == Some(&v1) {
                assert_eq!(cluster.desired(v1.as_str()), 10);
            }
            pass(&mut cluster);
            cluster.tick(1, 1);
        }
    }
    assert_eq!(cluster.status().stable_rs, Some(v2.clone()));
    assert_eq!(cluster.desired(v1.as_str()), 0);
    assert_eq!(cluster.desired(v2.as_str()), 10);
}
