//! Bad Rollouts, as data: a change of a good one, and the paths that must be named.

use serde_json::{Value, json};

use super::{content_problems, sentence, validate, workload_problems};
use crate::rollout::Rollout;

fn good() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "shop"},
        "spec": {
            "replicas": 5,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop", "extra": "label"}},
                "spec": {"containers": [{"name": "main", "image": "shop:v1"}]},
            },
            "strategy": {"canary": {"maxSurge": "20%", "maxUnavailable": 0, "steps": [
                {"setWeight": 20}, {"pause": {"duration": "1m"}}, {"pause": {}}, {"pause": {"duration": 0}},
                {"analysis": {"templates": [{"templateName": "rate"}], "args": [{"name": "a", "value": "b"}]}},
            ]}},
        },
    })
}

/// Sets a field of the good Rollout and compares the problems' paths and a word of the first message.
fn check(pointer: &str, value: Value, paths: &[&str], word: &str) {
    let mut object = good();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match object.pointer_mut(parent).unwrap() {
        Value::Object(fields) => {
            fields.insert(key.to_owned(), value.clone());
        }
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            panic!("{parent} has no fields")
        }
    }
    let rollout: Rollout = serde_json::from_value(object).unwrap();
    let problems = validate(&rollout);
    let found: Vec<&str> = problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    assert_eq!(found, paths, "{pointer} = {value}: {problems:?}");
    if let Some(first) = problems.first() {
        assert!(
            first.message.contains(word),
            "{pointer} = {value}: {:?} lacks {word:?}",
            first.message
        );
    }
}

#[test]
fn a_good_rollout_has_no_problems() {
    check("/metadata/name", json!("other"), &[], "");
}

#[test]
fn base_fields() {
    check(
        "/spec/replicas",
        json!(-1),
        &["spec.replicas"],
        "at least 0",
    );
    check(
        "/spec/minReadySeconds",
        json!(-1),
        &["spec.minReadySeconds"],
        "at least 0",
    );
    check(
        "/spec/minReadySeconds",
        json!(600),
        &["spec.progressDeadlineSeconds"],
        "greater than minReadySeconds",
    );
    check(
        "/spec/progressDeadlineSeconds",
        json!(0),
        &["spec.progressDeadlineSeconds"],
        "greater",
    );
    check(
        "/spec/rollbackWindow",
        json!({"revisions": -1}),
        &["spec.rollbackWindow.revisions"],
        "at least 0",
    );
    check(
        "/spec/revisionHistoryLimit",
        json!(-2),
        &["spec.revisionHistoryLimit"],
        "at least 0",
    );
    check("/spec/selector", json!(null), &["spec.selector"], "missing");
    check(
        "/spec/selector",
        json!({"matchLabels": {"app": "other"}}),
        &["spec.template.metadata.labels"],
        "app=other",
    );
    check("/spec/template", json!(null), &["spec.template"], "missing");
    check(
        "/spec/template/spec/containers",
        json!([]),
        &["spec.template.spec.containers"],
        "missing",
    );
    check(
        "/spec/template/spec/restartPolicy",
        json!("Never"),
        &["spec.template.spec.restartPolicy"],
        "Always",
    );
}

#[test]
fn workload_references() {
    let deployment = |more: Value| {
        let mut reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"});
        reference
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        reference
    };
    check(
        "/spec/workloadRef",
        deployment(json!({})),
        &["spec.template"],
        "beside workloadRef",
    );
    let alone = |reference: Value, paths: &[&str]| {
        let mut object = good();
        let spec = object["spec"].as_object_mut().unwrap();
        spec.remove("template");
        spec.remove("selector");
        spec.insert("workloadRef".to_owned(), reference);
        let rollout: Rollout = serde_json::from_value(object).unwrap();
        let problems = validate(&rollout);
        let found: Vec<&str> = problems.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(found, paths, "{problems:?}");
        assert_eq!(problems, workload_problems(&rollout.spec));
    };
    alone(deployment(json!({})), &[]);
    alone(deployment(json!({"scaleDown": "progressively"})), &[]);
    alone(deployment(json!({"name": ""})), &["spec.workloadRef.name"]);
    alone(
        deployment(json!({"kind": "StatefulSet"})),
        &["spec.workloadRef.kind"],
    );
    alone(
        deployment(json!({"apiVersion": "v1"})),
        &["spec.workloadRef.kind"],
    );
    alone(
        deployment(json!({"scaleDown": "soon"})),
        &["spec.workloadRef.scaleDown"],
    );
}

#[test]
fn the_template_of_a_workload_is_judged_as_one_of_our_own() {
    let rollout: Rollout = serde_json::from_value(good()).unwrap();
    let template = rollout.spec.template.clone().unwrap();
    assert!(content_problems(&rollout.spec, &rollout.spec.selector, &template).is_empty());
    let other = serde_json::from_value(json!({"matchLabels": {"app": "other"}})).unwrap();
    let problems = content_problems(&rollout.spec, &other, &template);
    assert_eq!(
        problems[0].path,
        "spec.workloadRef.template.metadata.labels"
    );
    // Its labels are as much the pods' own as those of a selector that is written.
    let mut spec = rollout.spec.clone();
    let selector = std::mem::take(&mut spec.selector);
    let metadata = json!({"labels": {"app": "canary"}});
    let canary = spec.strategy.canary.as_mut().unwrap();
    canary.canary_metadata = serde_json::from_value(metadata).unwrap();
    let problems = content_problems(&spec, &selector, &template);
    assert_eq!(
        problems[0].path,
        "spec.strategy.canary.canaryMetadata.labels.app"
    );
}

