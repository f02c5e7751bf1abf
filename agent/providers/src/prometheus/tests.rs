//! Requests and answers as data. In: a query, an answer. Out: the request, the value or the words of an error.

use super::*;

use secrecy::ExposeSecret as _;

fn made(address: &str, query: &str) -> Result<Request, Error> {
    let metric = PrometheusMetric {
        address: Some(address.to_owned()),
        query: Some(query.to_owned()),
        ..PrometheusMetric::default()
    };
    request(&metric, &Environment::default())
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
        "query=sum%28a%7Bb%3D%22c+d%22%7D%29+%26+1"
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
        (Ok(value), Ok(text)) => assert_eq!(value.text(), text),
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
        Err("matrix"),
    );
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
    check(503, "<html>down</html>", Err("503: <html>down"));
    check(200, "<html>ok</html>", Err("cannot be read"));
    check(
        200,
        &vector(r#"{"metric":{},"value":[1,"x"]}"#),
        Err("no number"),
    );
}
