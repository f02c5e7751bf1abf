//! Requests and answers as data. In: a metric, an answer. Out: the request, the value or the words of an error.

use serde_json::{Value, json};

use super::*;
use crate::question::SecretPlace;
use crate::trial::{Trial, answer, body, header};

fn trial(metric: &Value) -> Trial {
    Trial::of(&json!({"datadog": metric}))
        .secret("api-key", "k1\n")
        .secret("app-key", "k2")
}

#[test]
fn v1_asks_for_points() {
    let asked = trial(&json!({"query": "avg:a.b{c:d} by {e}", "interval": "10m"})).asks(&[]);
    assert_eq!(asked.method, Method::Get);
    assert_eq!(
        asked.url.as_str(),
        "https://api.datadoghq.com/api/v1/query?from=1769860200&to=1769860800&query=avg%3Aa.b%7Bc%3Ad%7D+by+%7Be%7D"
    );
    assert_eq!(header(&asked, "DD-API-KEY"), "k1");
    assert_eq!(header(&asked, "DD-APPLICATION-KEY"), "k2");
    assert_eq!(asked.timeout, DEFAULT_TIMEOUT);
}

#[test]
fn v2_asks_for_a_scalar() {
    let asked = trial(&json!({"apiVersion": "v2", "query": "q", "requestTimeout": "1m"})).asks(&[]);
    assert_eq!(asked.method, Method::Post);
    assert_eq!(asked.url.path(), "/api/v2/query/scalar");
    assert_eq!(asked.timeout, Duration::from_secs(60));
    let query = |name: &str, query: &str, aggregator: &str| json!({"aggregator": aggregator, "data_source": "metrics", "name": name, "query": query});
    assert_eq!(
        body(&asked),
        json!({"data": {"type": "scalar_request", "attributes": {
            "from": 1_769_860_500_000_i64,
            "to": 1_769_860_800_000_i64,
            "queries": [query("query", "q", "last")],
        }}})
    );
    let metric = json!({"apiVersion": "v2", "queries": {"a": "x", "b": "y"}, "formula": "a / b", "aggregator": "sum"});
    let attributes = &body(&trial(&metric).asks(&[]))["data"]["attributes"];
    assert_eq!(attributes["formulas"], json!([{"formula": "a / b"}]));
    assert_eq!(
        attributes["queries"],
        json!([query("a", "x", "sum"), query("b", "y", "sum")])
    );
}

#[test]
fn what_is_refused() {
    for (metric, part) in [
        (json!({}), "query is empty"),
        (json!({"apiVersion": "v2", "query": " "}), "query is empty"),
        (json!({"apiVersion": "v3", "query": "q"}), "v1 or v2"),
        (
            json!({"queries": {"a": "x"}}),
            "queries needs apiVersion: v2",
        ),
        (
            json!({"query": "q", "formula": "a"}),
            "formula needs apiVersion: v2",
        ),
        (
            json!({"apiVersion": "v2", "query": "q", "queries": {"a": "x"}}),
            "keep one",
        ),
        (
            json!({"apiVersion": "v2", "query": "q", "formula": "a"}),
            "formula needs queries",
        ),
        (
            json!({"apiVersion": "v2", "queries": {"a": "x", "b": "y"}}),
            "2 queries and no formula",
        ),
        (
            json!({"apiVersion": "v2", "query": "q", "aggregator": "median"}),
            "median",
        ),
        (json!({"query": "q", "interval": "soon"}), "interval"),
        (json!({"query": "q", "interval": "0s"}), "more than zero"),
        (
            json!({"query": "q", "requestTimeout": "-1s"}),
            "requestTimeout",
        ),
    ] {
        trial(&metric).refuses(part);
    }
    let address = "ftp://datadog";
    trial(&json!({"query": "q"}))
        .secret("address", address)
        .refuses(address);
}

