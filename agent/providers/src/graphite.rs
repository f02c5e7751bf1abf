//! The Graphite provider: one target of its render API.
//!
//! In: address and query with arguments filled in. Out: the request to send, and the points of the first series in an
//! answer, without those that have no value. It must not send anything.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use agent_api::provider::GraphiteMetric;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::address::{self, endpoint};
use crate::question::{Asked, Next, Reading};
use crate::quote::quote;
use crate::reply;
use crate::transport::{Body, Method, Request};
use crate::value::MetricValue;

/// The name that messages use.
const NAME: &str = "graphite";
/// How long an answer is waited for.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Most points: a verdict over more is a query without a summary.
const MAX_POINTS: usize = 10_000;

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not usable.
    #[error(transparent)]
    Address(#[from] address::Error),
    /// The answer has no meaning.
    #[error(transparent)]
    Reply(#[from] reply::Error),
    /// No query.
    #[error(
        "graphite query is empty: give the metric a query, such as target=summarize(a.b,'5min')"
    )]
    NoQuery,
    /// No series.
    #[error("graphite's answer has no series: look at the names in the query")]
    NoSeries,
    /// No point has a value.
    #[error("graphite's answer has no values in {0} points: look at the query's time and names")]
    NoValues(usize),
    /// A point is none.
    #[error("graphite's answer has a point that is no number: {0:?}")]
    Point(String),
    /// Too many points.
    #[error("graphite answered with {0} points: summarize the query to at most {MAX_POINTS}")]
    TooMany(usize),
}

/// How the conversation goes on: one request, one answer.
pub fn next(metric: &GraphiteMetric, asked: &Asked<'_>) -> Result<Next, Error> {
    match asked.answers.first() {
        None => request(metric).map(Next::Ask),
        Some(answer) => parse(answer.status, &answer.body).map(Next::Done),
    }
}

fn request(metric: &GraphiteMetric) -> Result<Request, Error> {
    let written = metric.query.as_deref().unwrap_or_default();
    // Targets are written over several lines.
    let query = written.split_whitespace().collect::<Vec<_>>().join(" ");
    if query.is_empty() {
        return Err(Error::NoQuery);
    }
    let mut url = endpoint(NAME, metric.address.as_deref(), &["render"])?;
    let mut read = url.clone();
    read.set_query(Some(&query));
    let given: Vec<(Cow<'_, str>, Cow<'_, str>)> = read
        .query_pairs()
        .filter(|(key, _)| key != "format")
        .collect();
    let mut pairs = url.query_pairs_mut();
    if given.iter().any(|(key, _)| key == "target") {
        for (key, value) in &given {
            pairs.append_pair(key, value);
        }
    } else {
        pairs.append_pair("target", &query);
    }
    pairs.append_pair("format", "json");
    drop(pairs);
    Ok(Request {
        method: Method::Get,
        url,
        headers: Vec::new(),
        body: Body::Empty,
        authentication: None,
        timeout: TIMEOUT,
        insecure: false,
    })
}

#[derive(Deserialize)]
struct Series {
    datapoints: Vec<Point>,
}

/// Value and time, as they are written.
type Point = (Written, Written);
type Written = Option<Box<RawValue>>;

/// The values of the first series. Infinity comes as `1e9999`, which is why numbers are read from their text.
fn parse(status: u16, body: &[u8]) -> Result<Reading, Error> {
    let series: Vec<Series> = reply::json(NAME, status, body)?;
    let first = series.first().ok_or(Error::NoSeries)?;
    if first.datapoints.len() > MAX_POINTS {
        return Err(Error::TooMany(first.datapoints.len()));
    }
    let values = first
        .datapoints
        .iter()
        .filter_map(|(value, _)| value.as_ref());
    let values: Vec<f64> = values
        .map(|value| number(value.get()))
        .collect::<Result<_, _>>()?;
    if values.is_empty() {
        return Err(Error::NoValues(first.datapoints.len()));
    }
    let mut reading = Reading::from(MetricValue::Vector(values));
    if series.len() > 1 {
        // The first one is the value, as Argo Rollouts has it; a person should see that there were others.
        let count = series.len().to_string();
        reading.metadata = BTreeMap::from([("series".to_owned(), count)]);
    }
    Ok(reading)
}

fn number(text: &str) -> Result<f64, Error> {
    let bare = text.trim_matches('"');
    bare.parse().map_err(|_| Error::Point(quote(text)))
}

#[cfg(test)]
mod tests;
