//! Whole canaries on the model cluster, told by their writes.
#![allow(clippy::unwrap_used, clippy::panic)]

use agent_api::{
    Direction, Fence, Gate, GateSpec, GateStatus, OutcomeResult, Permit, RolloutRef, RolloutStatus,
    Waiting,
};
use agent_engine::{GateObserved, GateRecord, Governance, HubContact, audit, effective, reconcile};
use tests_golden::agent_cluster::Cluster;
use tests_golden::agent_fixture::{hash, observed, template};

fn step(cluster: &mut Cluster, log: &mut Vec<String>) -> usize {
    let plan = reconcile(&cluster.observed);
    let violations = audit(&cluster.observed, &plan);
    assert!(violations.is_empty(), "{violations:?}\n{plan}");
    log.push(format!("{}\n{plan}", cluster.observed.now));
    cluster.apply(&plan, None).unwrap()
}

fn settle(cluster: &mut Cluster, log: &mut Vec<String>) {
    for _ in 0..50 {
        let before = cluster.observed.replica_sets.clone();
        let writes = step(cluster, log);
        cluster.tick(1, 100);
        if writes == 0 && before == cluster.observed.replica_sets {
            return;
        }
    }
    panic!("does not settle:\n{}", log.join("\n"));
}

#[test]
fn first_deploy_then_a_canary() {
    let yaml = "
about: story
now: 2026-01-01T00:00:00Z
rollout:
  version: v1
  steps: [{setWeight: 20}, {pause: {duration: 30}}, {setWeight: 60}, {pause: {}}]
";
    let mut cluster = Cluster::new(observed(yaml).unwrap());
    let mut log = Vec::new();
    settle(&mut cluster, &mut log);
    let status = cluster.status();
    assert_eq!(
        status.phase.unwrap().as_str(),
        "Healthy",
        "{}",
        log.join("\n")
    );
    assert_eq!(status.stable_rs, Some(hash("v1")));
    assert_eq!(status.current_step_index, Some(4));
    cluster.observed.rollout.spec.template = Some(template("v2"));
    cluster.observed.rollout.metadata.generation = Some(2);
    settle(&mut cluster, &mut log);
    let status = cluster.status();
    assert_eq!(
        (
            cluster.desired(hash("v1").as_str()),
            cluster.desired(hash("v2").as_str())
        ),
        (4, 1)
    );
    assert_eq!(
        status.phase.unwrap().as_str(),
        "Paused",
        "{}",
        log.join("\n")
    );
    cluster.tick(40, 100);
    settle(&mut cluster, &mut log);
    assert_eq!(
        (
            cluster.desired(hash("v1").as_str()),
            cluster.desired(hash("v2").as_str())
        ),
        (2, 3),
        "{}",
        log.join("\n")
    );
    cluster.promote();
    settle(&mut cluster, &mut log);
    let status = cluster.status();
    assert_eq!(status.stable_rs, Some(hash("v2")), "{}", log.join("\n"));
    assert_eq!(
        status.phase.unwrap().as_str(),
        "Healthy",
        "{}",
        log.join("\n")
    );
    println!("{}\nwrites {}", log.join("\n"), cluster.writes);
}

#[test]
fn a_rollout_on_its_way_out_is_left_alone() {
    let mut cluster = Cluster::new(
        observed("about: story\nnow: 2026-01-01T00:00:00Z\nrollout: {version: v1}\n").unwrap(),
    );
    cluster.observed.rollout.metadata.deletion_timestamp =
        serde_json::from_value("2026-01-01T00:00:00Z".into()).ok();
    let mut log = Vec::new();
    assert_eq!(
        step(&mut cluster, &mut log),
        1,
        "the status is created as it is, nothing else: {log:?}"
    );
    assert!(cluster.observed.replica_sets.is_empty());
}

/// A governed Rollout with one step of 20 % and a pause for a person; v1 is out.
fn governed() -> (Cluster, Vec<String>) {
    let yaml = "
about: story
now: 2026-01-01T00:00:00Z
rollout:
  version: v1
  steps: [{setWeight: 20}, {pause: {}}]
";
    let mut cluster = Cluster::new(observed(yaml).unwrap());
    let spec = GateSpec {
        rollout: RolloutRef {
            namespace: "shop".into(),
            name: "web".into(),
            ..RolloutRef::default()
        },
        governed: true,
        fleet_rollout: "checkout".into(),
        ..GateSpec::default()
    };
    cluster.observed.gate = GateObserved {
        governance: Governance::Governed,
        record: GateRecord::Present(Box::new(Gate {
            spec,
            ..Gate::default()
        })),
        hub: HubContact::Connected,
        lease_live: true,
        first_deploy_free: true,
        ..GateObserved::stand_alone()
    };
    let mut log = Vec::new();
    settle(&mut cluster, &mut log);
    (cluster, log)
}