#[test]
fn keys_have_an_order() {
    let of = |metric: &Value, variables: &[(&str, &str)], kept: &[(&str, &str)]| {
        let mut trial = Trial::of(&json!({"datadog": metric}));
        for (name, value) in variables {
            trial = trial.variable(name, value);
        }
        for (key, value) in kept {
            trial = trial.secret(key, value);
        }
        trial
    };
    let plain = json!({"query": "q"});
    let named = json!({"query": "q", "secretRef": {"name": "mine", "namespaced": true}});
    let kept = [
        ("api-key", "s1"),
        ("app-key", "s2"),
        ("address", "http://s"),
    ];
    let three = [
        ("DD_API_KEY", "v1"),
        ("DD_APP_KEY", "v2"),
        ("DD_ADDRESS", "http://v"),
    ];
    for (metric, variables, kept, host, key) in [
        (&plain, &three[..], &kept[..], "v", "v1"),
        (&named, &three[..], &kept[..], "s", "s1"),
        (&named, &three[..], &kept[..1], "v", "v1"),
        (&plain, &three[..2], &kept[..], "s", "s1"),
        (&plain, &three[..2], &[], "api.datadoghq.com", "v1"),
        (&plain, &[], &kept[..2], "api.datadoghq.com", "s1"),
    ] {
        let asked = of(metric, variables, kept).asks(&[]);
        assert_eq!(asked.url.host_str(), Some(host));
        assert_eq!(header(&asked, "DD-API-KEY"), key);
    }
    of(&named, &[], &[]).refuses("Secret \"mine\"");
    of(&plain, &three[..1], &kept[..1]).refuses("Secret \"datadog\"");
}

#[test]
fn secrets() {
    let need = |secret_ref: Value| {
        let metric = json!({"secretRef": secret_ref});
        secret(&serde_json::from_value(metric).unwrap())
    };
    for (given, name, place) in [
        (json!(null), "datadog", SecretPlace::Controller),
        (json!({"name": "mine"}), "mine", SecretPlace::Controller),
        (
            json!({"name": "mine", "namespaced": true}),
            "mine",
            SecretPlace::Run,
        ),
        (
            json!({"namespaced": true}),
            "datadog",
            SecretPlace::Controller,
        ),
    ] {
        let need = need(given);
        assert_eq!(
            (need.name.as_str(), need.place, need.optional),
            (name, place, true)
        );
    }
}

