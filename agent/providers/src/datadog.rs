//! The Datadog provider: timeseries points (v1) and scalars (v2).
//!
//! In: queries with arguments filled in, keys. Out: the request to send, and the value in an answer; no data is `nil`. It
//! must not send anything, and keys go into headers only.

mod keys;
mod scalar;

use std::collections::BTreeMap;
use std::time::Duration;

use agent_api::provider::{DATADOG_AGGREGATORS, DatadogMetric};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::address::{self, endpoint};
use crate::question::{Asked, Next, Reading};
use crate::reply;
use crate::transport::{Body, Method, Request};
use crate::value::MetricValue;
use crate::window;

pub use keys::secret;

/// The name that messages use.
const NAME: &str = "datadog";
/// How long an answer is waited for when the metric does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not usable.
    #[error(transparent)]
    Address(#[from] address::Error),
    /// The answer has no meaning.
    #[error(transparent)]
    Reply(#[from] reply::Error),
    /// A duration is not usable.
    #[error("datadog {0}")]
    Window(#[from] window::Error),
    /// There are no keys.
    #[error(
        "there are no datadog keys: put api-key and app-key into the Secret {0:?}, or set DD_API_KEY, DD_APP_KEY and DD_ADDRESS for the agent"
    )]
    NoKeys(String),
    /// The version is unknown.
    #[error("datadog apiVersion {0:?} is unknown: write v1 or v2")]
    Version(String),
    /// No query.
    #[error("datadog query is empty: give the metric a query, or queries with apiVersion v2")]
    NoQuery,
    /// What only v2 knows.
    #[error("datadog {0} needs apiVersion: v2")]
    OnlyV2(&'static str),
    /// Two ways to ask.
    #[error("datadog has both query and queries: keep one")]
    Both,
    /// A formula over nothing.
    #[error("datadog formula needs queries: name them, such as queries: {{a: …}}")]
    FormulaWithoutQueries,
    /// Several queries without a formula.
    #[error("datadog has {0} queries and no formula: say how they become one number")]
    NoFormula(usize),
    /// The aggregator is unknown.
    #[error("datadog aggregator {0:?} is unknown: write one of {list}", list = DATADOG_AGGREGATORS.join(", "))]
    Aggregator(String),
    /// A point is none.
    #[error("datadog's answer has a point without a time and a value")]
    Point,
    /// The answer is too large.
    #[error("datadog answered with {0} groups: group by less, at most {most}", most = scalar::MAX_GROUPS)]
    TooMany(usize),
}

/// The two interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// How the conversation goes on: one request, one answer.
pub fn next(metric: &DatadogMetric, asked: &Asked<'_>) -> Result<Next, Error> {
    let version = version(metric)?;
    let Some(answer) = asked.answers.first() else {
        return request(metric, asked).map(Next::Ask);
    };
    Ok(Next::Done(match version {
        Version::V1 => parse_v1(answer.status, &answer.body)?,
        Version::V2 => scalar::parse(answer.status, &answer.body)?,
    }))
}

fn version(metric: &DatadogMetric) -> Result<Version, Error> {
    match metric.api_version.as_deref().unwrap_or_default() {
        "" | "v1" => Ok(Version::V1),
        "v2" => Ok(Version::V2),
        other => Err(Error::Version(other.to_owned())),
    }
}

fn request(metric: &DatadogMetric, asked: &Asked<'_>) -> Result<Request, Error> {
    let from = window::start("interval", metric.interval.as_deref(), asked.now)?;
    let version = version(metric)?;
    let (method, body) = match version {
        Version::V1 => {
            only_v1(metric)?;
            (Method::Get, Body::Empty)
        }
        Version::V2 => (Method::Post, scalar::body(metric, from, asked.now)?),
    };
    let keys = keys::find(metric, asked)?;
    let path: &[&str] = match version {
        Version::V1 => &["api", "v1", "query"],
        Version::V2 => &["api", "v2", "query", "scalar"],
    };
    let mut url = endpoint(NAME, Some(&keys.address), path)?;
    if version == Version::V1 {
        v1_query(&mut url, metric, from, asked.now);
    }
    Ok(Request {
        method,
        url,
        headers: vec![
            ("DD-API-KEY".to_owned(), keys.api),
            ("DD-APPLICATION-KEY".to_owned(), keys.app),
        ],
        body,
        authentication: None,
        timeout: window::timeout(
            "requestTimeout",
            metric.request_timeout.as_deref(),
            DEFAULT_TIMEOUT,
        )?,
        insecure: false,
    })
}

fn v1_query(url: &mut reqwest::Url, metric: &DatadogMetric, from: Timestamp, to: Timestamp) {
    let query = metric.query.as_deref().unwrap_or_default();
    url.query_pairs_mut()
        .append_pair("from", &from.as_second().to_string())
        .append_pair("to", &to.as_second().to_string())
        .append_pair("query", query.trim());
}

fn only_v1(metric: &DatadogMetric) -> Result<(), Error> {
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
    if !metric.queries.is_empty() {
        return Err(Error::OnlyV2("queries"));
    }
    if given(&metric.formula) {
        return Err(Error::OnlyV2("formula"));
    }
    if given(&metric.query) {
        Ok(())
    } else {
        Err(Error::NoQuery)
    }
}

#[derive(Deserialize)]
struct Points {
    status: Option<String>,
    error: Option<Value>,
    series: Option<Vec<Series>>,
}

#[derive(Deserialize)]
struct Series {
    pointlist: Option<Vec<Vec<Option<f64>>>>,
}

/// The last point of the first series; `nil` where there is none, or its value is missing.
fn parse_v1(status: u16, body: &[u8]) -> Result<Reading, Error> {
    let read: Points = reply::json(NAME, status, body)?;
    if let Some(error) = read.error.filter(|error| !error.is_null()) {
        return Err(reply::failed(NAME, &error).into());
    }
    if let Some(status) = read.status.filter(|status| status != "ok") {
        return Err(reply::failed(NAME, &status.into()).into());
    }
    let series = read.series.unwrap_or_default();
    let points = series.first().and_then(|first| first.pointlist.as_ref());
    let value = match points.and_then(|points| points.last()).map(Vec::as_slice) {
        None => None,
        Some([Some(_), value]) => *value,
        Some(_) => return Err(Error::Point),
    };
    let mut reading = Reading::from(number(value));
    if series.len() > 1 {
        // The first one is the value, as Argo Rollouts has it; a person should see that there were others.
        let count = series.len().to_string();
        reading.metadata = BTreeMap::from([("series".to_owned(), count)]);
    }
    Ok(reading)
}

fn number(value: Option<f64>) -> MetricValue {
    value.map_or(MetricValue::Json(Value::Null), MetricValue::Scalar)
}

#[cfg(test)]
mod tests;
