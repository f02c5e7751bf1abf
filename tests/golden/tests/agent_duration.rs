//! `status.duration` over whole updates on the model cluster: when each began, how long people kept it waiting, how it ended.
#![allow(clippy::unwrap_used)]

use agent_api::{Phase, RolloutDuration};
use agent_engine::{Observed, audit, reconcile};
use tests_golden::agent_cluster::Cluster;
use tests_golden::agent_fixture::{observed, template};

/// Passes until nothing is written any more.
const PASSES: u32 = 60;

fn written(steps: &str, spec: &str) -> Observed {
    let yaml = format!(
        "{{about: a story, now: \"2026-01-01T00:00:00Z\", rollout: {{version: v1, steps: {steps}, spec: {spec}}}}}"
    );
    observed(&yaml).unwrap()
}

fn cluster(steps: &str, spec: &str) -> Cluster {
    let mut cluster = Cluster::new(written(steps, spec));
    rest(&mut cluster);
    assert_eq!(cluster.status().phase, Some(Phase::Healthy));
    cluster
}

/// Passes ten seconds apart until nothing is written.
fn rest(cluster: &mut Cluster) {
    rest_by(cluster, 10);
}

/// Passes so many seconds apart until nothing is written.
fn rest_by(cluster: &mut Cluster, seconds: i64) {
    for _ in 0..PASSES {
        let plan = reconcile(&cluster.observed);
        assert_eq!(audit(&cluster.observed, &plan), [], "{plan}");
        let sets = cluster.observed.replica_sets.clone();
        let writes = cluster.apply(&plan, None).unwrap();
        if writes == 0 && plan.wake.is_none() && sets == cluster.observed.replica_sets {
            return;
        }
        cluster.tick(seconds, 100);
    }
}

fn duration(cluster: &Cluster) -> RolloutDuration {
    cluster.status().duration.unwrap()
}

fn deploy(cluster: &mut Cluster, version: &str) {
    edit(cluster, version);
    cluster.tick(1000, 100);
}

fn edit(cluster: &mut Cluster, version: &str) {
    let rollout = &mut cluster.observed.rollout;
    rollout.spec.template = Some(template(version));
    rollout.metadata.generation = Some(rollout.metadata.generation.unwrap() + 1);
}

/// Whether it has ended, as what, and after how many seconds of waiting for people.
fn check(cluster: &Cluster, ended: Option<&str>, waited: impl Fn(i64) -> bool) {
    let duration = duration(cluster);
    assert_eq!(duration.completion_status.as_deref(), ended, "{duration:?}");
    assert_eq!(duration.finished_at.is_some(), ended.is_some());
    let total = duration.total_manual_pause_duration_seconds.unwrap_or(0);
    assert!(waited(total), "{total}s: {duration:?}");
}

const STEPS: &str = "[{setWeight: 40}, {pause: {}}, {setWeight: 80}, {pause: {duration: 30}}]";

#[test]
fn a_first_version_is_an_update_from_nothing() {
    check(&cluster(STEPS, "{}"), Some("Promoted"), |total| total == 0);
}

#[test]
fn waiting_for_a_person_is_counted_and_waiting_for_time_is_not() {
    let mut cluster = cluster(STEPS, "{}");
    deploy(&mut cluster, "v2");
    rest(&mut cluster);
    let began = duration(&cluster).rollout_started_at;
    assert!(duration(&cluster).manual_pause_started_at.is_some());
    check(&cluster, None, |total| total == 0);
    cluster.tick(300, 100);
    cluster.promote();
    rest(&mut cluster);
    assert_eq!(cluster.status().phase, Some(Phase::Healthy));
    check(&cluster, Some("Promoted"), |total| {
        (300..400).contains(&total)
    });
    assert_eq!(duration(&cluster).rollout_started_at, began);
}

#[test]
fn ends_have_their_words() {
    let begun = || {
        let mut cluster = cluster(STEPS, "{}");
        deploy(&mut cluster, "v2");
        rest(&mut cluster);
        cluster
    };
    let mut aborted = begun();
    aborted.patch(|status| status.abort = Some(true));
    rest(&mut aborted);
    check(&aborted, Some("Aborted"), |_| true);
    let first = duration(&aborted).rollout_started_at;
    aborted.patch(|status| status.abort = Some(false));
    rest(&mut aborted);
    check(&aborted, None, |_| true);
    assert_ne!(
        duration(&aborted).rollout_started_at,
        first,
        "a retry begins anew"
    );

    let mut full = begun();
    full.patch(|status| status.promote_full = Some(true));
    rest(&mut full);
    check(&full, Some("FastPromoted"), |_| true);

    let mut back = begun();
    deploy(&mut back, "v1");
    rest(&mut back);
    check(&back, Some("FastRolledBack"), |_| true);

    let mut newer = begun();
    let first = duration(&newer).rollout_started_at;
    deploy(&mut newer, "v3");
    rest(&mut newer);
    check(&newer, None, |_| true);
    assert_ne!(
        duration(&newer).rollout_started_at,
        first,
        "what was superseded is over"
    );
}

#[test]
fn an_older_version_is_a_rollback() {
    let served = |window: &str| {
        let mut cluster = cluster("[{setWeight: 40}]", window);
        deploy(&mut cluster, "v2");
        rest(&mut cluster);
        check(&cluster, Some("Promoted"), |_| true);
        deploy(&mut cluster, "v1");
        rest(&mut cluster);
        assert_eq!(cluster.status().phase, Some(Phase::Healthy));
        cluster
    };
    check(&served("{}"), Some("RolledBack"), |_| true);
    let window = served("{rollbackWindow: {revisions: 1}}");
    check(&window, Some("FastRolledBack"), |_| true);
    assert!(
        window
            .events
            .keys()
            .any(|key| key.starts_with("SkipSteps/"))
    );
}

/// Statuses hold whole seconds: what begins in the second in which another update began and ended is still another one.
#[test]
fn updates_of_one_second_are_two() {
    let mut cluster = cluster("[]", "{}");
    deploy(&mut cluster, "v2");
    rest_by(&mut cluster, 0);
    let first = duration(&cluster);
    check(&cluster, Some("Promoted"), |total| total == 0);
    cluster.observed.rollout.spec.strategy = written(STEPS, "{}").rollout.spec.strategy;
    edit(&mut cluster, "v3");
    rest_by(&mut cluster, 0);
    check(&cluster, None, |_| true);
    let second = duration(&cluster);
    assert_eq!(second.rollout_started_at, first.rollout_started_at);
    cluster.patch(|status| status.abort = Some(true));
    rest_by(&mut cluster, 0);
    check(&cluster, Some("Aborted"), |total| total == 0);
    cluster.patch(|status| status.abort = Some(false));
    rest_by(&mut cluster, 0);
    check(&cluster, None, |_| true);
}