fn hub(cluster: &mut Cluster, change: impl FnOnce(&mut GateSpec)) {
    let GateRecord::Present(gate) = &mut cluster.observed.gate.record else {
        panic!("no record")
    };
    change(&mut gate.spec);
}

fn record(cluster: &Cluster) -> GateStatus {
    cluster
        .observed
        .gate
        .gate()
        .unwrap()
        .status
        .clone()
        .unwrap()
}

fn says(cluster: &Cluster) -> String {
    let status = cluster.status();
    format!(
        "{} {}",
        status.phase.unwrap(),
        status.message.unwrap_or_default()
    )
}

fn git(cluster: &mut Cluster, version: &str, generation: i64) {
    cluster.observed.rollout.spec.template = Some(template(version));
    cluster.observed.rollout.metadata.generation = Some(generation);
}

fn permit(cluster: &Cluster, version: &str, fence: u64, direction: Direction) -> Permit {
    let content = agent_api::digest::content_digest(&template(version));
    let delivery = effective::of_spec(&cluster.observed).delivery;
    Permit {
        release: "checkout#2".into(),
        direction,
        fence: Fence {
            incarnation: 1,
            version: fence,
        },
        digest: content,
        delivery_digest: delivery,
        start_by: (direction == Direction::Forward).then(|| jiff::Timestamp::MAX.into()),
        lease_seconds: 30,
        why: Some("errors in europe".into()),
        rollout_uid: "rollout-uid".into(),
        ..Permit::default()
    }
}

#[test]
fn held_permitted_served_and_taken_back() {
    let (mut cluster, mut log) = governed();
    assert_eq!(says(&cluster), "Healthy ");
    assert!(record(&cluster).served.unwrap().release.is_none());
    // v2 comes from Git and is held: no ReplicaSet is made.
    hub(&mut cluster, |spec| {
        spec.waiting = Some(Waiting {
            release: "checkout#2".into(),
            wave: 2,
            waves: 3,
            wave_name: "europe".into(),
            ..Waiting::default()
        });
    });
    git(&mut cluster, "v2", 2);
    settle(&mut cluster, &mut log);
    assert_eq!(
        says(&cluster),
        "Paused waiting for wave 2 of 3 (europe) of release checkout#2"
    );
    assert_eq!(cluster.made.len(), 1);
    assert_eq!(record(&cluster).held.unwrap().generation, 2);
    assert_eq!(cluster.status().current_pod_hash, Some(hash("v1")));
    // Its permit comes; a person promotes the pause; all of it is out and reported.
    let forward = permit(&cluster, "v2", 7, Direction::Forward);
    hub(&mut cluster, |spec| spec.permit = Some(forward));
    settle(&mut cluster, &mut log);
    assert_eq!(says(&cluster), "Paused CanaryPauseStep");
    assert_eq!(cluster.desired(hash("v2").as_str()), 1);
    cluster.promote();
    settle(&mut cluster, &mut log);
    let outcome = record(&cluster).outcome.unwrap();
    assert_eq!(
        (outcome.result, outcome.generation, outcome.fence.version),
        (OutcomeResult::Served, 2, 7)
    );
    assert_eq!(says(&cluster), "Healthy ");
    // The fleet takes it back; Git goes on saying v2.
    let back = permit(&cluster, "v1", 9, Direction::Rollback);
    hub(&mut cluster, |spec| {
        spec.permit = Some(back);
        spec.waiting = None;
    });
    settle(&mut cluster, &mut log);
    let outcome = record(&cluster).outcome.unwrap();
    assert_eq!(
        (outcome.result, outcome.fence.version),
        (OutcomeResult::Served, 9),
        "{}",
        log.join("\n")
    );
    assert_eq!(
        (
            cluster.desired(hash("v1").as_str()),
            cluster.desired(hash("v2").as_str())
        ),
        (5, 0)
    );
    assert_eq!(
        says(&cluster),
        "Degraded RolloutAborted: fleet rollback of release checkout#2: errors in europe"
    );
    // Git catches up: nothing moves, the message goes.
    git(&mut cluster, "v1", 3);
    settle(&mut cluster, &mut log);
    assert_eq!(says(&cluster), "Healthy ");
    assert_eq!(cluster.made.len(), 2);
}

