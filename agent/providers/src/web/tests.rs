//! Requests and answers as data. In: a metric, an answer. Out: the request, the value or the words of an error.

use agent_api::provider::{Authentication, Header, OAuth2, SigV4};
use secrecy::ExposeSecret as _;

use super::*;
use crate::auth::{Credentials, Signer};
use crate::transport::MAX_TIMEOUT;

fn metric(json: serde_json::Value) -> WebMetric {
    serde_json::from_value(json).unwrap()
}

#[test]
fn requests() {
    let made = request(&metric(serde_json::json!({
        "url": "https://a.example/x?y=1",
        "headers": [{"key": "Authorization", "value": "Bearer t"}],
        "timeoutSeconds": 20,
        "insecure": true,
    })))
    .unwrap();
    assert_eq!(made.method, Method::Get);
    assert_eq!(made.url.as_str(), "https://a.example/x?y=1");
    assert_eq!(made.timeout, Duration::from_secs(20));
    assert!(made.insecure && matches!(made.body, Body::Empty));
    assert!(!format!("{made:?}").contains("Bearer t"));
    let made = request(&metric(serde_json::json!({
        "url": "http://a/", "method": "POST", "jsonBody": {"a": [1, "b"]}, "timeoutSeconds": -1,
    })))
    .unwrap();
    let Body::Json(body) = &made.body else {
        panic!("{made:?}")
    };
    assert_eq!(body.expose_secret(), r#"{"a":[1,"b"]}"#);
    assert_eq!(made.timeout, DEFAULT_TIMEOUT);
    let made = request(&metric(serde_json::json!({
        "url": "http://a/", "method": "PUT", "body": "a=1", "timeoutSeconds": 100_000,
    })))
    .unwrap();
    assert!(matches!(&made.body, Body::Text(text) if text.expose_secret() == "a=1"));
    assert_eq!((made.method, made.timeout), (Method::Put, MAX_TIMEOUT));
}

#[test]
fn bad_requests() {
    for (json, part) in [
        (serde_json::json!({}), "is not usable"),
        (serde_json::json!({"url": "a/b"}), "is not usable"),
        (serde_json::json!({"url": "file:///etc/passwd"}), "no http"),
        (
            serde_json::json!({"url": "http://a", "method": "DELETE"}),
            "DELETE",
        ),
        (
            serde_json::json!({"url": "http://a", "method": "get"}),
            "get",
        ),
        (
            serde_json::json!({"url": "http://a", "body": "x"}),
            "GET cannot carry",
        ),
        (
            serde_json::json!({"url": "http://a", "jsonBody": {}}),
            "GET cannot carry",
        ),
        (
            serde_json::json!({"url": "http://a", "method": "POST", "body": "x", "jsonBody": {}}),
            "keep one",
        ),
    ] {
        let error = request(&metric(json)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn services_that_are_signed_for() {
    for (url, service) in [
        (
            "https://abc.execute-api.eu-west-1.amazonaws.com/x",
            "execute-api",
        ),
        ("https://metrics.example/", "execute-api"),
        (
            "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws",
            "aps",
        ),
        ("https://abc.lambda-url.eu-west-1.on.aws/", "lambda"),
        ("https://search-x.eu-west-1.es.amazonaws.com/", "es"),
    ] {
        let made = request(&WebMetric {
            url: Some(url.to_owned()),
            authentication: Some(Authentication {
                sigv4: Some(SigV4 {
                    region: Some("eu-west-1".to_owned()),
                    ..SigV4::default()
                }),
                ..Authentication::default()
            }),
            ..WebMetric::default()
        })
        .unwrap();
        let Some(Credentials::SigV4(Signer { service: found, .. })) = made.authentication else {
            panic!("{url}")
        };
        assert_eq!(found, service, "{url}");
    }
}

#[test]
fn authentication_is_one_and_whole() {
    let with = |authentication: Authentication| {
        let made = request(&WebMetric {
            url: Some("http://a/".to_owned()),
            headers: vec![Header::default()],
            authentication: Some(authentication),
            ..WebMetric::default()
        });
        made.map(|made| made.authentication.is_some())
            .map_err(|error| error.to_string())
    };
    let oauth2 = |url: &str, id: &str| OAuth2 {
        token_url: Some(url.to_owned()),
        client_id: Some(id.to_owned()),
        client_secret: Some("s".to_owned()),
        ..OAuth2::default()
    };
    let of = |oauth2, sigv4| Authentication {
        oauth2: Some(oauth2),
        sigv4: Some(sigv4),
        ..Authentication::default()
    };
    let region = SigV4 {
        region: Some("r".to_owned()),
        ..SigV4::default()
    };
    assert_eq!(with(of(OAuth2::default(), SigV4::default())), Ok(false));
    assert_eq!(
        with(of(oauth2("http://t/", "c"), SigV4::default())),
        Ok(true)
    );
    let refused = with(of(oauth2("http://t/", ""), SigV4::default()));
    assert!(refused.unwrap_err().contains("oauth2.clientId"));
    let refused = with(of(oauth2("t", "c"), SigV4::default()));
    assert!(refused.unwrap_err().contains("tokenUrl"));
    let refused = with(of(oauth2("http://t/", "c"), region));
    assert!(refused.unwrap_err().contains("more than one"));
}

/// `Ok` is the value's text, `Err` a part of the message.
fn check(path: &str, status: u16, body: &str, expected: Result<&str, &str>) {
    let metric = WebMetric {
        json_path: Some(path.to_owned()),
        ..WebMetric::default()
    };
    match (parse(&metric, status, body.as_bytes()), expected) {
        (Ok(value), Ok(text)) => assert_eq!(value.text(), text, "{path} {body}"),
        (Err(error), Err(part)) => {
            let error = error.to_string();
            assert!(error.contains(part), "{error}");
            assert!(
                !error.contains(char::is_control) && error.len() < 400,
                "{error}"
            );
        }
        (found, expected) => panic!("{path} {body}: {found:?}, not {expected:?}"),
    }
}

#[test]
fn answers() {
    let body = r#"{"data": {"ok": true, "successPercent": 0.95, "n": 3, "word": "up"}}"#;
    check("{$.data.ok}", 200, body, Ok("true"));
    check("{$.data.successPercent}", 201, body, Ok("0.95"));
    check("{$.data.word}", 200, body, Ok("\"up\""));
    check(
        "{$.data}",
        200,
        body,
        Ok(r#"{"n":3,"ok":true,"successPercent":0.95,"word":"up"}"#),
    );
    check("{$.data.nothing}", 200, body, Err("not found"));
    check("$.data", 200, body, Err("braces"));
    check("", 200, "[1.0, 2.50, 1e21, 1e-7]", Ok("[1,2.5,1e+21,1e-7]"));
    check("{$}", 200, "up", Ok("up"));
    check("", 200, "", Ok(""));
    check("{[0]}", 200, "[]", Err("out of bounds"));
    check("{[*]}", 200, "[]", Err("finds no value"));
    check("{$.a}", 200, "<html>\n\u{7}down</html>", Err("no JSON"));
    check("{$.a}", 500, "{\"a\":\n1}", Err("500: {\"a\": 1}"));
    check("{$.a}", 302, "", Err("302"));
    check("{$}", 200, &"[".repeat(1000), Err("too deep"));
    check("{$.a}", 400, &"x".repeat(10_000), Err("400: xxx"));
}
