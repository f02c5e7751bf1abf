//! Amazon's signature, version 4.
//!
//! In: a request with its headers, keys, a service and region, the time. Out: the headers that sign it. It must not read
//! a clock or fetch keys.

use std::time::SystemTime;

use aws_credential_types::Credentials as Identity;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4::SigningParams;
use http::{HeaderMap, HeaderName};
use secrecy::{ExposeSecret as _, SecretString};

use super::aws::keys::Keys;
use crate::transport::{Body, Method, Request};

/// What a signature holds for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Amazon's name of the service.
    pub service: &'a str,
    /// Region.
    pub region: &'a str,
    /// When.
    pub time: SystemTime,
}

/// The request cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be signed: {0}")]
pub struct Error(String);

/// The headers to add.
pub fn sign(
    request: &Request,
    headers: &HeaderMap,
    keys: &Keys,
    scope: &Scope<'_>,
) -> Result<Vec<(HeaderName, SecretString)>, Error> {
    let token = keys.token.as_ref();
    let identity = Identity::new(
        keys.id.clone(),
        keys.secret.expose_secret(),
        token.map(|token| token.expose_secret().to_owned()),
        None,
        "groundswell",
    )
    .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(scope.time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| Error(error.to_string()))?
        .into();
    let method = match request.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
    };
    let body = match &request.body {
        Body::Empty => "",
        Body::Form(text) | Body::Json(text) | Body::Text(text) => text.expose_secret(),
    };
    let signed = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let body = SignableBody::Bytes(body.as_bytes());
    let signable = SignableRequest::new(method, request.url.as_str(), signed, body)
        .map_err(|error| Error(error.to_string()))?;
    let output = aws_sigv4::http_request::sign(signable, &params)
        .map_err(|error| Error(error.to_string()))?;
    output
        .output()
        .headers()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes());
            let name = name.map_err(|error| Error(error.to_string()))?;
            Ok((name, value.to_owned().into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use http::HeaderValue;
    use http::header::CONTENT_TYPE;
    use reqwest::Url;

    use super::*;

    /// 2015-08-30T12:36:00Z, the time of Amazon's published examples.
    const TIME: u64 = 1_440_938_160;

    fn check(
        method: Method,
        url: &str,
        kind: Option<&str>,
        body: &str,
        service: &str,
        signature: &str,
    ) {
        let request = Request {
            method,
            url: Url::parse(url).unwrap(),
            headers: Vec::new(),
            body: Body::Text(body.to_owned().into()),
            authentication: None,
            timeout: Duration::from_secs(1),
            insecure: false,
        };
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
        }
        let keys = Keys {
            id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned().into(),
            token: None,
            expires: None,
        };
        let scope = Scope {
            service,
            region: "us-east-1",
            time: UNIX_EPOCH + Duration::from_secs(TIME),
        };
        let signed = sign(&request, &headers, &keys, &scope).unwrap();
        let value = |name: &str| {
            let found = signed.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.expose_secret().to_owned())
        };
        assert_eq!(value("x-amz-date").as_deref(), Some("20150830T123600Z"));
        let authorization = value("authorization").unwrap();
        assert!(authorization.ends_with(signature), "{url}: {authorization}");
        assert!(authorization.contains(&format!(
            "AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request"
        )));
        assert!(!format!("{signed:?}{keys:?}").contains("wJalr"));
    }

    /// The examples that Amazon publishes: of its test suite, and of its guide to signing.
    #[test]
    fn published_examples() {
        check(
            Method::Get,
            "https://example.amazonaws.com/",
            None,
            "",
            "service",
            "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        );
        check(
            Method::Post,
            "https://example.amazonaws.com/",
            None,
            "",
            "service",
            "Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        );
        check(
            Method::Post,
            "https://example.amazonaws.com/",
            Some("application/x-www-form-urlencoded"),
            "Param1=value1",
            "service",
            "Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        );
        check(
            Method::Get,
            "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
            Some("application/x-www-form-urlencoded; charset=utf-8"),
            "",
            "iam",
            "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        );
    }
}
