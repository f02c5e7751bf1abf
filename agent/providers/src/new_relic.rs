//! The New Relic provider: an NRQL query through NerdGraph.
//!
//! In: a query with arguments filled in, the profile's Secret. Out: the request to send, and the rows of an answer: one
//! row is a map, several are a list of maps. It must not send anything.

use std::time::Duration;

use agent_api::provider::NewRelicMetric;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::address::{self, endpoint};
use crate::profile;
use crate::question::{Asked, Next, SecretData, SecretNeed};
use crate::quote::quote;
use crate::reply;
use crate::transport::{Body, Method, Request};
use crate::value::MetricValue;

/// The name that messages use.
const NAME: &str = "new relic";
/// The Secret that is looked for when the metric names none.
const DEFAULT_SECRET: &str = "newrelic";
/// Seconds that a query may take when the metric does not say.
pub const DEFAULT_SECONDS: i64 = 5;
/// Longest time that New Relic lets a query take, in seconds.
const MAX_SECONDS: i64 = 120;
/// What the request may take beyond the query, so that New Relic's own word of a slow one arrives.
const GRACE: Duration = Duration::from_secs(5);
/// Most rows in an answer: NRQL gives no more without paging.
const MAX_ROWS: usize = 5_000;

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
    /// The account's number is none.
    #[error(
        "account-id of the Secret {0:?} is no number: copy it from New Relic's account settings"
    )]
    Account(String),
    /// The region is unknown.
    #[error("region {0:?} of New Relic is unknown: write us, eu or jp, or give base-url-nerdgraph")]
    Region(String),
    /// No query.
    #[error("newRelic query is empty: give the metric a query")]
    NoQuery,
    /// The time is not usable.
    #[error("newRelic timeout is {0}: write 1 to {MAX_SECONDS} seconds")]
    Timeout(i64),
    /// No row, or one without fields.
    #[error("new relic's answer has no rows: look at the query's time and its WHERE clause")]
    Empty,
    /// Too many rows.
    #[error("new relic answered with {0} rows: aggregate the query to at most {MAX_ROWS}")]
    TooMany(usize),
}

/// The Secret of a metric.
#[must_use]
pub fn secret(metric: &NewRelicMetric) -> SecretNeed {
    profile::need(name(metric))
}

fn name(metric: &NewRelicMetric) -> &str {
    profile::name(metric.profile.as_deref(), DEFAULT_SECRET)
}

/// How the conversation goes on: one request, one answer.
pub fn next(metric: &NewRelicMetric, asked: &Asked<'_>) -> Result<Next, Error> {
    match asked.answers.first() {
        None => request(metric, asked.secret).map(Next::Ask),
        Some(answer) => Ok(Next::Done(parse(answer.status, &answer.body)?.into())),
    }
}

fn request(metric: &NewRelicMetric, secret: &SecretData) -> Result<Request, Error> {
    let query = metric.query.as_deref().map(str::trim).unwrap_or_default();
    if query.is_empty() {
        return Err(Error::NoQuery);
    }
    let seconds = metric.timeout.unwrap_or(DEFAULT_SECONDS);
    let seconds = if seconds == 0 {
        DEFAULT_SECONDS
    } else {
        seconds
    };
    let allowed = u64::try_from(seconds)
        .ok()
        .filter(|_| seconds <= MAX_SECONDS)
        .ok_or(Error::Timeout(seconds))?;
    let of = |key| profile::text(secret, key);
    let needed = |key| profile::needed(secret, name(metric), key);
    let key = needed("personal-api-key")?;
    let account: u64 = needed("account-id")?
        .parse()
        .map_err(|_| Error::Account(name(metric).to_owned()))?;
    let address = match of("base-url-nerdgraph") {
        Some(given) => given,
        None => region(of("region").unwrap_or_default())?,
    };
    let body = json!({
        "query": "query($account: Int!, $query: Nrql!, $timeout: Seconds) { actor { account(id: $account) \
                  { nrql(query: $query, timeout: $timeout) { results } } } }",
        "variables": {"account": account, "query": query, "timeout": seconds},
    });
    Ok(Request {
        method: Method::Post,
        url: endpoint(NAME, Some(address), &[])?,
        headers: vec![("API-Key".to_owned(), SecretString::from(key))],
        body: Body::Json(body.to_string().into()),
        authentication: None,
        timeout: Duration::from_secs(allowed).saturating_add(GRACE),
        insecure: false,
    })
}

/// Where the data of a region is.
fn region(name: &str) -> Result<&'static str, Error> {
    match name.to_ascii_lowercase().as_str() {
        "" | "us" => Ok("https://api.newrelic.com/graphql"),
        "eu" => Ok("https://api.eu.newrelic.com/graphql"),
        "jp" => Ok("https://api.jp.newrelic.com/graphql"),
        _ => Err(Error::Region(quote(name))),
    }
}

/// The rows of an answer: one as a map, several as a list of maps.
fn parse(status: u16, body: &[u8]) -> Result<MetricValue, Error> {
    let data = reply::graphql(NAME, status, body)?;
    let rows = data
        .as_ref()
        .and_then(|data| data.pointer("/actor/account/nrql/results"))
        .and_then(Value::as_array)
        .ok_or_else(|| reply::Error::Unreadable {
            provider: NAME,
            reason: "it has no results".to_owned(),
        })?;
    match rows.as_slice() {
        [] => Err(Error::Empty),
        [one] if one.as_object().is_none_or(serde_json::Map::is_empty) => Err(Error::Empty),
        [one] => Ok(MetricValue::Json(one.clone())),
        many if many.len() > MAX_ROWS => Err(Error::TooMany(many.len())),
        many => Ok(MetricValue::Json(many.to_vec().into())),
    }
}

#[cfg(test)]
mod tests;
