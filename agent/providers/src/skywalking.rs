//! The SkyWalking provider: a GraphQL query with the variable `$duration`.
//!
//! In: address, query and window with arguments filled in. Out: the request to send, and the answer's `data` as it is. It
//! must not send anything.

use std::time::Duration;

use agent_api::provider::SkywalkingMetric;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::address::{self, endpoint};
use crate::question::{Asked, Next};
use crate::reply;
use crate::transport::{Body, Method, Request};
use crate::value::MetricValue;
use crate::window;

/// The name that messages use.
const NAME: &str = "skywalking";
/// How long an answer is waited for.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not usable.
    #[error(transparent)]
    Address(#[from] address::Error),
    /// The answer has no meaning.
    #[error(transparent)]
    Reply(#[from] reply::Error),
    /// The window is not usable.
    #[error("skywalking {0}")]
    Window(#[from] window::Error),
    /// No query.
    #[error("skywalking query is empty: give the metric a GraphQL query")]
    NoQuery,
    /// No data.
    #[error("skywalking's answer has no data: try the query in its console first")]
    Empty,
}

/// How the conversation goes on: one request, one answer.
pub fn next(metric: &SkywalkingMetric, asked: &Asked<'_>) -> Result<Next, Error> {
    match asked.answers.first() {
        None => request(metric, asked.now).map(Next::Ask),
        Some(answer) => Ok(Next::Done(parse(answer.status, &answer.body)?.into())),
    }
}

fn request(metric: &SkywalkingMetric, now: Timestamp) -> Result<Request, Error> {
    let query = metric.query.as_deref().map(str::trim).unwrap_or_default();
    if query.is_empty() {
        return Err(Error::NoQuery);
    }
    let start = window::start("interval", metric.interval.as_deref(), now)?;
    let duration = json!({"start": minute(start), "end": minute(now), "step": "MINUTE"});
    let body = json!({"query": query, "variables": {"duration": duration}});
    Ok(Request {
        method: Method::Post,
        url: endpoint(NAME, metric.address.as_deref(), &["graphql"])?,
        headers: Vec::new(),
        body: Body::Json(body.to_string().into()),
        authentication: None,
        timeout: TIMEOUT,
        insecure: false,
    })
}

/// A minute as SkyWalking writes it, in UTC.
fn minute(at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    at.strftime("%Y-%m-%d %H%M").to_string()
}

fn parse(status: u16, body: &[u8]) -> Result<MetricValue, Error> {
    let data = reply::graphql(NAME, status, body)?;
    let data = data.filter(|data| !data.is_null());
    data.map(MetricValue::Json).ok_or(Error::Empty)
}

#[cfg(test)]
mod tests;
