//! The Prometheus provider: an instant query.
//!
//! In: address, query and options, with arguments filled in. Out: the request to send, and the value in an answer. It
//! must not send anything.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::transport::Request;
use crate::value::MetricValue;

/// How long an answer is waited for when the metric does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest part of a server's own words in a message.
const MAX_QUOTE: usize = 200;
/// Most series in an answer: a verdict over more is a query without an aggregation.
const MAX_SERIES: usize = 10_000;

/// A question to a Prometheus server.
#[derive(Debug, Clone)]
pub struct Query {
    /// Its address, with or without a path.
    pub address: String,
    /// PromQL.
    pub query: String,
    /// How long to wait.
    pub timeout: Duration,
    /// Headers to send along.
    pub headers: Vec<(String, SecretString)>,
    /// Do not verify the server's certificate.
    pub insecure: bool,
}

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not usable.
    #[error("prometheus address {address:?} is not usable: {reason}; write http://host:port")]
    Address {
        /// The address.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The query is empty.
    #[error("prometheus query is empty: give the metric a query")]
    NoQuery,
    /// The server refused.
    #[error("prometheus answered {status}: {quote}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's words.
        quote: String,
    },
    /// The answer cannot be read.
    #[error("prometheus' answer cannot be read: {0}")]
    Unreadable(String),
    /// The answer is of another kind.
    #[error("prometheus answered with a {0}: a metric needs a vector or a scalar")]
    Kind(String),
    /// The answer has too many series.
    #[error("prometheus answered with {0} series: aggregate the query to less than {MAX_SERIES}")]
    TooMany(usize),
}

/// The request for a query.
pub fn request(query: &Query) -> Result<Request, Error> {
    if query.query.trim().is_empty() {
        return Err(Error::NoQuery);
    }
    let bad = |reason: &str| Error::Address {
        address: query.address.clone(),
        reason: reason.to_owned(),
    };
    let mut url = reqwest::Url::parse(&query.address).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("it is no http or https address"));
    }
    url.path_segments_mut()
        .map_err(|()| bad("it has no path"))?
        .pop_if_empty()
        .extend(["api", "v1", "query"]);
    let mut form = reqwest::Url::parse("form:/").map_err(|error| bad(&error.to_string()))?;
    form.query_pairs_mut().append_pair("query", &query.query);
    Ok(Request {
        url,
        form: form.query().unwrap_or_default().to_owned(),
        headers: query.headers.clone(),
        timeout: query.timeout,
        insecure: query.insecure,
    })
}

#[derive(Deserialize)]
struct Body {
    status: String,
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Series {
    value: (serde_json::Value, String),
}

/// The value in an answer.
pub fn parse(status: u16, body: &[u8]) -> Result<MetricValue, Error> {
    let read: Result<Body, _> = serde_json::from_slice(body);
    let ok = (200..300).contains(&status);
    let body = match read {
        Ok(read) => read,
        Err(_) if !ok => {
            return Err(Error::Refused {
                status,
                quote: quote(&String::from_utf8_lossy(body)),
            });
        }
        Err(error) => return Err(Error::Unreadable(error.to_string())),
    };
    if !ok || body.status != "success" {
        return Err(Error::Refused {
            status,
            quote: quote(&body.error.unwrap_or(body.status)),
        });
    }
    let data = body
        .data
        .ok_or_else(|| Error::Unreadable("it has no data".to_owned()))?;
    let unreadable = |error: serde_json::Error| Error::Unreadable(error.to_string());
    match data.kind.as_str() {
        "scalar" => {
            let (_, text): (serde_json::Value, String) =
                serde_json::from_value(data.result).map_err(unreadable)?;
            number(&text).map(MetricValue::Scalar)
        }
        "vector" => {
            let series: Vec<Series> = serde_json::from_value(data.result).map_err(unreadable)?;
            if series.len() > MAX_SERIES {
                return Err(Error::TooMany(series.len()));
            }
            series
                .iter()
                .map(|one| number(&one.value.1))
                .collect::<Result<_, _>>()
                .map(MetricValue::Vector)
        }
        other => Err(Error::Kind(quote(other))),
    }
}

fn number(text: &str) -> Result<f64, Error> {
    text.parse()
        .map_err(|_| Error::Unreadable(format!("{:?} is no number", quote(text))))
}

fn quote(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_QUOTE)
        .collect()
}

#[cfg(test)]
mod tests;
