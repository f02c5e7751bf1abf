//! In: plans for an Experiment, good ones and broken ones. Out: what the audit says of them, and names.

use agent_api::ExperimentStatus;
use serde_json::json;

use super::names::{run_name, set_name};
use super::*;

fn observed() -> Observed {
    let pods = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
    let experiment = serde_json::from_value(json!({
        "metadata": {"name": "compare", "namespace": "shop", "uid": "u"},
        "spec": {
            "duration": "1m",
            "templates": [{"name": "one", "selector": {"matchLabels": {"app": "web"}}, "template": pods}],
            "analyses": [{"name": "p95", "templateName": "p95", "requiredForCompletion": true}],
        },
    }));
    let mut observed =
        Observed::alone(experiment.unwrap(), "2026-01-01T00:00:00Z".parse().unwrap());
    let template =
        json!({"metrics": [{"name": "p95", "count": 1, "provider": {"web": {"url": "http://x"}}}]});
    let key = crate::observed::TemplateKey {
        name: "p95".to_owned(),
        cluster_scope: false,
    };
    observed
        .templates
        .insert(key, serde_json::from_value(template).unwrap());
    observed
}

#[test]
fn names_carry_collisions_and_tries() {
    assert_eq!(set_name("e", "t", None), "e-t");
    assert_eq!(set_name("e", "t", Some(2)), "e-t-2");
    assert_eq!(run_name("e", "a", 0), "e-a");
    assert_eq!(run_name("e", "a", 1), "e-a.1");
}

fn seen(observed: &Observed, plan: &Plan) -> Vec<&'static str> {
    audit(observed, plan).iter().map(|one| one.rule).collect()
}

/// What is said of a success before its time.
fn early(start: &Observed, good: &Plan) -> Vec<&'static str> {
    let (mut running, mut plan) = (start.clone(), good.clone());
    let status = json!({"phase": "Running", "availableAt": "2026-01-01T00:00:00Z"});
    let status: ExperimentStatus = serde_json::from_value(status).unwrap();
    plan.status.phase = Some(AnalysisPhase::Successful);
    plan.status.available_at = status.available_at;
    running.experiment.status = Some(status);
    seen(&running, &plan)
}

#[test]
fn every_bad_plan_of_an_experiment_is_named() {
    let start = observed();
    let good = reconcile(&start);
    assert!(
        matches!(good.actions.first(), Some(Action::CreateReplicaSet { .. })),
        "{good}"
    );
    assert_eq!(seen(&start, &good), [""; 0]);
    let mut broken = std::collections::BTreeSet::new();
    // A success out of nothing.
    let mut plan = good.clone();
    plan.status.phase = Some(AnalysisPhase::Successful);
    broken.extend(seen(&start, &plan));
    // A success over a run that is bad.
    let mut with_run = start.clone();
    let run = json!({"metadata": {"name": "compare-p95"}, "status": {"phase": "Running"}});
    with_run
        .analysis_runs
        .push(serde_json::from_value(run).unwrap());
    plan.status.analysis_runs = serde_json::from_value(
        json!([{"name": "p95", "analysisRun": "compare-p95", "phase": "Successful"}]),
    )
    .unwrap();
    broken.extend(seen(&with_run, &plan));
    // Another verdict, another time, and pods after the end.
    let mut over = start.clone();
    let status = json!({"phase": "Failed", "availableAt": "2026-01-01T00:00:00Z"});
    over.experiment.status = serde_json::from_value(status).unwrap();
    broken.extend(seen(&over, &good));
    broken.extend(early(&start, &good));
    // Pods of what is invalid, under a name that is there, with the Rollout's hash.
    let mut plan = good.clone();
    plan.status.phase = Some(AnalysisPhase::Error);
    plan.status.conditions =
        serde_json::from_value(json!([{"type": "InvalidSpec", "status": "True"}])).unwrap();
    broken.extend(seen(&start, &plan));
    let mut again = start.clone();
    let Some(Action::CreateReplicaSet { replica_set, .. }) = good.actions.first() else {
        panic!("{good}");
    };
    again.replica_sets.push((**replica_set).clone());
    broken.extend(seen(&again, &good));
    let mut plan = good.clone();
    if let Some(Action::CreateReplicaSet { replica_set, .. }) = plan.actions.first_mut() {
        replica_set.metadata.labels = None;
    }
    broken.extend(seen(&start, &plan));
    // A success of an owned one that was ended at once.
    let mut owned = start.clone();
    let owner = json!([{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": "r", "controller": true}]);
    owned.experiment.metadata.owner_references = serde_json::from_value(owner).unwrap();
    owned.experiment.spec.terminate = Some(true);
    let mut plan = reconcile(&owned);
    assert_eq!(
        plan.status.phase,
        Some(AnalysisPhase::Inconclusive),
        "{plan}"
    );
    plan.status.phase = Some(AnalysisPhase::Successful);
    broken.extend(seen(&owned, &plan));
    let mut withheld = start.clone();
    withheld.leave = Leave::Withheld {
        why: "no".to_owned(),
    };
    let found = seen(&withheld, &good);
    assert!(!found.is_empty());
    broken.extend(found);
    assert_eq!(broken, audit::RULES.into_iter().collect());
}

#[test]
fn a_name_of_another_is_stepped_round() {
    let mut observed = observed();
    observed.taken.push(Taken {
        kind: crate::claims::NamedKind::ReplicaSet,
        name: "compare-one".to_owned(),
        by: "nobody".to_owned(),
    });
    let plan = reconcile(&observed);
    let text = plan.to_string();
    assert!(
        text.contains("create  compare-one-1 of one with 1"),
        "{text}"
    );
    assert_eq!(
        plan.status.template_statuses[0].collision_count,
        Some(1),
        "{text}"
    );
    let hash = |plan: &Plan| plan.status.template_statuses[0].pod_template_hash.clone();
    observed.taken.clear();
    assert_ne!(hash(&plan), hash(&reconcile(&observed)));
}