#[test]
fn strategies() {
    let canary = "spec.strategy.canary";
    check("/spec/strategy", json!({}), &["spec.strategy"], "missing");
    check(
        "/spec/strategy/blueGreen",
        json!({}),
        &["spec.strategy"],
        "both",
    );
    check(
        "/spec/strategy",
        json!({"blueGreen": {}}),
        &["spec.strategy.blueGreen.activeService"],
        "missing",
    );
    for field in ["trafficRouting", "pingPong"] {
        check(
            &format!("/spec/strategy/canary/{field}"),
            json!({}),
            &[&format!("{canary}.{field}")],
            "is not supported by this version; leave it out or keep the rollout on another controller",
        );
    }
    check(
        "/spec/strategy/canary/scaleDownDelaySeconds",
        json!(30),
        &[&format!("{canary}.scaleDownDelaySeconds")],
        "only with trafficRouting",
    );
}

#[test]
fn progress_thresholds() {
    let path = "spec.strategy.canary.replicaProgressThreshold";
    let threshold = |value: Value, tail: &[&str]| {
        let paths: Vec<String> = tail.iter().map(|tail| format!("{path}.{tail}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        check(
            "/spec/strategy/canary/replicaProgressThreshold",
            value,
            &paths,
            "must be",
        );
    };
    threshold(json!({"type": "Percent", "value": 90}), &[]);
    threshold(json!({"type": "Pods", "value": 300}), &[]);
    threshold(json!({"type": "Percent", "value": 101}), &["value"]);
    threshold(json!({"type": "Pods", "value": 0}), &["value"]);
    threshold(json!({"type": "Most", "value": 1}), &["type"]);
}

#[test]
fn surge_and_unavailable() {
    let surge = "spec.strategy.canary.maxSurge";
    let unavailable = "spec.strategy.canary.maxUnavailable";
    check(
        "/spec/strategy/canary/maxSurge",
        json!(0),
        &[unavailable],
        "could ever move",
    );
    check(
        "/spec/strategy/canary/maxSurge",
        json!("0%"),
        &[unavailable],
        "could ever move",
    );
    check(
        "/spec/strategy/canary/maxSurge",
        json!("many"),
        &[surge],
        "percentage",
    );
    check(
        "/spec/strategy/canary/maxSurge",
        json!(-1),
        &[surge],
        "negative",
    );
    check(
        "/spec/strategy/canary/maxUnavailable",
        json!("101%"),
        &[unavailable],
        "above 100%",
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one call a row")]
fn steps() {
    let step = |value: Value, tail: &str, word: &str| {
        check(
            "/spec/strategy/canary/steps/1",
            value,
            &[&format!("spec.strategy.canary.steps[1]{tail}")],
            word,
        );
    };
    step(json!({}), "", "empty");
    step(json!({"setWeight": 1, "pause": {}}), "", "pause, setWeight");
    step(
        json!({"setWeight": 1, "plugin": {}}),
        "",
        "plugin, setWeight",
    );
    step(json!({"setWeigth": 20}), "", "unknown key setWeigth");
    step(json!({"setWeight": -1}), ".setWeight", "between 0 and 100");
    step(json!({"setWeight": 101}), ".setWeight", "between 0 and 100");
    step(
        json!({"pause": {"duration": "soon"}}),
        ".pause.duration",
        "not a duration",
    );
    let negative = json!({"pause": {"duration": -1}});
    step(negative, ".pause.duration", "negative");
    let plugin = json!({"plugin": {}});
    step(plugin, ".plugin", "not supported by this version");
    step(json!({"analysis": {}}), ".analysis.templates", "missing");
    step(
        json!({"analysis": {"templates": [{}]}}),
        ".analysis.templates[0].templateName",
        "missing",
    );
    let with =
        |args: Value| json!({"analysis": {"templates": [{"templateName": "a"}], "args": args}});
    step(
        with(json!([{"value": "1"}])),
        ".analysis.args[0].name",
        "missing",
    );
    step(
        with(json!([{"name": "a", "value": "1", "valueFrom": {}}])),
        ".analysis.args[0]",
        "both",
    );
    step(
        with(json!([{"name": "a", "value": "1"}, {"name": "a"}])),
        ".analysis.args[1].name",
        "a second time",
    );
    let from = |source: Value| with(json!([{"name": "a", "valueFrom": source}]));
    for (source, field, word) in [
        (json!({}), "", "exactly one"),
        (
            json!({"fieldRef": {"fieldPath": "a"}, "podTemplateHashValue": "Stable"}),
            "",
            "exactly one",
        ),
        (
            json!({"podTemplateHashValue": "Newest"}),
            ".podTemplateHashValue",
            "Stable or Latest",
        ),
        (json!({"fieldRef": {}}), ".fieldRef.fieldPath", "missing"),
        (
            json!({"secretKeyRef": {"name": "s"}}),
            ".secretKeyRef",
            "a name and a key",
        ),
    ] {
        let path = format!(".analysis.args[0].valueFrom{field}");
        step(from(source), &path, word);
    }
}

#[test]
fn a_background_without_templates_is_none() {
    let field = "/spec/strategy/canary/analysis";
    let at = |path: &str| format!("spec.strategy.canary.analysis.{path}");
    for empty in [
        json!({}),
        json!({"templates": []}),
        json!({"templates": [], "args": [{"value": "1"}], "startingStep": 9}),
    ] {
        check(field, empty, &[], "");
    }
    let nameless = json!({"templates": [{}]});
    check(
        field,
        nameless,
        &[&at("templates[0].templateName")],
        "missing",
    );
}

#[test]
fn what_changes_pods() {
    let canary = "/spec/strategy/canary";
    let at = |field: &str| format!("spec.strategy.canary.{field}");
    let metadata = format!("{canary}/canaryMetadata");
    let good = json!({"labels": {"role": "canary"}, "annotations": {"app": "x"}});
    check(&metadata, good, &[], "");
    for key in ["app", "rollouts-pod-template-hash"] {
        for field in ["canaryMetadata", "stableMetadata"] {
            check(
                &format!("{canary}/{field}"),
                json!({"labels": {key: "x"}}),
                &[&at(&format!("{field}.labels.{key}"))],
                "by which the pods are selected",
            );
        }
    }
    let affinity = format!("{canary}/antiAffinity");
    let (required, preferred) = (
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
    );
    check(&affinity, json!({required: {}}), &[], "");
    check(&affinity, json!({preferred: {"weight": 100}}), &[], "");
    check(&affinity, json!({}), &[&at("antiAffinity")], "is empty");
    check(
        &affinity,
        json!({required: {}, preferred: {"weight": 1}}),
        &[&at("antiAffinity")],
        "both",
    );
    for weight in [json!(null), json!(0), json!(101)] {
        check(
            &affinity,
            json!({preferred: {"weight": weight}}),
            &[&at(&format!("antiAffinity.{preferred}.weight"))],
            "between 1 and 100",
        );
    }
}

#[test]
fn weights_at_the_ends_are_good() {
    for weight in [0, 100] {
        check(
            "/spec/strategy/canary/steps/0",
            json!({"setWeight": weight}),
            &[],
            "",
        );
    }
}

#[test]
fn all_problems_stand_in_one_sentence() {
    let rollout: Rollout =
        serde_json::from_value(json!({"metadata": {"name": "shop"}, "spec": {}})).unwrap();
    let text = sentence("shop", &validate(&rollout));
    assert!(
        text.starts_with("The Rollout \"shop\" is invalid: spec.selector: is missing"),
        "{text}"
    );
    assert!(
        text.contains("; spec.template: is missing")
            && text.contains("; spec.strategy: is missing"),
        "{text}"
    );
}

fn blue_green(field: &str, value: Value) -> Value {
    let analysis = json!({"templates": [{"templateName": "rate"}]});
    let mut blue_green = json!({
        "activeService": "shop", "previewService": "preview", "previewReplicaCount": 1,
        "autoPromotionEnabled": true, "autoPromotionSeconds": 30, "maxUnavailable": "25%",
        "scaleDownDelaySeconds": 0, "scaleDownDelayRevisionLimit": 0, "abortScaleDownDelaySeconds": 0,
        "prePromotionAnalysis": analysis, "postPromotionAnalysis": analysis,
    });
    blue_green[field] = value;
    json!({"blueGreen": blue_green})
}

#[test]
fn blue_green_fields() {
    let good = blue_green("activeService", json!("shop"));
    check("/spec/strategy", good, &[], "");
    let bad = |field: &str, value: Value, path: &str, word: &str| {
        let path = format!("spec.strategy.blueGreen.{path}");
        check("/spec/strategy", blue_green(field, value), &[&path], word);
    };
    for field in [
        "previewReplicaCount",
        "autoPromotionSeconds",
        "scaleDownDelaySeconds",
        "scaleDownDelayRevisionLimit",
        "abortScaleDownDelaySeconds",
    ] {
        bad(field, json!(-1), field, "at least 0");
    }
    bad("activeService", json!(""), "activeService", "missing");
    bad(
        "activeService",
        json!("preview"),
        "previewService",
        "another",
    );
    bad(
        "maxUnavailable",
        json!("120%"),
        "maxUnavailable",
        "above 100%",
    );
    bad("maxUnavailable", json!("some"), "maxUnavailable", "some");
    let field = "prePromotionAnalysis";
    let path = "prePromotionAnalysis.templates";
    bad(field, json!({"templates": []}), path, "missing");
    let field = "postPromotionAnalysis";
    let path = "postPromotionAnalysis.templates[0].templateName";
    bad(field, json!({"templates": [{}]}), path, "missing");
}