#[test]
fn a_failure_is_reported_and_only_a_newer_permit_lifts_it() {
    let (mut cluster, mut log) = governed();
    git(&mut cluster, "v2", 2);
    let first = permit(&cluster, "v2", 7, Direction::Forward);
    hub(&mut cluster, |spec| spec.permit = Some(first));
    settle(&mut cluster, &mut log);
    cluster.observed.rollout.status.as_mut().unwrap().abort = Some(true);
    settle(&mut cluster, &mut log);
    assert_eq!(
        record(&cluster).outcome.unwrap().result,
        OutcomeResult::Failed
    );
    assert_eq!(
        (
            cluster.desired(hash("v1").as_str()),
            cluster.desired(hash("v2").as_str())
        ),
        (5, 0)
    );
    let writes = cluster.writes;
    for patch in [
        |status: &mut RolloutStatus| status.abort = Some(false),
        |status: &mut RolloutStatus| {
            status.promote_full = Some(true);
        },
    ] {
        patch(cluster.observed.rollout.status.as_mut().unwrap());
        settle(&mut cluster, &mut log);
        assert_eq!(
            cluster.desired(hash("v2").as_str()),
            0,
            "{}",
            log.join("\n")
        );
        assert_eq!(cluster.status().abort, Some(true));
    }
    assert!(cluster.writes > writes, "the refusal is written");
    assert!(
        cluster
            .events
            .keys()
            .any(|event| event.starts_with("FleetGate/")),
        "{:?}",
        cluster.events
    );
    let again = permit(&cluster, "v2", 8, Direction::Forward);
    hub(&mut cluster, |spec| spec.permit = Some(again));
    settle(&mut cluster, &mut log);
    assert_eq!(
        cluster.desired(hash("v2").as_str()),
        1,
        "{}",
        log.join("\n")
    );
    assert_eq!(says(&cluster), "Paused CanaryPauseStep");
}

/// The steps with another share, as an edit of the strategy alone.
fn other_share(cluster: &mut Cluster, weight: i64, generation: i64) {
    let steps = serde_json::json!([{"setWeight": weight}, {"pause": {}}]);
    let canary = cluster.observed.rollout.spec.strategy.canary.as_mut();
    canary.unwrap().steps = serde_json::from_value(steps).unwrap();
    cluster.observed.rollout.metadata.generation = Some(generation);
}

#[test]
fn a_permit_fixes_the_steps_and_one_for_older_steps_is_refused() {
    let (mut cluster, mut log) = governed();
    git(&mut cluster, "v2", 2);
    settle(&mut cluster, &mut log);
    let early = permit(&cluster, "v2", 7, Direction::Forward);
    // The steps are edited while it is held; the hub has decided before it heard of that.
    other_share(&mut cluster, 40, 3);
    settle(&mut cluster, &mut log);
    hub(&mut cluster, |spec| spec.permit = Some(early));
    settle(&mut cluster, &mut log);
    let outcome = record(&cluster).outcome.unwrap();
    assert_eq!(
        (outcome.result, outcome.fence.version),
        (OutcomeResult::Refused, 7)
    );
    assert_eq!(cluster.made.len(), 1, "{}", log.join("\n"));
    // Granted anew it runs with the steps of now, and an edit in mid-canary changes nothing until the outcome.
    let again = permit(&cluster, "v2", 8, Direction::Forward);
    hub(&mut cluster, |spec| spec.permit = Some(again));
    settle(&mut cluster, &mut log);
    assert_eq!(cluster.desired(hash("v2").as_str()), 2);
    other_share(&mut cluster, 80, 4);
    settle(&mut cluster, &mut log);
    assert_eq!(
        cluster.desired(hash("v2").as_str()),
        2,
        "{}",
        log.join("\n")
    );
    cluster.promote();
    settle(&mut cluster, &mut log);
    assert_eq!(
        record(&cluster).outcome.unwrap().result,
        OutcomeResult::Served
    );
    // With nothing in flight the newest steps apply at once: they are what is kept.
    let spec = effective::of_spec(&cluster.observed);
    assert_eq!(
        cluster
            .observed
            .gate
            .kept
            .get(&spec.digest)
            .unwrap()
            .delivery,
        spec.delivery
    );
}
