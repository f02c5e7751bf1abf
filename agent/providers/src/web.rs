//! The web provider: one request, and what a JSONPath names in its answer.
//!
//! In: URL, method, headers, body, path, with arguments filled in. Out: the request to send, and the value in an answer.
//! It must not send anything.
//! Where the first implementation counts any answer that is no JSON as a success, whatever the conditions and the path
//! say, such an answer is text here: conditions judge it, and a path into it is an error.

use std::time::Duration;

use agent_api::provider::WebMetric;
use reqwest::Url;
use serde_json::Value;

use crate::address;
use crate::auth::{self, asked_for};
use crate::json_path::{self, JsonPath};
use crate::question::{Asked, Next};
use crate::quote::{quote, quote_bytes};
use crate::transport::{Body, Method, Request, secret_headers};
use crate::value::MetricValue;
use crate::window;

/// How long an answer is waited for when the metric does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The path of the whole answer.
const WHOLE: &str = "{$}";
/// Amazon's name of the service that most signed web servers stand behind: its API gateway.
const AMAZON_GATEWAY: &str = "execute-api";
/// Other services whose servers are signed for by their own names, as parts of the host.
const AMAZON_SERVICES: [(&str, &str); 6] = [
    ("aps-workspaces", "aps"),
    ("lambda-url", "lambda"),
    ("monitoring", "monitoring"),
    ("logs", "logs"),
    ("es", "es"),
    ("aoss", "aoss"),
];

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is not usable.
    #[error("web url {url:?} is not usable: {reason}; write http://host/path")]
    Address {
        /// The URL.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Another method.
    #[error("web method {0:?} is not known: use GET, POST or PUT")]
    Method(String),
    /// Two bodies.
    #[error("web has both body and jsonBody: keep one")]
    TwoBodies,
    /// A body that would not be read.
    #[error("web has a body, which a GET cannot carry: use POST or PUT")]
    BodyOfGet,
    /// Authentication.
    #[error(transparent)]
    Authentication(#[from] auth::Error),
    /// The path.
    #[error(transparent)]
    Path(#[from] json_path::Error),
    /// The path names nothing.
    #[error("jsonPath {0:?} finds no value in the answer")]
    NoValue(String),
    /// The server refused.
    #[error("web answered {status}: {quote}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's words.
        quote: String,
    },
    /// The answer is no JSON.
    #[error("web's answer is no JSON, in which jsonPath {path:?} could find something: {quote}")]
    NoJson {
        /// The path.
        path: String,
        /// The server's words.
        quote: String,
    },
    /// The answer is too deep.
    #[error("web's answer cannot be read: {0}")]
    Unreadable(String),
}

/// How the conversation goes on: one request, one answer.
pub fn next(metric: &WebMetric, asked: &Asked<'_>) -> Result<Next, Error> {
    match asked.answers.first() {
        None => {
            path(metric)?;
            request(metric).map(Next::Ask)
        }
        Some(answer) => {
            let value = parse(metric, answer.status, &answer.body)?;
            Ok(Next::Done(value.into()))
        }
    }
}

fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// The request.
pub fn request(metric: &WebMetric) -> Result<Request, Error> {
    let text = given(metric.url.as_ref()).unwrap_or_default();
    let bad = |reason| Error::Address {
        url: quote(text),
        reason,
    };
    let url = address::web(text).map_err(bad)?;
    let method = match given(metric.method.as_ref()) {
        None | Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        Some("PUT") => Method::Put,
        Some(other) => return Err(Error::Method(quote(other))),
    };
    let json = metric.json_body.as_ref().filter(|json| !json.is_null());
    let body = match (given(metric.body.as_ref()), json) {
        (Some(_), Some(_)) => return Err(Error::TwoBodies),
        (Some(text), None) => Body::Text(text.to_owned().into()),
        (None, Some(json)) => Body::Json(json.to_string().into()),
        (None, None) => Body::Empty,
    };
    if method == Method::Get && !matches!(body, Body::Empty) {
        return Err(Error::BodyOfGet);
    }
    Ok(Request {
        method,
        headers: secret_headers(&metric.headers),
        body,
        authentication: asked_for(metric.authentication.as_ref(), service(&url))?,
        url,
        timeout: window::seconds(metric.timeout_seconds, DEFAULT_TIMEOUT),
        insecure: metric.insecure.unwrap_or(false),
    })
}

/// Amazon's name of the service behind an address.
fn service(url: &Url) -> &'static str {
    let labels: Vec<&str> = url.host_str().unwrap_or_default().split('.').collect();
    AMAZON_SERVICES
        .iter()
        .find(|(label, _)| labels.contains(label))
        .map_or(AMAZON_GATEWAY, |(_, service)| service)
}

fn path(metric: &WebMetric) -> Result<(&str, JsonPath), Error> {
    let text = given(metric.json_path.as_ref()).unwrap_or(WHOLE);
    Ok((text, JsonPath::parse(text)?))
}

/// The value in an answer: of several that the path names, the first.
pub fn parse(metric: &WebMetric, status: u16, body: &[u8]) -> Result<MetricValue, Error> {
    let (text, path) = path(metric)?;
    if !(200..300).contains(&status) {
        return Err(Error::Refused {
            status,
            quote: quote_bytes(body),
        });
    }
    let document: Value = match serde_json::from_slice(body) {
        Ok(document) => document,
        // The parser's own limit of depth; it says so in no other way.
        Err(error) if error.to_string().contains("recursion limit") => {
            return Err(Error::Unreadable("it nests too deep".to_owned()));
        }
        Err(_) if text.trim() == WHOLE => {
            return Ok(MetricValue::Text(
                String::from_utf8_lossy(body).into_owned(),
            ));
        }
        Err(_) => {
            return Err(Error::NoJson {
                path: quote(text),
                quote: quote_bytes(body),
            });
        }
    };
    let found = path.find(&document)?;
    let first = found.first().ok_or_else(|| Error::NoValue(quote(text)))?;
    Ok(MetricValue::Json((*first).clone()))
}

#[cfg(test)]
mod tests;
