//! In: Experiments and steps with one fault. Out: the path that the fault is named by.

use serde_json::{Value, json};

use super::*;
use crate::strategy::CanaryStep;
use crate::validate::Routers;

fn good() -> Value {
    let pods = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
    let selector = json!({"matchLabels": {"app": "web"}});
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Experiment", "metadata": {"name": "compare"},
        "spec": {
            "duration": "5m",
            "templates": [
                {"name": "baseline", "replicas": 1, "selector": selector, "template": pods, "service": {}},
                {"name": "canary", "replicas": 1, "selector": selector, "template": pods},
            ],
            "analyses": [{"name": "p95", "templateName": "p95", "args": [
                {"name": "hash", "value": "{{templates.canary.podTemplateHash}}"},
                {"name": "service", "value": "{{ templates.baseline.service.name }}"},
                {"name": "other", "value": "{{args.else}} {{experiment.availableAt}}"},
            ]}],
        },
    })
}

/// What is wrong with the good one after a change at a pointer.
fn check(pointer: &str, value: Value) -> Vec<String> {
    let mut experiment = good();
    match experiment.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let parent = experiment.pointer_mut(parent).unwrap();
            parent
                .as_object_mut()
                .unwrap()
                .insert(key.to_owned(), value);
        }
    }
    let experiment: Experiment = serde_json::from_value(experiment).unwrap();
    let problems = validate_experiment(&experiment);
    problems.iter().map(|one| one.path.clone()).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one line a case")]
fn bad_experiments_are_refused_with_the_path() {
    assert_eq!(check("/spec/duration", json!("5m")), [""; 0]);
    let cases = [
        ("/spec/templates", json!([]), "spec.templates"),
        (
            "/spec/templates/1/name",
            json!("baseline"),
            "spec.templates[1].name",
        ),
        (
            "/spec/templates/1/name",
            json!("Upper"),
            "spec.templates[1].name",
        ),
        (
            "/spec/templates/1/name",
            json!("-a"),
            "spec.templates[1].name",
        ),
        (
            "/spec/templates/1/name",
            json!(""),
            "spec.templates[1].name",
        ),
        (
            "/spec/templates/0/replicas",
            json!(-1),
            "spec.templates[0].replicas",
        ),
        (
            "/spec/templates/0/selector",
            json!({}),
            "spec.templates[0].selector",
        ),
        (
            "/spec/templates/0/selector/matchLabels/app",
            json!("x"),
            "spec.templates[0].template.metadata.labels",
        ),
        (
            "/spec/templates/0/template/spec",
            json!({}),
            "spec.templates[0].template.spec.containers",
        ),
        (
            "/spec/templates/0/template/spec/restartPolicy",
            json!("Never"),
            "spec.templates[0].template.spec.restartPolicy",
        ),
        (
            "/spec/templates/0/minReadySeconds",
            json!(600),
            "spec.progressDeadlineSeconds",
        ),
        (
            "/spec/templates/0/service",
            json!({"name": "1st"}),
            "spec.templates[0].service.name",
        ),
        ("/spec/duration", json!("soon"), "spec.duration"),
        ("/spec/duration", json!("0s"), "spec.duration"),
        (
            "/spec/scaleDownDelaySeconds",
            json!(-1),
            "spec.scaleDownDelaySeconds",
        ),
        ("/spec/analyses/0/name", json!(""), "spec.analyses[0].name"),
        (
            "/spec/analyses/0/templateName",
            json!(""),
            "spec.analyses[0].templateName",
        ),
        (
            "/spec/analyses/0/args/0/valueFrom",
            json!({}),
            "spec.analyses[0].args[0]",
        ),
        (
            "/spec/analyses/0/args/0/value",
            json!("{{templates.other.podTemplateHash}}"),
            "spec.analyses[0].args[0].value",
        ),
        (
            "/spec/analyses/0/args/0/value",
            json!("{{templates.canary.service.name}}"),
            "spec.analyses[0].args[0].value",
        ),
        (
            "/spec/analyses/0/args/0/value",
            json!("{{templates.canary.uid}}"),
            "spec.analyses[0].args[0].value",
        ),
        (
            "/spec/analyses/0/args/0/value",
            json!("{{experiment.uid}}"),
            "spec.analyses[0].args[0].value",
        ),
    ];
    for (pointer, value, path) in cases {
        let found = check(pointer, value.clone());
        let others = |found: &String| found != path && !found.starts_with("spec.analyses");
        assert!(
            found.iter().any(|found| found == path) && !found.iter().any(others),
            "{pointer} {value}: {found:?}"
        );
    }
}

fn step(step: Value, canary: Value) -> Vec<String> {
    let step: CanaryStep = serde_json::from_value(json!({"experiment": step})).unwrap();
    let mut canary: CanaryStrategy = serde_json::from_value(canary).unwrap();
    canary.steps = vec![step];
    let mut findings = Findings::new();
    crate::validate_steps::canary_problems(&canary, Routers::Observed, &mut findings);
    let problems = findings.into_problems();
    let path = "spec.strategy.canary.steps[0].experiment.";
    let of_step = problems
        .iter()
        .filter_map(|one| one.path.strip_prefix(path));
    of_step.map(str::to_owned).collect()
}

#[test]
fn bad_experiment_steps_are_refused_with_the_path() {
    let routed = json!({"canaryService": "c", "stableService": "s", "trafficRouting": {"smi": {}}});
    let nginx = json!({"canaryService": "c", "stableService": "s", "trafficRouting": {"nginx": {"stableIngress": "web"}}});
    let templates = |more: Value| {
        let mut template = json!({"name": "canary", "specRef": "canary"});
        for (key, value) in more.as_object().unwrap() {
            template[key] = value.clone();
        }
        json!([{"name": "baseline", "specRef": "stable"}, template])
    };
    let with = |more: Value| json!({"duration": "1m", "templates": templates(more)});
    assert_eq!(step(with(json!({})), json!({})), [""; 0]);
    assert_eq!(step(with(json!({"weight": 5})), routed.clone()), [""; 0]);
    let cases = [
        (json!({"duration": "1m"}), "templates"),
        (json!({"templates": templates(json!({}))}), "duration"),
        (with(json!({"specRef": "newest"})), "templates[1].specRef"),
        (with(json!({"name": "baseline"})), "templates[1].name"),
        (with(json!({"replicas": -1})), "templates[1].replicas"),
        (with(json!({"weight": 5})), "templates[1].weight"),
        (
            with(
                json!({"selector": {"matchLabels": {"app": "a"}}, "metadata": {"labels": {"app": "b"}}}),
            ),
            "templates[1].selector",
        ),
    ];
    for (written, path) in cases {
        assert_eq!(step(written.clone(), json!({})), [path], "{written}");
    }
    assert_eq!(
        step(with(json!({"weight": 5})), nginx),
        ["templates[1].weight"]
    );
    assert_eq!(
        step(with(json!({"weight": 101})), routed),
        ["templates[1].weight", "templates"]
    );
}
