//! The AnalysisRuns that a Rollout makes, whole: names, labels, annotations, owner, arguments. In: fixtures, changed. Out: a
//! failure where the object is another one.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use agent_api::AnalysisRun;
use agent_engine::{Action, Observed, reconcile};
use serde_json::{Value, json};
use tests_golden::agent_fixture::observed;

/// The analysis of the second step of most fixtures.
const WRITTEN: &str = "{templates: [{templateName: errors}], args: [{name: service, value: web}]}";

fn text(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/agent");
    std::fs::read_to_string(format!("{folder}/{name}/observed.yaml")).unwrap()
}

fn fixture(name: &str) -> Observed {
    observed(&text(name)).unwrap()
}

fn made(observed: &Observed) -> AnalysisRun {
    let plan = reconcile(observed);
    let reasons = plan.reasons;
    let runs = plan.actions.into_iter().filter_map(|action| match action {
        Action::CreateAnalysisRun { run } => Some(*run),
        _ => None,
    });
    let runs: Vec<AnalysisRun> = runs.collect();
    assert_eq!(runs.len(), 1, "{runs:?} {reasons:?}");
    runs.into_iter().next().unwrap()
}

fn value(run: &AnalysisRun) -> Value {
    serde_json::to_value(run).unwrap()
}

/// `analysis_begins` with another analysis and another template.
fn with(analysis: &Value, template: impl Fn(&mut agent_api::AnalysisTemplateSpec)) -> Observed {
    let text = text("analysis_begins");
    assert!(text.contains(WRITTEN));
    let mut observed = observed(&text.replace(WRITTEN, &analysis.to_string())).unwrap();
    observed.templates.values_mut().for_each(template);
    observed
}

#[test]
fn a_run_of_a_step_carries_all_that_clients_look_for() {
    let analysis = json!({
        "templates": [{"templateName": "errors"}],
        "args": [
            {"name": "service", "value": "web"},
            {"name": "token", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}},
            {"name": "latest", "valueFrom": {"podTemplateHashValue": "Latest"}},
            {"name": "stable", "valueFrom": {"podTemplateHashValue": "Stable"}},
            {"name": "image", "valueFrom": {"fieldRef": {"fieldPath": "spec.template.spec.containers[0].image"}}},
            {"name": "step", "valueFrom": {"fieldRef": {"fieldPath": "status.currentStepIndex"}}},
            {"name": "asked-by-no-template", "value": "x"},
        ],
        "dryRun": [{"metricName": "error.*"}],
        "measurementRetention": [{"metricName": "error-rate", "limit": 3}],
        "analysisRunMetadata": {"labels": {"team": "shop"}, "annotations": {"link": "http://runbook"}},
    });
    let mut observed = with(&analysis, |template| {
        for name in ["token", "latest", "stable", "image", "step"] {
            let argument = serde_json::from_value(json!({"name": name}));
            template.args.push(argument.unwrap());
        }
        template.strict = Some(true);
    });
    let labels = observed.rollout.metadata.labels.get_or_insert_default();
    let instance = "argo-rollouts.argoproj.io/controller-instance-id";
    labels.insert(instance.to_owned(), "blue".to_owned());
    let status = observed.rollout.status.clone().unwrap();
    let (stable, latest) = (status.stable_rs.unwrap(), status.current_pod_hash.unwrap());
    let image = observed.rollout.spec.template.as_ref().unwrap().value();
    let image = image.pointer("/spec/containers/0/image").unwrap().clone();

    let run = value(&made(&observed));
    assert_eq!(run["metadata"]["name"], format!("web-{latest}-2-1"));
    assert_eq!(
        run["metadata"]["labels"],
        json!({
            "rollouts-pod-template-hash": latest, "rollout-type": "Step", "step-index": "1", "team": "shop",
            instance: "blue",
        })
    );
    assert_eq!(
        run["metadata"]["annotations"],
        json!({
            "rollout.argoproj.io/revision": "2", "analysis.groundswell.dev/strict": "true", "link": "http://runbook",
        })
    );
    let owner = &run["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["name"]),
        (&json!("Rollout"), &json!("web"))
    );
    // What a Secret holds is never in it.
    assert_eq!(
        run["spec"]["args"],
        json!([
            {"name": "service", "value": "web"},
            {"name": "token", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}},
            {"name": "latest", "value": latest}, {"name": "stable", "value": stable},
            {"name": "image", "value": image}, {"name": "step", "value": "0"},
        ])
    );
    assert_eq!(run["spec"]["dryRun"], analysis["dryRun"]);
    assert_eq!(
        run["spec"]["measurementRetention"],
        analysis["measurementRetention"]
    );
    // Arguments are filled in when it is measured, not in what is stored.
    let query = "/spec/metrics/0/provider/prometheus/query";
    assert_eq!(
        run.pointer(query).unwrap(),
        "ok{service='{{args.service}}'}"
    );
}

#[test]
fn a_lax_template_makes_a_run_without_the_annotation() {
    let run = value(&made(&fixture("analysis_begins")));
    let annotations = run["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(annotations.len(), 1, "{annotations:?}");
}

#[test]
fn other_runs_have_their_types_and_names() {
    for (case, kind, ending) in [
        ("background_begins", "Background", "-2"),
        ("bg_pre_begins", "PrePromotion", "-2-pre"),
        ("bg_post_begins", "PostPromotion", "-2-post"),
    ] {
        let run = made(&fixture(case));
        let labels = run.metadata.labels.unwrap();
        assert_eq!(labels["rollout-type"], kind, "{case}");
        assert!(!labels.contains_key("step-index"), "{case}");
        let name = run.metadata.name.unwrap();
        assert!(name.ends_with(ending), "{case}: {name}");
    }
}