#[test]
fn answers_v1() {
    let trial = trial(&json!({"query": "q"}));
    trial.check_strangers();
    for (body, expected) in [
        (
            r#"{"status":"ok","series":[{"pointlist":[[1,5],[2,0.25]]}]}"#,
            Ok("0.25"),
        ),
        (
            r#"{"status":"ok","series":[{"pointlist":[[1.5,1e2]]}],"error":null}"#,
            Ok("100"),
        ),
        (r#"{"status":"ok","series":[]}"#, Ok("null")),
        (r#"{"status":"ok"}"#, Ok("null")),
        (r#"{"status":"ok","series":[{"pointlist":[]}]}"#, Ok("null")),
        (
            r#"{"status":"ok","series":[{"pointlist":[[1,5],[2,null]]}]}"#,
            Ok("null"),
        ),
        (
            r#"{"status":"ok","series":[{"pointlist":[[1]]}]}"#,
            Err("a point without"),
        ),
        (
            r#"{"status":"ok","series":[{"pointlist":[[1,"NaN"]]}]}"#,
            Err("cannot be read"),
        ),
        (
            r#"{"status":"error","error":"Error parsing query"}"#,
            Err("Error parsing query"),
        ),
        (r#"{"status":"ok","error":"rate limit"}"#, Err("rate limit")),
        (r#"{"status":"error"}"#, Err("query: error")),
    ] {
        trial.check(200, body, expected);
    }
    let two = r#"{"status":"ok","series":[{"pointlist":[[1,5]]},{"pointlist":[[1,6]]}]}"#;
    let reading = trial.reading(&[answer(200, two)]).unwrap();
    assert_eq!(reading.value.text(), "5");
    assert_eq!(reading.metadata["series"], "2");
}

#[test]
fn answers_v2() {
    let trial = trial(&json!({"apiVersion": "v2", "query": "q"}));
    trial.check_strangers();
    let columns = |columns: &str| {
        format!(r#"{{"data":{{"type":"scalar_response","attributes":{{"columns":[{columns}]}}}}}}"#)
    };
    for (inner, expected) in [
        (
            r#"{"name":"a","type":"number","values":[0.25]}"#,
            Ok("0.25"),
        ),
        (r#"{"name":"a","type":"number","values":[1,2]}"#, Ok("1")),
        (
            r#"{"name":"a","type":"number","values":[null]}"#,
            Ok("null"),
        ),
        (r#"{"name":"a","type":"number","values":[]}"#, Ok("null")),
        ("", Ok("null")),
        (
            r#"{"name":"e","type":"group","values":[["x"]]}"#,
            Ok("null"),
        ),
        (
            r#"{"name":"e","type":"group","values":[["x"]]},{"type":"number","values":[3]}"#,
            Ok("[3]"),
        ),
        (
            r#"{"name":"e","type":"group","values":[["x"],["y"],["z"]]},{"type":"number","values":[3,null,4]}"#,
            Ok("[3,4]"),
        ),
        (
            r#"{"name":"e","type":"group","values":[["x"]]},{"type":"number","values":[null]}"#,
            Ok("null"),
        ),
    ] {
        trial.check(200, &columns(inner), expected);
    }
    for (body, expected) in [
        (r#"{"data":null}"#, Ok("null")),
        (r#"{"errors":""}"#, Ok("null")),
        (r#"{"errors":"unknown metric"}"#, Err("unknown metric")),
        (r#"{"errors":["unknown metric"]}"#, Err("unknown metric")),
    ] {
        trial.check(200, body, expected);
    }
}

#[test]
fn groups_are_named() {
    let trial = trial(&json!({"apiVersion": "v2", "query": "q by {e,p}"}));
    let body = json!({"data": {"attributes": {"columns": [
        {"name": "e", "type": "group", "values": [["prod"], ["test"]]},
        {"name": "p", "type": "group", "values": [["GET /a"], ["b", "c"]]},
        {"name": "q", "type": "number", "values": [1, 2.5]},
    ]}}});
    let reading = trial.reading(&[answer(200, &body.to_string())]).unwrap();
    assert_eq!(reading.value.text(), "[1,2.5]");
    let groups: Value = serde_json::from_str(&reading.metadata["groups"]).unwrap();
    assert_eq!(
        groups,
        json!([{"name": "test,b,c", "value": 2.5}, {"name": "prod,GET /a", "value": 1.0}])
    );
    assert!(!reading.metadata.contains_key("groups_truncated"));
}

#[test]
fn many_groups_are_cut_and_too_many_refused() {
    let trial = trial(&json!({"apiVersion": "v2", "query": "q by {pod}"}));
    let body = |count: usize| {
        let names: Vec<[String; 1]> = (0..count).map(|pod| [pod.to_string()]).collect();
        let values: Vec<usize> = (0..count).collect();
        json!({"data": {"attributes": {"columns": [
            {"type": "group", "values": names},
            {"type": "number", "values": values},
        ]}}})
        .to_string()
    };
    let reading = trial.reading(&[answer(200, &body(101))]).unwrap();
    let groups: Vec<Value> = serde_json::from_str(&reading.metadata["groups"]).unwrap();
    assert_eq!((groups.len(), &groups[0]["name"]), (100, &json!("100")));
    assert_eq!(reading.metadata["groups_truncated"], "true");
    trial.check(200, &body(10_001), Err("10001 groups"));
}
