//! Requests and answers as data. In: a metric, an answer. Out: the request, the value or the words of an error.

use serde_json::{Value, json};

use super::*;
use crate::trial::{Trial, body};

fn trial(metric: &Value) -> Trial {
    Trial::of(&json!({"skywalking": metric}))
}

#[test]
fn request_is_graphql() {
    let metric = json!({"address": "http://oap:12800/", "query": " query q($duration: Duration!) { a } ", "interval": "3m"});
    let asked = trial(&metric).asks(&[]);
    assert_eq!(asked.method, Method::Post);
    assert_eq!(asked.url.as_str(), "http://oap:12800/graphql");
    assert_eq!(asked.timeout, TIMEOUT);
    assert_eq!(
        body(&asked),
        json!({
            "query": "query q($duration: Duration!) { a }",
            "variables": {"duration": {"start": "2026-01-31 1157", "end": "2026-01-31 1200", "step": "MINUTE"}},
        })
    );
}

#[test]
fn what_is_refused() {
    trial(&json!({"address": "http://oap"})).refuses("query is empty");
    trial(&json!({"query": "q"})).refuses("no skywalking address");
    trial(&json!({"address": "oap:12800", "query": "q"})).refuses("oap:12800");
    trial(&json!({"address": "http://oap", "query": "q", "interval": "x"})).refuses("interval");
}

#[test]
fn answers() {
    let trial = trial(&json!({"address": "http://oap", "query": "q"}));
    trial.check_strangers();
    for (body, expected) in [
        (
            r#"{"data":{"a":{"values":{"values":[{"value":9900}]}}}}"#,
            Ok(r#"{"a":{"values":{"values":[{"value":9900}]}}}"#),
        ),
        (r#"{"data":{}}"#, Ok("{}")),
        (r#"{"data":{"a":null},"errors":[]}"#, Ok(r#"{"a":null}"#)),
        (r#"{"data":null}"#, Err("no data")),
        ("{}", Err("no data")),
        (
            r#"{"errors":[{"message":"Validation error"}]}"#,
            Err("Validation error"),
        ),
        (
            r#"{"data":{"a":1},"errors":[{"message":"half"}]}"#,
            Err("half"),
        ),
        (r#"{"data":{"a":NaN}}"#, Err("cannot be read")),
    ] {
        trial.check(200, body, expected);
    }
}
