//! The Prometheus provider: an instant query, or one over a range of time.
//!
//! In: address, query and options, with arguments filled in. Out: the request to send, and the value in an answer. It
//! must not send anything.

pub mod moment;

use std::time::Duration;

use agent_api::PrometheusMetric;
use agent_api::provider::RangeQuery;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::address;
use crate::auth::{self, asked_for};
use crate::question::{Asked, Environment, Next, Reading};
use crate::quote::{quote, quote_bytes};
use crate::transport::{Body, Method, Request, secret_headers};
use crate::value::MetricValue;
use crate::window;

/// How long an answer is waited for when the metric does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Most values in an answer: a verdict over more is a query without an aggregation.
const MAX_VALUES: usize = 10_000;

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
    /// A time of the range.
    #[error(
        "prometheus rangeQuery.{field} {text:?} is no time: {reason}; write for example now() - duration(\"5m\")"
    )]
    Moment {
        /// Which.
        field: &'static str,
        /// The expression.
        text: String,
        /// What is wrong.
        reason: moment::Error,
    },
    /// The range itself.
    #[error("prometheus rangeQuery is not usable: {0}")]
    Range(String),
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
    #[error("prometheus' answer cannot be read: {0}; look at what answers at its address")]
    Unreadable(String),
    /// The answer is of another kind.
    #[error("prometheus answered with a {0}: a metric needs a vector, a scalar or a matrix")]
    Kind(String),
    /// The answer has too many series.
    #[error("prometheus answered with {0} values: aggregate the query to less than {MAX_VALUES}")]
    TooMany(usize),
}

/// How the conversation goes on: one request, one answer.
pub fn next(metric: &PrometheusMetric, asked: &Asked<'_>) -> Result<Next, Error> {
    let Some(answer) = asked.answers.first() else {
        return request(metric, asked.environment, asked.now).map(Next::Ask);
    };
    let (value, warnings) = parse(answer.status, &answer.body)?;
    // The query as sent is the metric's metadata, once, and not every measurement's.
    let warnings = warnings.map(|text| ("warnings".to_owned(), text));
    Ok(Next::Done(Reading {
        value,
        phase: None,
        metadata: warnings.into_iter().collect(),
    }))
}

/// The request for a query at this time, or over a range before it.
pub fn request(
    metric: &PrometheusMetric,
    environment: &Environment,
    now: Timestamp,
) -> Result<Request, Error> {
    let query = metric.query.as_deref().unwrap_or_default();
    if query.trim().is_empty() {
        return Err(Error::NoQuery);
    }
    let range = metric.range_query.as_ref().filter(|range| {
        [&range.start, &range.end, &range.step]
            .iter()
            .any(|part| part.as_ref().is_some_and(|text| !text.is_empty()))
    });
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
    let mut url = address::web(address).map_err(|reason| bad(&reason))?;
    url.path_segments_mut()
        .map_err(|()| bad("it has no path"))?
        .pop_if_empty()
        .extend([
            "api",
            "v1",
            if range.is_some() {
                "query_range"
            } else {
                "query"
            },
        ]);
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("query", query);
    match range {
        None => form.append_pair("time", &seconds(now)),
        Some(range) => form.extend_pairs(points(range, now)?),
    };
    Ok(Request {
        method: Method::Post,
        url,
        headers: secret_headers(&metric.headers),
        body: Body::Form(form.finish().into()),
        authentication: asked_for(metric.authentication.as_ref(), AMAZON_SERVICE)?,
        timeout: window::seconds(metric.timeout, DEFAULT_TIMEOUT),
        insecure: metric.insecure.unwrap_or(false),
    })
}

/// Amazon's name of its managed Prometheus.
const AMAZON_SERVICE: &str = "aps";

/// A time as Prometheus takes it: seconds, with milliseconds.
fn seconds(time: Timestamp) -> String {
    let millis = time.as_millisecond();
    let (whole, part) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    format!("{whole}.{part:03}")
}

