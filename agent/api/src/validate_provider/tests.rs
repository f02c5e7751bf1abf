//! Bad questions to each provider, as data.

use serde_json::{Value, json};

use super::*;

fn check(provider: Value, expected: &[&str]) {
    let parsed: MetricProvider = serde_json::from_value(provider.clone()).unwrap();
    let mut findings = Findings::new();
    provider_problems("p", &parsed, &mut findings);
    let problems = findings.into_problems();
    let found: Vec<&str> = problems
        .iter()
        .map(|problem| problem.path.trim_start_matches("p."))
        .collect();
    assert_eq!(found, expected, "{provider}: {problems:?}");
    for problem in &problems {
        assert!(problem.message.len() > 10, "{problem}");
    }
}

/// `base` with other fields; null takes one away.
fn with(name: &str, base: &Value, changes: Value, expected: &[&str]) {
    let mut question = base.clone();
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            question.as_object_mut().unwrap().remove(key);
        } else {
            question[key] = value.clone();
        }
    }
    let paths: Vec<String> = expected
        .iter()
        .map(|path| format!("{name}{path}"))
        .collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    check(json!({name: question}), &paths);
}

#[test]
fn questions_over_http() {
    let base = json!({"query": "up"});
    let prometheus =
        |changes: Value, expected: &[&str]| with("prometheus", &base, changes, expected);
    prometheus(json!({}), &[]);
    prometheus(json!({"query": null}), &[".query"]);
    prometheus(json!({"query": "  "}), &[".query"]);
    prometheus(json!({"timeout": -1}), &[".timeout"]);
    prometheus(
        json!({"rangeQuery": {"start": "now()", "end": "now()", "step": "1m"}}),
        &[],
    );
    prometheus(
        json!({"rangeQuery": {"step": "often"}}),
        &[".rangeQuery.start", ".rangeQuery.end", ".rangeQuery.step"],
    );
    prometheus(
        json!({"authentication": {"basicAuth": {}, "sigv4": {}}}),
        &[".authentication"],
    );
    let base = json!({"url": "http://web/"});
    let web = |changes: Value, expected: &[&str]| with("web", &base, changes, expected);
    web(json!({}), &[]);
    web(json!({"url": null}), &[".url"]);
    web(json!({"method": "DELETE"}), &[".method"]);
    web(json!({"method": "{{args.m}}"}), &[]);
    web(json!({"method": "POST", "body": "a"}), &[]);
    web(json!({"method": "PUT", "jsonBody": {"a": 1}}), &[]);
    web(
        json!({"method": "POST", "body": "a", "jsonBody": {}}),
        &[".jsonBody"],
    );
    web(json!({"body": "a"}), &[".body"]);
    web(json!({"jsonBody": {}}), &[".jsonBody"]);
    web(json!({"timeoutSeconds": -1}), &[".timeoutSeconds"]);
    web(json!({"headers": [{"value": "x"}]}), &[".headers[0].key"]);
    let base = json!({"address": "http://graphite", "query": "a"});
    for name in ["graphite", "wavefront", "skywalking"] {
        with(name, &base, json!({}), &[]);
        with(name, &base, json!({"query": null}), &[".query"]);
        with(name, &base, json!({"address": ""}), &[".address"]);
    }
    with(
        "skywalking",
        &base,
        json!({"interval": "soon"}),
        &[".interval"],
    );
    check(json!({"influxdb": {}}), &["influxdb.query"]);
    check(
        json!({"newRelic": {"timeout": -1}}),
        &["newRelic.query", "newRelic.timeout"],
    );
}

#[test]
fn datadog() {
    let base = json!({"query": "avg:x{*}"});
    let row = |changes: Value, expected: &[&str]| with("datadog", &base, changes, expected);
    row(json!({}), &[]);
    row(json!({"query": null}), &[".query"]);
    row(json!({"apiVersion": "v3"}), &[".apiVersion"]);
    row(
        json!({"apiVersion": "v2", "aggregator": "median"}),
        &[".aggregator"],
    );
    row(json!({"interval": "-5m"}), &[".interval"]);
    row(json!({"requestTimeout": "x"}), &[".requestTimeout"]);
    row(
        json!({"apiVersion": "v2", "queries": {"a": "b"}}),
        &[".queries"],
    );
    row(json!({"query": null, "queries": {"a": "b"}}), &[".queries"]);
    row(
        json!({"query": null, "apiVersion": "v2", "queries": {"a": "b"}}),
        &[],
    );
    row(
        json!({"query": null, "apiVersion": "v2", "queries": {"a": "b", "c": "d"}}),
        &[".formula"],
    );
    row(
        json!({"query": null, "apiVersion": "v2", "queries": {"a": "b", "c": "d"}, "formula": "a / c"}),
        &[],
    );
    row(json!({"formula": "a / b"}), &[".formula"]);
}

#[test]
fn cloud_watch() {
    let query = |id: &str| json!({"id": id, "expression": "a / b"});
    let row = |queries: Value, expected: &[&str]| {
        with(
            "cloudWatch",
            &json!({}),
            json!({"metricDataQueries": queries}),
            expected,
        );
    };
    row(json!([query("a"), query("b")]), &[]);
    row(json!([]), &[".metricDataQueries"]);
    row(
        json!([query("a"), query("a")]),
        &[".metricDataQueries[1].id"],
    );
    row(json!([{"expression": "a"}]), &[".metricDataQueries[0].id"]);
    row(json!([{"id": "a"}]), &[".metricDataQueries[0]"]);
    row(
        json!([{"id": "a", "expression": "b", "metricStat": {}}]),
        &[".metricDataQueries[0]"],
    );
}

#[test]
fn kayenta() {
    let base = json!({
        "address": "http://kayenta", "application": "web", "canaryConfigName": "c", "metricsAccountName": "m",
        "configurationAccountName": "c", "storageAccountName": "s", "threshold": {"pass": 90, "marginal": 75},
        "scopes": [{"name": "default", "controlScope": {"scope": "a"}, "experimentScope": {"scope": "b", "step": 60}}],
    });
    let row = |changes: Value, expected: &[&str]| with("kayenta", &base, changes, expected);
    row(json!({}), &[]);
    for field in [
        "address",
        "application",
        "canaryConfigName",
        "metricsAccountName",
        "configurationAccountName",
        "storageAccountName",
    ] {
        row(json!({field: null}), &[&format!(".{field}")]);
    }
    row(
        json!({"threshold": null}),
        &[".threshold.pass", ".threshold.marginal"],
    );
    row(
        json!({"threshold": {"pass": 101, "marginal": -1}}),
        &[".threshold.pass", ".threshold.marginal"],
    );
    row(
        json!({"threshold": {"pass": 50, "marginal": 60}}),
        &[".threshold.marginal"],
    );
    row(json!({"scopes": []}), &[".scopes"]);
    row(
        json!({"scopes": [{"controlScope": {"step": -1}}]}),
        &[
            ".scopes[0].name",
            ".scopes[0].controlScope.scope",
            ".scopes[0].controlScope.step",
            ".scopes[0].experimentScope",
        ],
    );
}

#[test]
fn jobs() {
    let container = json!({"template": {"spec": {"containers": [{"name": "test"}]}}});
    check(json!({"job": {"spec": container}}), &[]);
    check(json!({"job": {}}), &["job.spec"]);
    check(
        json!({"job": {"spec": {}}}),
        &["job.spec.template.spec.containers"],
    );
}
