//! Whole canaries on the model cluster, told by their writes.
#![allow(clippy::unwrap_used)]

use agent_engine::{audit, reconcile};
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
    let status = cluster.observed.rollout.status.clone().unwrap();
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
    let status = cluster.observed.rollout.status.clone().unwrap();
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
    cluster
        .observed
        .rollout
        .status
        .as_mut()
        .unwrap()
        .pause_conditions
        .clear();
    settle(&mut cluster, &mut log);
    let status = cluster.observed.rollout.status.clone().unwrap();
    assert_eq!(status.stable_rs, Some(hash("v2")), "{}", log.join("\n"));
    assert_eq!(
        status.phase.unwrap().as_str(),
        "Healthy",
        "{}",
        log.join("\n")
    );
    println!("{}\nwrites {}", log.join("\n"), cluster.writes);
}
