//! Templates into runs: what is merged, what is refused, where arguments come from.
#![allow(clippy::unwrap_used)]

use agent_api::analysis::AnalysisTemplateSpec;
use serde_json::json;

use super::*;

fn metric(fields: Value) -> Value {
    let mut metric = json!({"name": "m", "provider": {"prometheus": {"query": "q"}}});
    let fields = fields.as_object().unwrap().clone();
    metric.as_object_mut().unwrap().extend(fields);
    metric
}

fn templates(all: Value) -> Templates {
    let all = all.as_object().unwrap().clone();
    all.into_iter()
        .map(|(name, spec)| {
            let spec: AnalysisTemplateSpec = serde_json::from_value(spec).unwrap();
            (
                TemplateKey {
                    name,
                    cluster_scope: false,
                },
                spec,
            )
        })
        .collect()
}

fn step(names: &[&str], args: Value) -> StepAnalysis {
    let names: Vec<Value> = names
        .iter()
        .map(|name| json!({"templateName": name}))
        .collect();
    serde_json::from_value(json!({"templates": names, "args": args})).unwrap()
}

fn rollout() -> Rollout {
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "web", "labels": {"region": "eu"}}, "spec": {"replicas": 3},
    }))
    .unwrap()
}

#[test]
fn arguments_come_from_everywhere() {
    let templates = templates(json!({"t": {
        "args": [{"name": "given"}, {"name": "own", "value": "mine"}, {"name": "stable"}, {"name": "latest"}, {"name": "field"}, {"name": "number"}],
        "metrics": [metric(json!({"successCondition": "{{args.given}}/{{ args.own }}/{{args.stable}}/{{args.latest}}/{{args.field}}/{{args.number}}/{{other}}"}))],
    }}));
    let args = json!([
        {"name": "given", "value": "a \"quoted\" one"},
        {"name": "stable", "valueFrom": {"podTemplateHashValue": "Stable"}},
        {"name": "latest", "valueFrom": {"podTemplateHashValue": "Latest"}},
        {"name": "field", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['region']"}}},
        {"name": "number", "valueFrom": {"fieldRef": {"fieldPath": "spec.replicas"}}},
    ]);
    let spec = run_spec(
        &step(&["t"], args),
        &templates,
        &rollout(),
        &PodHash("s1".into()),
        &PodHash("l1".into()),
    )
    .unwrap();
    let filled: Metric = crate::args::resolved(&spec.metrics[0], &spec.args).unwrap();
    assert_eq!(
        filled.success_condition.unwrap(),
        "a \"quoted\" one/mine/s1/l1/eu/3/{{other}}"
    );
    assert!(
        spec.args
            .iter()
            .all(|argument: &Argument| argument.value.is_some() && argument.value_from.is_none())
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one line a row")]
fn templates_add_up() {
    let one = |name: &str| json!({"name": name, "provider": {"prometheus": {"query": "q"}}});
    let templates = templates(json!({
        "a": {"metrics": [one("m1")], "templates": [{"templateName": "b"}]},
        "b": {"metrics": [one("m2")], "templates": [{"templateName": "a"}]},
        "c": {"metrics": [one("m1")]},
        "d": {"metrics": [one("m3")], "args": [{"name": "x", "value": "1"}]},
        "e": {"metrics": [one("m4")], "args": [{"name": "x", "value": "2"}]},
        "endless": {"metrics": [{"name": "m", "interval": "10s", "provider": {"prometheus": {"query": "q"}}}]},
        "open": {"metrics": [one("m")], "args": [{"name": "x"}]},
        "secret": {"metrics": [one("m")], "args": [{"name": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
        "awaits": {"metrics": [metric(json!({"interval": "10s", "consecutiveSuccessLimit": 2, "failureLimit": -1}))]},
        "nobody": {"metrics": [{"name": "m", "provider": {}}]},
        "two": {"metrics": [{"name": "m", "provider": {"web": {"url": "http://w"}, "prometheus": {"query": "q"}}}]},
        "unknown": {"metrics": [{"name": "m", "provider": {"nagios": {}}}]},
        "noQuery": {"metrics": [{"name": "m", "provider": {"prometheus": {}}}]},
        "dry": {"metrics": [one("m5")], "dryRun": [{"metricName": "other"}]},
        "badRule": {"metrics": [one("m5")], "dryRun": [{"metricName": "("}]},
        "keepsNone": {"metrics": [one("m5")], "measurementRetention": [{"metricName": "m5", "limit": 0}]},
        "secretCount": {"metrics": [metric(json!({"count": "{{args.x}}"}))],
            "args": [{"name": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
        "lost": {"metrics": [one("m")], "args": [{"name": "x", "valueFrom": {"fieldRef": {"fieldPath": "spec.nothing"}}}]},
    }));
    let check = |names: &[&str], args: Value| match check_step(
        &step(names, args),
        &templates,
        &rollout(),
    ) {
        Ok(()) => "good".to_owned(),
        Err(error) => error.to_string(),
    };
    let names = |names: &[&str]| {
        let hash = PodHash::default();
        let spec = run_spec(
            &step(names, json!([])),
            &templates,
            &rollout(),
            &hash,
            &hash,
        )
        .unwrap();
        spec.metrics
            .into_iter()
            .map(|metric| metric.name)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(names(&["a"]), "m1 m2");
    assert_eq!(names(&["a", "b", "d"]), "m1 m2 m3");
    let table = [
        (vec!["a", "c"], "more than one"),
        (vec!["d", "e"], "different values"),
        (vec!["missing"], "AnalysisTemplate/missing does not exist"),
        (vec![], "no metrics"),
        (vec!["endless"], "never end"),
        (vec!["open"], "has no value"),
        (vec!["secret"], "good"),
        (vec!["lost"], "spec.nothing"),
        (vec!["awaits"], "good"),
        (vec!["nobody"], "metric \"m\" provider: is missing"),
        (vec!["two"], "more than one kind (prometheus, web)"),
        (
            vec!["unknown"],
            "provider.nagios: is a provider that nobody knows",
        ),
        (vec!["noQuery"], "provider.prometheus.query: is missing"),
        (vec!["dry"], "spec.dryRun[0].metricName: is \"other\""),
        (vec!["badRule"], "no regular expression"),
        (vec!["keepsNone"], "limit: is 0"),
        (vec!["secretCount"], "in count, which comes from a Secret"),
        (vec!["d", "secret"], "different values"),
        (vec!["d"], "good"),
    ];
    for (names, word) in table {
        let found = check(&names, json!([]));
        assert!(found.contains(word), "{names:?}: {found}");
    }
    assert_eq!(
        check(&["d", "e"], json!([{"name": "x", "value": "3"}])),
        "good"
    );
}

#[test]
fn a_given_argument_without_a_value_leaves_the_templates_own() {
    let templates = templates(json!({
        "t": {"metrics": [metric(json!({}))], "args": [{"name": "x", "value": "own"}]},
    }));
    let hash = PodHash::default();
    let spec = run_spec(
        &step(&["t"], json!([{"name": "x"}])),
        &templates,
        &rollout(),
        &hash,
        &hash,
    );
    assert_eq!(spec.unwrap().args[0].value.as_deref(), Some("own"));
}

#[test]
fn one_strict_template_makes_the_run_strict() {
    let templates = templates(json!({
        "lax": {"metrics": [metric(json!({}))]},
        "strict": {"strict": true},
        "circle": {"templates": [{"templateName": "circle"}, {"templateName": "gone"}]},
        "nests": {"templates": [{"templateName": "circle"}, {"templateName": "strict"}]},
    }));
    for (names, strict) in [
        (vec!["lax"], false),
        (vec!["strict"], true),
        (vec!["lax", "strict"], true),
        (vec!["circle"], false),
        (vec!["lax", "nests"], true),
    ] {
        assert_eq!(
            is_strict(&step(&names, json!([])), &templates),
            strict,
            "{names:?}"
        );
    }
}

#[test]
fn a_template_of_the_cluster_names_one_of_the_namespace() {
    let mut all = templates(json!({"near": {"metrics": [metric(json!({}))]}}));
    let far: AnalysisTemplateSpec =
        serde_json::from_value(json!({"templates": [{"templateName": "near"}]})).unwrap();
    let key = TemplateKey {
        name: "far".to_owned(),
        cluster_scope: true,
    };
    all.insert(key, far);
    let analysis: StepAnalysis = serde_json::from_value(
        json!({"templates": [{"templateName": "far", "clusterScope": true}]}),
    )
    .unwrap();
    assert_eq!(check_step(&analysis, &all, &rollout()), Ok(()));
    // The same name is another template elsewhere.
    let missing = check_step(&step(&["far"], json!([])), &all, &rollout());
    assert_eq!(
        missing,
        Err(Error::NoTemplate("AnalysisTemplate/far".to_owned()))
    );
}

#[test]
fn a_condition_that_cannot_be_used_is_named_with_its_metric() {
    use crate::analysis::conditions::{BadConditions, of_rollout, problem};
    let templates = templates(json!({"t": {
        "args": [{"name": "limit"}, {"name": "token", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "metrics": [metric(json!({"successCondition": "result < {{args.limit}}", "failureCondition": "result == '{{args.token}}'"}))],
    }}));
    let analysis =
        json!({"templates": [{"templateName": "t"}], "args": [{"name": "limit", "value": "0.5"}]});
    let mut rollout = rollout();
    rollout.spec.strategy = serde_json::from_value(
        json!({"canary": {"steps": [{"setWeight": 20}, {"analysis": analysis}]}}),
    )
    .unwrap();
    let analysis: StepAnalysis = serde_json::from_value(analysis).unwrap();
    let mut observed = crate::Observed::alone(rollout.clone(), jiff::Timestamp::UNIX_EPOCH);
    observed.templates = templates.clone();
    let known: Vec<String> = of_rollout(&observed).into_iter().collect();
    assert_eq!(known, ["result < 0.5"]);
    let bad = BadConditions::from([(known[0].clone(), "it is bad".to_owned())]);
    assert_eq!(
        problem(&analysis, &templates, &rollout, &bad).as_deref(),
        Some("metric \"m\" successCondition: it is bad")
    );
    assert_eq!(
        problem(&analysis, &templates, &rollout, &BadConditions::new()),
        None
    );
}
