//! The Wavefront provider: the point closest to now of each series of a query.
//!
//! In: address and query with arguments filled in, the Secret of tokens. Out: the request to send, and the value in an
//! answer with its times and warnings. It must not send anything.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_api::provider::WavefrontMetric;
use jiff::Timestamp;
use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use crate::address::{self, endpoint};
use crate::profile;
use crate::question::{Asked, Next, Reading, SecretData, SecretNeed};
use crate::quote::quote;
use crate::reply;
use crate::transport::{Body, Method, Request};
use crate::value::MetricValue;

/// The name that messages use.
const NAME: &str = "wavefront";
/// The Secret with a token for each address.
const SECRET: &str = "wavefront-api-tokens";
/// How long an answer is waited for.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// Most series: a verdict over more is a query without an aggregation.
const MAX_SERIES: usize = 10_000;

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not usable.
    #[error(transparent)]
    Address(#[from] address::Error),
    /// The answer has no meaning.
    #[error(transparent)]
    Reply(#[from] reply::Error),
    /// There is no token for the address.
    #[error("the Secret {SECRET:?} has no token for {0:?}: add one under that key")]
    NoToken(String),
    /// No query.
    #[error("wavefront query is empty: give the metric a query")]
    NoQuery,
    /// No series with a point.
    #[error("wavefront's answer has no points: look at the query's names")]
    Empty,
    /// A point is none.
    #[error("wavefront's answer has a point that is no number: {0}")]
    Point(String),
    /// Too many series.
    #[error("wavefront answered with {0} series: aggregate the query to at most {MAX_SERIES}")]
    TooMany(usize),
}

/// The Secret of every metric.
#[must_use]
pub fn secret() -> SecretNeed {
    profile::need(SECRET)
}

/// How the conversation goes on: one request, one answer.
pub fn next(metric: &WavefrontMetric, asked: &Asked<'_>) -> Result<Next, Error> {
    match asked.answers.first() {
        None => request(metric, asked).map(Next::Ask),
        Some(answer) => parse(answer.status, &answer.body, asked.now).map(Next::Done),
    }
}

fn request(metric: &WavefrontMetric, asked: &Asked<'_>) -> Result<Request, Error> {
    let query = metric.query.as_deref().map(str::trim).unwrap_or_default();
    if query.is_empty() {
        return Err(Error::NoQuery);
    }
    let written = metric.address.as_deref().map(str::trim).unwrap_or_default();
    // A host alone is what the documentation shows.
    let address = if written.is_empty() || written.contains("://") {
        written.to_owned()
    } else {
        format!("https://{written}")
    };
    let mut url = endpoint(NAME, Some(&address), &["api", "v2", "chart", "api"])?;
    let token = token(asked.secret, written, &url)?;
    let now = asked.now.as_second().saturating_mul(1000).to_string();
    url.query_pairs_mut()
        .append_pair("q", query)
        .append_pair("s", &now)
        .append_pair("e", &now)
        .append_pair("g", "s")
        .append_pair("p", "1")
        // Begin and end are the same moment: the points wanted lie beside it.
        .append_pair("i", "true");
    Ok(Request {
        method: Method::Get,
        url,
        headers: vec![("Authorization".to_owned(), token)],
        body: Body::Empty,
        authentication: None,
        timeout: TIMEOUT,
        insecure: false,
    })
}

/// The token under the address as written, or under its host: a Secret's key can hold no scheme and no port.
fn token(secret: &SecretData, written: &str, url: &Url) -> Result<SecretString, Error> {
    let host = url.host_str().unwrap_or_default();
    let found = [written, host]
        .into_iter()
        .find_map(|key| profile::text(secret, key).map(|token| format!("Bearer {token}")));
    found
        .map(SecretString::from)
        .ok_or_else(|| Error::NoToken(host.to_owned()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    timeseries: Option<Vec<Series>>,
    warnings: Option<Value>,
    error_type: Option<Value>,
    error_message: Option<Value>,
}

#[derive(Deserialize)]
struct Series {
    data: Option<Vec<(f64, Value)>>,
}

/// The point of a series that is closest to now, and how far from it, in seconds.
struct Closest {
    value: f64,
    at: i64,
    drift: i64,
}

fn parse(status: u16, body: &[u8], now: Timestamp) -> Result<Reading, Error> {
    let read: Answer = reply::json(NAME, status, body)?;
    let given = |value: Option<Value>| value.filter(|value| !value.is_null());
    if let Some(error) = given(read.error_message).or(given(read.error_type)) {
        return Err(reply::failed(NAME, &error).into());
    }
    let series = read.timeseries.unwrap_or_default();
    if series.len() > MAX_SERIES {
        return Err(Error::TooMany(series.len()));
    }
    let found = series.iter().map(|one| closest(one, now));
    let found: Vec<Option<Closest>> = found.collect::<Result<_, _>>()?;
    let found: Vec<Closest> = found.into_iter().flatten().collect();
    let value = match found.as_slice() {
        [] => return Err(Error::Empty),
        [one] if series.len() == 1 => MetricValue::Scalar(one.value),
        many => MetricValue::Vector(many.iter().map(|one| one.value).collect()),
    };
    let alone = matches!(value, MetricValue::Scalar(_));
    let listed = |of: fn(&Closest) -> i64| {
        let texts: Vec<String> = found.iter().map(|one| of(one).to_string()).collect();
        if alone {
            texts.concat()
        } else {
            format!("[{}]", texts.join(","))
        }
    };
    let mut metadata = BTreeMap::from([
        ("timestamps".to_owned(), listed(|one| one.at)),
        ("drift".to_owned(), listed(|one| one.drift)),
    ]);
    if let Some(warnings) = given(read.warnings).map(|warnings| reply::spoken(&warnings)) {
        metadata.insert("warnings".to_owned(), warnings);
    }
    Ok(Reading {
        value,
        phase: None,
        metadata,
    })
}

fn closest(series: &Series, now: Timestamp) -> Result<Option<Closest>, Error> {
    let mut best: Option<Closest> = None;
    for (at, value) in series.data.iter().flatten() {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole seconds; the cast saturates"
        )]
        let at = *at as i64;
        let drift = at.saturating_sub(now.as_second());
        if best
            .as_ref()
            .is_none_or(|best| drift.abs() < best.drift.abs())
        {
            let value = number(value)?;
            best = Some(Closest { value, at, drift });
        }
    }
    Ok(best)
}

/// A value; those that JSON has no number for come as words.
fn number(value: &Value) -> Result<f64, Error> {
    let read = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    read.ok_or_else(|| Error::Point(quote(&value.to_string())))
}

#[cfg(test)]
mod tests;