/// Beginning, end and step of a range.
fn points(range: &RangeQuery, now: Timestamp) -> Result<[(&'static str, String); 3], Error> {
    let moment = |field, text: Option<&String>| {
        let text = text.map(String::as_str).unwrap_or_default();
        moment::evaluate(text, now).map_err(|reason| Error::Moment {
            field,
            text: quote(text),
            reason,
        })
    };
    let start = moment("start", range.start.as_ref())?;
    let end = moment("end", range.end.as_ref())?;
    if end < start {
        return Err(Error::Range("it ends before it starts".to_owned()));
    }
    let step = range.step.as_deref().unwrap_or_default();
    let step =
        agent_api::duration::parse(step).map_err(|error| Error::Range(format!("step: {error}")))?;
    if step.as_millis() <= 0 {
        return Err(Error::Range(
            "step must be at least a millisecond".to_owned(),
        ));
    }
    Ok([
        ("start", seconds(start)),
        ("end", seconds(end)),
        ("step", step.as_secs_f64().to_string()),
    ])
}

#[derive(Deserialize)]
struct Reply<T> {
    status: String,
    data: Option<T>,
    error: Option<String>,
    warnings: Option<Vec<String>>,
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

#[derive(Deserialize)]
struct Track {
    #[serde(default)]
    values: Vec<(serde_json::Value, String)>,
}

/// Most warnings kept: they stand in the run's status.
const MAX_WARNINGS: usize = 10;

/// The data in an answer, and the server's warnings.
pub fn data<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<(T, Vec<String>), Error> {
    let read: Result<Reply<T>, _> = serde_json::from_slice(body);
    let ok = (200..300).contains(&status);
    let body = match read {
        Ok(read) => read,
        Err(_) if !ok => {
            return Err(Error::Refused {
                status,
                quote: quote_bytes(body),
            });
        }
        Err(_) => {
            let why = "it is not the JSON of a Prometheus".to_owned();
            return Err(Error::Unreadable(why));
        }
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
    Ok((data, body.warnings.unwrap_or_default()))
}

/// The value in an answer, with the server's warnings. The values of a range are one list, series after series.
pub fn parse(status: u16, body: &[u8]) -> Result<(MetricValue, Option<String>), Error> {
    let (data, warnings) = data(status, body)?;
    let warnings: Vec<String> = warnings
        .iter()
        .take(MAX_WARNINGS)
        .map(|one| format!("\"{}\"", quote(one)))
        .collect();
    let warnings = (!warnings.is_empty()).then(|| warnings.join(", "));
    Ok((value(data)?, warnings))
}

fn value(data: Data) -> Result<MetricValue, Error> {
    let unreadable = |error: serde_json::Error| Error::Unreadable(error.to_string());
    match data.kind.as_str() {
        "scalar" => {
            let (_, text): (serde_json::Value, String) =
                serde_json::from_value(data.result).map_err(unreadable)?;
            number(&text).map(MetricValue::Scalar)
        }
        "vector" => {
            let series: Vec<Series> = serde_json::from_value(data.result).map_err(unreadable)?;
            vector(series.iter().map(|one| one.value.1.as_str()))
        }
        "matrix" => {
            let tracks: Vec<Track> = serde_json::from_value(data.result).map_err(unreadable)?;
            let points = tracks.iter().flat_map(|one| &one.values);
            vector(points.map(|(_, text)| text.as_str()))
        }
        other => Err(Error::Kind(quote(other))),
    }
}

fn vector<'a>(texts: impl Iterator<Item = &'a str>) -> Result<MetricValue, Error> {
    let numbers: Vec<f64> = texts.map(number).collect::<Result<_, _>>()?;
    if numbers.len() > MAX_VALUES {
        return Err(Error::TooMany(numbers.len()));
    }
    Ok(MetricValue::Vector(numbers))
}

fn number(text: &str) -> Result<f64, Error> {
    text.parse()
        .map_err(|_| Error::Unreadable(format!("{:?} is no number", quote(text))))
}

#[cfg(test)]
mod tests;
