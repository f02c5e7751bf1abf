//! What holds for all providers. In: one metric of each, any answers. Out: no panic, no secret in a request's text.

use proptest::prelude::*;
use serde_json::json;

use crate::question::{Next, secret};
use crate::transport::Answer;
use crate::trial::Trial;

/// What no text may show.
const CANARY: &str = "canary-4711";

/// One of each provider that is asked over HTTP, with every secret that it takes, and for those that come back a later
/// leg.
fn all() -> Vec<Trial> {
    let kayenta = json!({"kayenta": {
        "address": "http://k", "application": "a", "canaryConfigName": "c", "threshold": {"pass": 90, "marginal": 50},
        "scopes": [{"name": "d", "controlScope": {"scope": "x", "start": "2026-01-01T00:00:00Z"},
            "experimentScope": {"scope": "y", "start": "2026-01-01T00:00:00Z"}}],
    }});
    let mut all: Vec<Trial> = [
        json!({"prometheus": {"address": "http://p", "query": "q"}}),
        json!({"datadog": {"query": "q"}}),
        json!({"datadog": {"query": "q", "apiVersion": "v2"}}),
        json!({"newRelic": {"query": "q"}}),
        json!({"wavefront": {"address": "w", "query": "q"}}),
        json!({"cloudWatch": {"metricDataQueries": [{"id": "a", "expression": "b"}]}}),
        json!({"graphite": {"address": "http://g", "query": "q"}}),
        json!({"influxdb": {"query": "q"}}),
        json!({"skywalking": {"address": "http://s", "query": "q"}}),
        kayenta.clone(),
    ]
    .iter()
    .map(Trial::of)
    .collect();
    all.push(Trial::of(&kayenta).remembers("canaryExecutionId", "e"));
    let plain = [("account-id", "12"), ("address", "http://i"), ("org", "o")];
    let hidden = ["api-key", "app-key", "personal-api-key", "authToken", "w"];
    all.into_iter()
        .map(|trial| {
            let trial = trial.variable("AWS_REGION", "eu-central-1");
            let trial = plain
                .iter()
                .fold(trial, |one, (key, value)| one.secret(key, value));
            hidden
                .iter()
                .fold(trial, |one, key| one.secret(key, CANARY))
        })
        .collect()
}

#[test]
fn secrets_are_in_no_text() {
    let mut carried = 0;
    for trial in all() {
        let Next::Ask(request) = trial.next(&[]).unwrap() else {
            panic!("no request");
        };
        let text = format!("{request:?} {}", request.url);
        assert!(!text.contains(CANARY), "{text}");
        let headers = request.headers.iter();
        carried += headers
            .filter(|(_, value)| secrecy::ExposeSecret::expose_secret(value).contains(CANARY))
            .count();
    }
    // Datadog's two keys twice, and one of each of three others.
    assert_eq!(carried, 7);
}

#[test]
fn secrets_that_are_needed() {
    let names = all().into_iter().map(|trial| secret(&trial.metric));
    let names: Vec<String> = names.flatten().map(|need| need.name).collect();
    assert_eq!(
        names,
        [
            "datadog",
            "datadog",
            "newrelic",
            "wavefront-api-tokens",
            "influxdb"
        ]
    );
}

/// Texts that are nearly an answer: words of all providers in any order.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "1",
        "-1e999",
        "\"a\"",
        "\"series\"",
        "\"pointlist\"",
        "\"data\"",
        "\"attributes\"",
        "\"columns\"",
        "\"values\"",
        "\"type\"",
        "\"group\"",
        "\"errors\"",
        "\"timeseries\"",
        "\"MetricDataResults\"",
        "\"Id\"",
        "\"NextToken\"",
        "\"datapoints\"",
        "\"complete\"",
        "true",
        "\"result\"",
        "#datatype",
        "#default",
        ",error,reference",
        "_value",
        "result",
        "table",
        "\r\n",
        "double",
        "\"",
        "é",
    ];
    let texts = proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..40);
    texts.prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #[test]
    fn no_answer_makes_a_panic(
        status in 100_u16..600,
        body in prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), nearly()],
        count in 1_usize..4,
        good in any::<bool>(),
    ) {
        let status = if good { 200 } else { status };
        let answers = vec![Answer { status, body }; count];
        for trial in all() {
            if let Err(message) = trial.next(&answers) {
                prop_assert!(!message.contains(CANARY) && message.len() < 2_000, "{}", message);
            }
        }
    }
}
