//! The Prometheus provider: an instant query.
//!
//! In: address, query and options, with arguments filled in. Out: the request to send, and the value in an answer. It
//! must not send anything.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_api::PrometheusMetric;
use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;

use crate::auth::{self, Credentials, credentials};
use crate::question::{Asked, Environment, Next, Reading};
use crate::quote::quote;
use crate::transport::{Body, MAX_TIMEOUT, Method, Request};
use crate::value::MetricValue;

/// How long an answer is waited for when the metric does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Most series in an answer: a verdict over more is a query without an aggregation.
const MAX_SERIES: usize = 10_000;

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
    /// No address anywhere.
    #[error(
        "the metric has no prometheus address, and the agent has no default (--prometheus-address): give it one"
    )]
    NoAddress,
    /// A range of time.
    #[error("rangeQuery is not built into this agent: use an instant query")]
    RangeQuery,
    /// Authentication.
    #[error(transparent)]
    Authentication(#[from] auth::Error),
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

/// How the conversation goes on: one request, one answer.
pub fn next(metric: &PrometheusMetric, asked: &Asked<'_>) -> Result<Next, Error> {
    let Some(answer) = asked.answers.first() else {
        return request(metric, asked.environment).map(Next::Ask);
    };
    let query = metric.query.clone().unwrap_or_default();
    Ok(Next::Done(Reading {
        value: parse(answer.status, &answer.body)?,
        phase: None,
        metadata: BTreeMap::from([("ResolvedPrometheusQuery".to_owned(), query)]),
    }))
}

/// The request for a query.
pub fn request(metric: &PrometheusMetric, environment: &Environment) -> Result<Request, Error> {
    let query = metric.query.as_deref().unwrap_or_default();
    if query.trim().is_empty() {
        return Err(Error::NoQuery);
    }
    if metric.range_query.is_some() {
        return Err(Error::RangeQuery);
    }
    let given = metric
        .address
        .as_ref()
        .filter(|address| !address.is_empty());
    let address = given
        .or(environment.prometheus_address.as_ref())
        .ok_or(Error::NoAddress)?;
    let bad = |reason: &str| Error::Address {
        address: address.clone(),
        reason: reason.to_owned(),
    };
    let mut url = Url::parse(address).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("it is no http or https address"));
    }
    url.path_segments_mut()
        .map_err(|()| bad("it has no path"))?
        .pop_if_empty()
        .extend(["api", "v1", "query"]);
    let mut form = Url::parse("form:/").map_err(|error| bad(&error.to_string()))?;
    form.query_pairs_mut().append_pair("query", query);
    let headers = metric.headers.iter();
    let headers = headers.map(|one| (one.key.clone(), SecretString::from(one.value.clone())));
    Ok(Request {
        method: Method::Post,
        url,
        headers: headers.collect(),
        body: Body::Form(form.query().unwrap_or_default().into()),
        authentication: authentication(metric)?,
        timeout: timeout(metric),
        insecure: metric.insecure.unwrap_or(false),
    })
}

/// Amazon's name of its managed Prometheus.
const AMAZON_SERVICE: &str = "aps";

fn authentication(metric: &PrometheusMetric) -> Result<Option<Credentials>, Error> {
    let given = metric.authentication.as_ref();
    let found = given.map(|given| credentials(given, AMAZON_SERVICE));
    Ok(found.transpose()?.flatten())
}

fn timeout(metric: &PrometheusMetric) -> Duration {
    let seconds = metric
        .timeout
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0);
    seconds
        .map_or(DEFAULT_TIMEOUT, Duration::from_secs)
        .min(MAX_TIMEOUT)
}

#[derive(Deserialize)]
struct Reply {
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
    let read: Result<Reply, _> = serde_json::from_slice(body);
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

#[cfg(test)]
mod tests;
