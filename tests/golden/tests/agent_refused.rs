//! ReplicaSets that the API server refuses: what the conditions say, that everything else goes on, and the way back.
#![allow(clippy::unwrap_used)]

use agent_api::names::condition;
use agent_api::{Condition, Phase, RolloutStatus};
use agent_engine::{Action, Observed, Plan, audit, reconcile};
use jiff::SignedDuration;
use tests_golden::agent_cluster::Cluster;
use tests_golden::agent_fixture::{digest, hash, observed, template};

fn case(name: &str) -> Observed {
    let path = format!(
        "{}/../fixtures/agent/{name}/observed.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    observed(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn progressing(status: &RolloutStatus) -> Condition {
    status.condition(condition::PROGRESSING).cloned().unwrap()
}

fn warnings(plan: &Plan, wanted: &str) -> usize {
    let told = plan
        .actions
        .iter()
        .filter(|action| matches!(action, Action::Event(event) if event.reason == wanted));
    told.count()
}

#[test]
fn a_refusal_is_said_in_conditions_phase_and_an_event() {
    let mut observed = case("refused_set_quota");
    let plan = reconcile(&observed);
    let says = progressing(&plan.status);
    assert_eq!(says.status, "False");
    assert_eq!(says.reason.as_deref(), Some("ReplicaSetCreateError"));
    assert!(says.message.unwrap().contains("exceeded quota"));
    assert_eq!(plan.status.phase, Some(Phase::Progressing));
    assert_eq!(plan.status.observed_generation.as_deref(), Some("3"));
    assert!(plan.status.condition(condition::INVALID_SPEC).is_none());
    assert_eq!(warnings(&plan, "ReplicaSetCreateError"), 1);
    // It is told once.
    observed.rollout.status = Some(plan.status);
    assert_eq!(warnings(&reconcile(&observed), "ReplicaSetCreateError"), 0);

    let plan = reconcile(&case("refused_set_invalid"));
    let invalid = plan.status.condition(condition::INVALID_SPEC).unwrap();
    assert!(invalid.message.as_ref().unwrap().contains("volumeMounts"));
    assert_eq!(plan.status.phase, Some(Phase::Degraded));
    assert_eq!(
        progressing(&plan.status).reason.as_deref(),
        Some("ReplicaSetCreateError")
    );
}

#[test]
fn other_words_are_no_progress_and_the_deadline_is_met() {
    let mut observed = case("refused_set_quota");
    let began = observed.now;
    let deadline = SignedDuration::from_secs(600);
    for seconds in [0, 200, 400, 599] {
        observed.now = began + SignedDuration::from_secs(seconds);
        let refused = observed.refused_set.as_mut().unwrap();
        refused.at = observed.now;
        refused.message = format!("exceeded quota, {seconds}");
        let plan = reconcile(&observed);
        let says = progressing(&plan.status);
        assert_eq!(says.last_update_time.unwrap().timestamp(), began);
        assert!(says.message.unwrap().ends_with(&seconds.to_string()));
        assert!(plan.wake.unwrap() <= began + deadline);
        observed.rollout.status = Some(plan.status);
    }
    observed.now = began + deadline;
    let plan = reconcile(&observed);
    let says = progressing(&plan.status);
    assert_eq!(says.reason.as_deref(), Some("ProgressDeadlineExceeded"));
    assert!(says.message.unwrap().contains("exceeded quota"));
    assert_eq!(plan.status.phase, Some(Phase::Degraded));
    // With progressDeadlineAbort it is taken back.
    observed.rollout.spec.progress_deadline_abort = Some(true);
    let plan = reconcile(&observed);
    assert_eq!(plan.status.abort, Some(true));
}

#[test]
fn a_version_is_refused_scaled_past_corrected_and_comes_to_rest() {
    let mut cluster = Cluster::new(case("new_version"));
    cluster.refuses = true;
    let step = |cluster: &mut Cluster| {
        cluster.look();
        let plan = reconcile(&cluster.observed);
        assert_eq!(audit(&cluster.observed, &plan), []);
        cluster.apply(&plan, None).unwrap();
        cluster.tick(5, 100);
    };
    (0..6).for_each(|_| step(&mut cluster));
    let (v1, v2, v3) = (hash("v1"), hash("v2"), hash("v3"));
    assert_eq!(cluster.desired(v1.as_str()), 5, "nothing is taken away");
    assert_eq!(cluster.made.len(), 0);
    // An autoscaler is followed.
    cluster.observed.rollout.spec.replicas = Some(8);
    (0..2).for_each(|_| step(&mut cluster));
    assert_eq!(cluster.desired(v1.as_str()), 8);
    // An abort is taken as one.
    cluster.observed.rollout.status.as_mut().unwrap().abort = Some(true);
    (0..2).for_each(|_| step(&mut cluster));
    let status = cluster.observed.rollout.status.clone().unwrap();
    assert_eq!(status.phase, Some(Phase::Degraded));
    assert_eq!(
        progressing(&status).reason.as_deref(),
        Some("RolloutAborted")
    );
    // A corrected template is another version, and its canary begins.
    cluster.refuses = false;
    cluster.observed.rollout.spec.template = Some(template("v3"));
    (0..8).for_each(|_| step(&mut cluster));
    assert!(cluster.desired(v3.as_str()) > 0);
    assert_eq!(cluster.desired(v2.as_str()), 0);
    let status = cluster.observed.rollout.status.clone().unwrap();
    assert_eq!(status.phase, Some(Phase::Paused));
}

#[test]
fn what_is_taken_at_last_goes_through_its_steps() {
    let mut cluster = Cluster::new(case("new_version"));
    cluster.refuses = true;
    for passes in 0..40 {
        cluster.refuses = passes < 6;
        cluster.look();
        let plan = reconcile(&cluster.observed);
        assert_eq!(audit(&cluster.observed, &plan), []);
        cluster.apply(&plan, None).unwrap();
        cluster.tick(8, 100);
    }
    let status = cluster.observed.rollout.status.clone().unwrap();
    assert_eq!(status.phase, Some(Phase::Paused), "{:?}", status.message);
    assert_eq!(cluster.made.len(), 1);
    assert!(cluster.desired(hash("v2").as_str()) > 0);
    assert_ne!(digest("v1"), digest("v2"));
}
