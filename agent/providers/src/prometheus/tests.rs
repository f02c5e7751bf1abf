//! Requests and answers as data. In: a query, an answer. Out: the request, the value or the words of an error.

use super::*;
use crate::auth::Credentials;

use secrecy::ExposeSecret as _;

fn now() -> Timestamp {
    "2026-03-01T12:00:00.5Z".parse().unwrap()
}

fn made(address: &str, query: &str) -> Result<Request, Error> {
    let metric = PrometheusMetric {
        address: Some(address.to_owned()),
        query: Some(query.to_owned()),
        ..PrometheusMetric::default()
    };
    request(&metric, &Environment::default(), now())
}

#[test]
fn request_goes_to_the_instant_query() {
    let one = made("http://prometheus:9090/base/", "sum(a{b=\"c d\"}) & 1").unwrap();
    assert_eq!(one.url.as_str(), "http://prometheus:9090/base/api/v1/query");
    let Body::Form(form) = &one.body else {
        panic!("{one:?}");
    };
    assert_eq!(
        form.expose_secret(),
        "query=sum%28a%7Bb%3D%22c+d%22%7D%29+%26+1&time=1772366400.500"
    );
    let one = made("https://p", "1").unwrap();
    assert_eq!(one.url.as_str(), "https://p/api/v1/query");
}

#[test]
fn bad_addresses_and_queries() {
    assert!(matches!(made("", "1"), Err(Error::NoAddress)));
    for address in [
        "prometheus:9090",
        "ftp://a",
        "file:///etc/passwd",
        "http://",
    ] {
        let refused = made(address, "1");
        assert!(matches!(refused, Err(Error::Address { .. })), "{address}");
    }
    assert!(matches!(made("http://a", " "), Err(Error::NoQuery)));
}

/// `Ok` is the value's text, `Err` a part of the message.
fn check(status: u16, body: &str, expected: Result<&str, &str>) {
    match (parse(status, body.as_bytes()), expected) {
        (Ok((value, _)), Ok(text)) => assert_eq!(value.text(), text),
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
        (found, expected) => panic!("{body}: {found:?}, not {expected:?}"),
    }
}

#[test]
fn answers() {
    let vector = |values: &str| {
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{values}]}}}}"#)
    };
    check(
        200,
        &vector(r#"{"metric":{},"value":[1.5,"0.98"]}"#),
        Ok("[0.98]"),
    );
    check(
        200,
        &vector(r#"{"metric":{},"value":[1,"NaN"]},{"metric":{},"value":[1,"+Inf"]}"#),
        Ok("[NaN,+Inf]"),
    );
    check(200, &vector(""), Ok("[]"));
    check(
        200,
        r#"{"status":"success","data":{"resultType":"scalar","result":[1,"3"]}}"#,
        Ok("3"),
    );
    check(
        200,
        r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
        Ok("[]"),
    );
    check(
        200,
        r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"a":"1"},"values":[[1,"1"],[2,"2.5"]]},{"metric":{},"values":[[1,"NaN"]]}]}}"#,
        Ok("[1,2.5,NaN]"),
    );
    check(
        200,
        r#"{"status":"success","data":{"resultType":"string","result":[1,"x"]}}"#,
        Err("string"),
    );
    let many = vec![r#"{"metric":{},"value":[1,"1"]}"#; MAX_VALUES + 1].join(",");
    check(200, &vector(&many), Err("10001 values"));
    check(200, r#"{"status":"success"}"#, Err("no data"));
    check(
        200,
        r#"{"status":"error","error":"bad_data: parse error"}"#,
        Err("parse error"),
    );
    check(
        400,
        r#"{"status":"error","error":"bad_data: parse error"}"#,
        Err("400"),
    );
    check(503, "<html>down</html>", Err("503: a page of HTML"));
    check(200, "<html>ok</html>", Err("cannot be read"));
    check(
        200,
        &vector(r#"{"metric":{},"value":[1,"x"]}"#),
        Err("no number"),
    );
}

fn ranged(range: serde_json::Value) -> Result<Request, Error> {
    let metric = PrometheusMetric {
        address: Some("http://p:9090".to_owned()),
        query: Some("up".to_owned()),
        range_query: Some(serde_json::from_value(range).unwrap()),
        ..PrometheusMetric::default()
    };
    request(&metric, &Environment::default(), now())
}

#[test]
fn ranges() {
    let one = ranged(serde_json::json!({
        "start": "now() - duration(\"5m\")", "end": "now()", "step": "1m30s",
    }));
    let one = one.unwrap();
    assert_eq!(one.url.as_str(), "http://p:9090/api/v1/query_range");
    let Body::Form(form) = &one.body else {
        panic!("{one:?}");
    };
    assert_eq!(
        form.expose_secret(),
        "query=up&start=1772366100.500&end=1772366400.500&step=90"
    );
    assert_eq!(
        ranged(serde_json::json!({})).unwrap().url.path(),
        "/api/v1/query"
    );
    for (range, part) in [
        (
            serde_json::json!({"start": "now()", "step": "1m"}),
            "rangeQuery.end",
        ),
        (
            serde_json::json!({"start": "x", "end": "now()", "step": "1m"}),
            "rangeQuery.start \"x\"",
        ),
        (
            serde_json::json!({"start": "now()", "end": "now()"}),
            "step",
        ),
        (
            serde_json::json!({"start": "now()", "end": "now()", "step": "0s"}),
            "step",
        ),
        (
            serde_json::json!({"start": "now()", "end": "now()", "step": "-1s"}),
            "step",
        ),
        (
            serde_json::json!({"start": "now()", "end": "now() - duration('1s')", "step": "1s"}),
            "ends before",
        ),
    ] {
        let error = ranged(range).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_goes_along() {
    let metric: PrometheusMetric = serde_json::from_value(serde_json::json!({
        "query": "up", "timeout": 40, "insecure": true,
        "headers": [{"key": "X-Scope-OrgID", "value": "tenant_a"}],
        "authentication": {"basicAuth": {"username": "u", "password": "p"}},
    }))
    .unwrap();
    let environment = Environment {
        prometheus_address: Some("https://default:9090".to_owned()),
        ..Environment::default()
    };
    let one = request(&metric, &environment, now()).unwrap();
    assert_eq!(one.url.host_str(), Some("default"));
    assert_eq!(one.timeout, Duration::from_secs(40));
    assert!(one.insecure);
    let (name, value) = &one.headers[0];
    assert_eq!(
        (name.as_str(), value.expose_secret()),
        ("X-Scope-OrgID", "tenant_a")
    );
    assert!(matches!(
        one.authentication,
        Some(Credentials::Basic { .. })
    ));
}

#[test]
fn warnings_are_kept() {
    let body = r#"{"status":"success","warnings":["one\n","two"],
        "data":{"resultType":"scalar","result":[1,"3"]}}"#;
    let (_, warnings) = parse(200, body.as_bytes()).unwrap();
    assert_eq!(warnings.as_deref(), Some("\"one \", \"two\""));
}
