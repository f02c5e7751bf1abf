//! Requests and answers as data. In: a metric, an answer. Out: the request, the value or the words of an error.

use serde_json::{Value, json};

use super::*;
use crate::question::SecretPlace;
use crate::trial::{Trial, body, header};

fn trial(metric: &Value) -> Trial {
    Trial::of(&json!({"newRelic": metric}))
        .secret("personal-api-key", "NRAK-1")
        .secret("account-id", "12\n")
}

#[test]
fn request_is_graphql() {
    let asked = trial(&json!({"query": "SELECT count(*) FROM \"T\"", "timeout": 20})).asks(&[]);
    assert_eq!(asked.method, Method::Post);
    assert_eq!(asked.url.as_str(), "https://api.newrelic.com/graphql");
    assert_eq!(header(&asked, "API-Key"), "NRAK-1");
    assert_eq!(asked.timeout, Duration::from_secs(25));
    let body = body(&asked);
    assert_eq!(
        body["variables"],
        json!({"account": 12, "query": "SELECT count(*) FROM \"T\"", "timeout": 20})
    );
    assert!(
        body["query"]
            .as_str()
            .unwrap()
            .contains("nrql(query: $query")
    );
}

#[test]
fn regions_and_proxies() {
    for (key, value, url) in [
        ("region", "eu", "https://api.eu.newrelic.com/graphql"),
        ("region", "JP", "https://api.jp.newrelic.com/graphql"),
        ("region", "", "https://api.newrelic.com/graphql"),
        (
            "base-url-nerdgraph",
            "http://proxy/x/graphql",
            "http://proxy/x/graphql",
        ),
        (
            "base-url-rest",
            "http://proxy/v2",
            "https://api.newrelic.com/graphql",
        ),
    ] {
        let asked = trial(&json!({"query": "q"})).secret(key, value).asks(&[]);
        assert_eq!(asked.url.as_str(), url);
        assert_eq!(asked.timeout, Duration::from_secs(10));
    }
}

#[test]
fn what_is_refused() {
    let plain = || trial(&json!({"query": "q"}));
    trial(&json!({"query": "\n"})).refuses("query is empty");
    trial(&json!({"query": "q", "timeout": 121})).refuses("timeout is 121");
    trial(&json!({"query": "q", "timeout": -1})).refuses("timeout is -1");
    plain()
        .secret("account-id", "twelve")
        .refuses("account-id of the Secret \"newrelic\"");
    plain()
        .secret("personal-api-key", " ")
        .refuses("has no personal-api-key");
    plain().secret("region", "mars").refuses("\"mars\"");
    plain()
        .secret("base-url-nerdgraph", "proxy")
        .refuses("proxy");
    let other = Trial::of(&json!({"newRelic": {"query": "q", "profile": "other"}}));
    other.refuses("Secret \"other\" has no personal-api-key");
}

#[test]
fn secrets() {
    let need = |metric: Value| secret(&serde_json::from_value(metric).unwrap());
    assert_eq!(need(json!({})).name, "newrelic");
    let need = need(json!({"profile": "mine"}));
    assert_eq!(
        (need.name.as_str(), need.place, need.optional),
        ("mine", SecretPlace::Controller, false)
    );
}

#[test]
fn answers() {
    let trial = trial(&json!({"query": "q"}));
    trial.check_strangers();
    let rows = |rows: &str| {
        format!(r#"{{"data":{{"actor":{{"account":{{"nrql":{{"results":{rows}}}}}}}}}}}"#)
    };
    for (given, expected) in [
        (r#"[{"count":3}]"#, Ok(r#"{"count":3}"#)),
        (
            r#"[{"average.duration":null}]"#,
            Ok(r#"{"average.duration":null}"#),
        ),
        (
            r#"[{"f":"a","n":1},{"f":"b","n":2}]"#,
            Ok(r#"[{"f":"a","n":1},{"f":"b","n":2}]"#),
        ),
        ("[]", Err("no rows")),
        ("[{}]", Err("no rows")),
        ("[1]", Err("no rows")),
        ("null", Err("no results")),
        (r#"{"a":1}"#, Err("no results")),
    ] {
        trial.check(200, &rows(given), expected);
    }
    for (body, part) in [
        (
            r#"{"errors":[{"message":"NRQL Syntax Error"}],"data":null}"#,
            "NRQL Syntax Error",
        ),
        (r#"{"errors":[],"data":null}"#, "no results"),
        (
            r#"{"data":{"actor":{"account":{"nrql":null}}}}"#,
            "no results",
        ),
        ("[]", "cannot be read"),
        (r#"{"data":{"a":NaN}}"#, "cannot be read"),
    ] {
        trial.check(200, body, Err(part));
    }
    let many = vec![json!({"n": 1}); 5_001];
    trial.check(200, &rows(&Value::from(many).to_string()), Err("5001 rows"));
    let slow = r#"{"errors":[{"message":"query timed out"}],"data":{"actor":{"account":{"nrql":{"results":[{"n":1}]}}}}}"#;
    trial.check(200, slow, Err("timed out"));
}
