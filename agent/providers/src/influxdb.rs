//! The InfluxDB provider: a Flux query, answered as annotated CSV.
//!
//! In: a query with arguments filled in, the profile's Secret. Out: the request to send, and the `_value` of every record
//! of an answer, as a list. It must not send anything.

mod table;

use std::time::Duration;

use agent_api::provider::InfluxdbMetric;
use secrecy::SecretString;
use serde_json::json;

use crate::address::{self, endpoint};
use crate::profile;
use crate::question::{Asked, Next, SecretData, SecretNeed};
use crate::reply;
use crate::transport::{Body, Method, Request};
use crate::value::MetricValue;

/// The name that messages use.
const NAME: &str = "influxdb";
/// The Secret that is looked for when the metric names none.
const DEFAULT_SECRET: &str = "influxdb";
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
    /// The Secret lacks something.
    #[error(transparent)]
    Profile(#[from] profile::Error),
    /// No query.
    #[error("influxdb query is empty: give the metric a Flux query")]
    NoQuery,
    /// The tables cannot be read.
    #[error(transparent)]
    Table(#[from] table::Error),
    /// No record.
    #[error("influxdb's answer has no records: look at the query's range and filters")]
    Empty,
}

/// The Secret of a metric.
#[must_use]
pub fn secret(metric: &InfluxdbMetric) -> SecretNeed {
    profile::need(name(metric))
}

fn name(metric: &InfluxdbMetric) -> &str {
    profile::name(metric.profile.as_deref(), DEFAULT_SECRET)
}

/// How the conversation goes on: one request, one answer.
pub fn next(metric: &InfluxdbMetric, asked: &Asked<'_>) -> Result<Next, Error> {
    match asked.answers.first() {
        None => request(metric, asked.secret).map(Next::Ask),
        Some(answer) => Ok(Next::Done(parse(answer.status, &answer.body)?.into())),
    }
}

fn request(metric: &InfluxdbMetric, secret: &SecretData) -> Result<Request, Error> {
    let query = metric.query.as_deref().map(str::trim).unwrap_or_default();
    if query.is_empty() {
        return Err(Error::NoQuery);
    }
    let needed = |key| profile::needed(secret, name(metric), key);
    let mut url = endpoint(NAME, Some(needed("address")?), &["api", "v2", "query"])?;
    url.query_pairs_mut().append_pair("org", needed("org")?);
    let token = SecretString::from(format!("Token {}", needed("authToken")?));
    let body = json!({
        "query": query,
        "type": "flux",
        "dialect": {"header": true, "delimiter": ",", "annotations": ["datatype", "group", "default"]},
    });
    Ok(Request {
        method: Method::Post,
        url,
        headers: vec![
            ("Authorization".to_owned(), token),
            ("Accept".to_owned(), "application/csv".into()),
        ],
        body: Body::Json(body.to_string().into()),
        authentication: None,
        timeout: TIMEOUT,
        insecure: false,
    })
}

/// The value of every record, in the order of the tables.
fn parse(status: u16, body: &[u8]) -> Result<MetricValue, Error> {
    reply::good(NAME, status, body)?;
    table::values(body)?.ok_or(Error::Empty)
}

#[cfg(test)]
mod tests;
