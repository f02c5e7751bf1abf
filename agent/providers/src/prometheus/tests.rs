//! Requests and answers as data. In: a query, an answer. Out: the request, the value or the words of an error.

use super::*;

fn query(address: &str, query: &str) -> Query {
    Query {
        address: address.to_owned(),
        query: query.to_owned(),
        timeout: DEFAULT_TIMEOUT,
        headers: Vec::new(),
        insecure: false,
    }
}

#[test]
fn request_goes_to_the_instant_query() {
    let made = request(&query(
        "http://prometheus:9090/base/",
        "sum(a{b=\"c d\"}) & 1",
    ))
    .unwrap();
    assert_eq!(
        made.url.as_str(),
        "http://prometheus:9090/base/api/v1/query"
    );
    assert_eq!(made.form, "query=sum%28a%7Bb%3D%22c+d%22%7D%29+%26+1");
    let made = request(&query("https://p", "1")).unwrap();
    assert_eq!(made.url.as_str(), "https://p/api/v1/query");
}

#[test]
fn bad_addresses_and_queries() {
    for address in [
        "",
        "prometheus:9090",
        "ftp://a",
        "file:///etc/passwd",
        "http://",
    ] {
        assert!(
            matches!(request(&query(address, "1")), Err(Error::Address { .. })),
            "{address}"
        );
    }
    assert!(matches!(
        request(&query("http://a", " ")),
        Err(Error::NoQuery)
    ));
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
