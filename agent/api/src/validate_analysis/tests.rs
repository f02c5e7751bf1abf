//! Bad metrics, as data.

use serde_json::{Value, json};

use super::{Ending, validate_metrics};
use crate::analysis::Metric;

/// Merges fields into a good metric and compares the problems' paths.
fn check(changes: Value, ending: Ending, paths: &[&str]) {
    let mut metric = json!({
        "name": "rate", "interval": "5s", "count": 3, "failureLimit": 1, "successCondition": "result[0] >= 0.95",
        "provider": {"prometheus": {"address": "http://prometheus:9090", "query": "up"}},
    });
    for (key, value) in changes.as_object().unwrap() {
        metric[key] = value.clone();
    }
    let metric: Metric = serde_json::from_value(metric).unwrap();
    let problems = validate_metrics(&[metric], ending);
    let found: Vec<&str> = problems
        .iter()
        .map(|problem| problem.path.trim_start_matches("spec.metrics[0]"))
        .collect();
    assert_eq!(found, paths, "{changes}: {problems:?}");
}

#[test]
fn bad_metrics_are_named() {
    let step = Ending::MustEnd;
    check(json!({}), step, &[]);
    check(json!({"name": ""}), step, &[".name"]);
    check(json!({"interval": "often"}), step, &[".interval"]);
    check(json!({"interval": "-5s"}), step, &[".interval"]);
    check(json!({"initialDelay": "x"}), step, &[".initialDelay"]);
    check(json!({"count": "{{args.n}}"}), step, &[".count"]);
    check(json!({"count": -1}), step, &[".count"]);
    check(json!({"interval": null}), step, &[".count"]);
    check(json!({"count": null}), step, &[".count"]);
    check(json!({"count": null}), Ending::MayRunOn, &[]);
    check(
        json!({"count": null, "consecutiveSuccessLimit": 2}),
        step,
        &[],
    );
    check(
        json!({"count": null, "interval": null, "failureLimit": 0}),
        step,
        &[],
    );
    check(json!({"failureLimit": 4}), step, &[".count"]);
    check(json!({"failureLimit": -1}), step, &[]);
    check(json!({"failureLimit": -2}), step, &[".failureLimit"]);
    check(
        json!({"inconclusiveLimit": -1}),
        step,
        &[".inconclusiveLimit"],
    );
    check(json!({"provider": {}}), step, &[".provider"]);
    check(
        json!({"provider": {"nagios": {}}}),
        step,
        &[".provider.nagios"],
    );
    check(
        json!({"provider": {"plugin": {}}}),
        step,
        &[".provider.plugin"],
    );
    check(
        json!({"provider": {"job": {}, "web": {}}}),
        step,
        &[".provider"],
    );
    check(
        json!({"provider": {"job": {}, "prometheus": {"query": "up"}}}),
        step,
        &[".provider"],
    );
    check(
        json!({"provider": {"prometheus": {}}}),
        step,
        &[".provider.prometheus.query"],
    );
}

#[test]
fn names_are_unique_and_there_is_at_least_one() {
    let paths = |metrics: &[Metric]| {
        validate_metrics(metrics, Ending::MustEnd)
            .into_iter()
            .map(|problem| problem.path)
            .collect::<Vec<_>>()
    };
    assert_eq!(paths(&[]), ["spec.metrics"]);
    let metric: Metric =
        serde_json::from_value(json!({"name": "a", "provider": {"prometheus": {"query": "up"}}}))
            .unwrap();
    assert_eq!(paths(&[metric.clone(), metric]), ["spec.metrics[1].name"]);
}
