//! The CloudWatch provider: `GetMetricData` in Amazon's JSON 1.0 protocol.
//!
//! In: queries with arguments filled in, the program's region. Out: requests to sign and send, page by page, and all
//! results of the answers, named as Amazon names them. It must not sign or send anything.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_api::IntOrString;
use agent_api::provider::{CloudWatchMetric, MetricDataQuery, MetricStat};
use reqwest::Url;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::address::{self, endpoint};
use crate::auth::{Credentials, Signer};
use crate::question::{Asked, Environment, Next, Reading};
use crate::quote::quote;
use crate::reply;
use crate::transport::{Answer, Body, Method, Request};
use crate::value::MetricValue;
use crate::window;

/// The name that messages use.
const NAME: &str = "cloudwatch";
/// Amazon's name of the service in signatures and host names.
const SERVICE: &str = "monitoring";
/// The operation, with the version of the interface.
const TARGET: &str = "GraniteServiceVersion20100801.GetMetricData";
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
/// How long one answer is waited for; Amazon gives no limit of its own.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// Most queries of one request, as Amazon has it.
const MAX_QUERIES: usize = 500;
/// Most pages of one answer: a page holds 100,800 points, a verdict needs a few.
const MAX_PAGES: usize = 3;
/// Variables with another address of the service, the more exact one first.
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_CLOUDWATCH", "AWS_ENDPOINT_URL"];
/// Variables with the region.
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

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
    #[error("cloudWatch {0}")]
    Window(#[from] window::Error),
    /// No region.
    #[error("there is no AWS region: set AWS_REGION for the agent")]
    NoRegion,
    /// The region cannot be part of a host name.
    #[error("AWS region {0:?} is none: set AWS_REGION to a name such as eu-central-1")]
    Region(String),
    /// No query, or too many.
    #[error("cloudWatch has {0} metricDataQueries: write 1 to {MAX_QUERIES}")]
    Queries(usize),
    /// A query is not whole.
    #[error("cloudWatch metricDataQueries[{index}] {reason}")]
    Query {
        /// Which one.
        index: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// Too many pages.
    #[error(
        "cloudwatch's answer has more than {MAX_PAGES} pages: ask for less time or longer periods"
    )]
    Pages,
    /// A result is not whole.
    #[error(
        "cloudwatch has no whole result for {id:?}: {status}; ask for less, or look at the agent's permissions"
    )]
    Incomplete {
        /// The query's name.
        id: String,
        /// Amazon's word for it.
        status: String,
    },
}

/// How the conversation goes on: a request a page.
pub fn next(metric: &CloudWatchMetric, asked: &Asked<'_>) -> Result<Next, Error> {
    let pages = asked.answers.iter().map(page);
    let pages: Vec<Page> = pages.collect::<Result<_, _>>()?;
    let more = match pages.last() {
        None => Some(None),
        Some(last) => last.token().map(Some),
    };
    match more {
        None => Ok(Next::Done(joined(pages)?)),
        Some(_) if pages.len() >= MAX_PAGES => Err(Error::Pages),
        Some(token) => request(metric, asked, token).map(Next::Ask),
    }
}

fn request(
    metric: &CloudWatchMetric,
    asked: &Asked<'_>,
    token: Option<&str>,
) -> Result<Request, Error> {
    let start = window::start("interval", metric.interval.as_deref(), asked.now)?;
    let queries = &metric.metric_data_queries;
    if queries.is_empty() || queries.len() > MAX_QUERIES {
        return Err(Error::Queries(queries.len()));
    }
    let queries = queries.iter().enumerate();
    let queries: Vec<Value> = queries
        .map(|(index, one)| query(one).map_err(|reason| Error::Query { index, reason }))
        .collect::<Result<_, _>>()?;
    let mut body = json!({
        "StartTime": start.as_second(),
        "EndTime": asked.now.as_second(),
        "MetricDataQueries": queries,
    });
    if let (Some(token), Some(fields)) = (token, body.as_object_mut()) {
        fields.insert("NextToken".to_owned(), token.into());
    }
    let region = variable(asked.environment, &REGIONS);
    Ok(Request {
        method: Method::Post,
        url: url(asked.environment, region.as_deref())?,
        headers: vec![
            ("Content-Type".to_owned(), CONTENT_TYPE.into()),
            ("X-Amz-Target".to_owned(), TARGET.into()),
        ],
        body: Body::Text(body.to_string().into()),
        authentication: Some(Credentials::SigV4(Signer {
            service: SERVICE.to_owned(),
            region,
            profile: None,
            role: None,
        })),
        timeout: TIMEOUT,
        insecure: false,
    })
}

fn variable(environment: &Environment, names: &[&str]) -> Option<String> {
    let found = names
        .iter()
        .filter_map(|name| environment.variables.get(*name))
        .map(|text| text.expose_secret().trim());
    let mut given = found.filter(|text| !text.is_empty());
    given.next().map(str::to_owned)
}

/// The service of the region, unless the program's variables name another address.
fn url(environment: &Environment, region: Option<&str>) -> Result<Url, Error> {
    if let Some(given) = variable(environment, &ENDPOINTS) {
        return Ok(endpoint(NAME, Some(&given), &[])?);
    }
    let region = region.ok_or(Error::NoRegion)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !region.chars().all(plain) {
        return Err(Error::Region(quote(region)));
    }
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    let address = format!("https://{SERVICE}.{region}.{domain}");
    Ok(endpoint(NAME, Some(&address), &[])?)
}

/// A query as Amazon takes it.
fn query(given: &MetricDataQuery) -> Result<Value, &'static str> {
    let id = given.id.as_ref().filter(|id| !id.is_empty());
    let mut fields = Map::new();
    put(&mut fields, "Id", Some(id.ok_or("has no id: name it")?));
    put(&mut fields, "Expression", given.expression.as_ref());
    put(&mut fields, "Label", given.label.as_ref());
    match (&given.expression, &given.metric_stat) {
        (Some(_), Some(_)) => return Err("has both expression and metricStat: keep one"),
        (None, None) => return Err("has neither expression nor metricStat: give it one"),
        (Some(_), None) => {}
        (None, Some(given)) => put(&mut fields, "MetricStat", Some(&statistic(given)?)),
    }
    put(
        &mut fields,
        "Period",
        period(given.period.as_ref())?.as_ref(),
    );
    put(&mut fields, "ReturnData", given.return_data.as_ref());
    Ok(Value::Object(fields))
}

fn statistic(given: &MetricStat) -> Result<Value, &'static str> {
    let mut fields = Map::new();
    let source = given
        .metric
        .as_ref()
        .ok_or("has a metricStat without a metric: name it")?;
    let mut metric = Map::new();
    put(&mut metric, "Namespace", source.namespace.as_ref());
    put(&mut metric, "MetricName", source.metric_name.as_ref());
    if !source.dimensions.is_empty() {
        let dimensions = source.dimensions.iter();
        let dimensions: Vec<Value> = dimensions
            .map(|one| json!({"Name": one.name, "Value": one.value}))
            .collect();
        put(&mut metric, "Dimensions", Some(&dimensions));
    }
    put(&mut fields, "Metric", Some(&metric));
    let period = period(given.period.as_ref())?;
    let period = period.ok_or("has a metricStat without a period: give it seconds")?;
    put(&mut fields, "Period", Some(&period));
    let stat = given.stat.as_ref().filter(|stat| !stat.is_empty());
    let stat = stat.ok_or("has a metricStat without a stat: write for example Sum or p95")?;
    put(&mut fields, "Stat", Some(stat));
    put(
        &mut fields,
        "Unit",
        given.unit.as_ref().filter(|unit| !unit.is_empty()),
    );
    Ok(Value::Object(fields))
}

fn period(given: Option<&IntOrString>) -> Result<Option<i32>, &'static str> {
    let Some(given) = given else { return Ok(None) };
    let seconds = given.as_int().ok().filter(|seconds| *seconds > 0);
    seconds
        .map(Some)
        .ok_or("has a period that is no whole number of seconds")
}

fn put<T: Clone + Into<Value>>(fields: &mut Map<String, Value>, key: &str, value: Option<&T>) {
    if let Some(value) = value {
        fields.insert(key.to_owned(), value.clone().into());
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    metric_data_results: Option<Vec<Map<String, Value>>>,
    messages: Option<Vec<Value>>,
    next_token: Option<String>,
}

impl Page {
    fn token(&self) -> Option<&str> {
        self.next_token.as_deref().filter(|token| !token.is_empty())
    }
}

fn page(answer: &Answer) -> Result<Page, Error> {
    Ok(reply::json(NAME, answer.status, &answer.body)?)
}

/// The results of all pages: those of one query are one, in the order in which they came.
fn joined(pages: Vec<Page>) -> Result<Reading, Error> {
    let mut results: Vec<Map<String, Value>> = Vec::new();
    let mut messages = Vec::new();
    for page in pages {
        messages.extend(page.messages.unwrap_or_default());
        for result in page.metric_data_results.unwrap_or_default() {
            let known = results.iter_mut().find(|known| {
                known.get("Id") == result.get("Id") && known.get("Label") == result.get("Label")
            });
            match known {
                Some(known) => continued(known, result),
                None => results.push(result),
            }
        }
    }
    for result in &results {
        whole(result)?;
    }
    let results: Vec<Value> = results.into_iter().map(Value::Object).collect();
    let mut reading = Reading::from(MetricValue::Json(results.into()));
    if !messages.is_empty() {
        let messages = quote(&Value::from(messages).to_string());
        reading.metadata = BTreeMap::from([("messages".to_owned(), messages)]);
    }
    Ok(reading)
}

fn continued(known: &mut Map<String, Value>, result: Map<String, Value>) {
    for (key, value) in result {
        match (known.get_mut(&key), value) {
            (Some(Value::Array(items)), Value::Array(more)) => items.extend(more),
            (_, value) => {
                known.insert(key, value);
            }
        }
    }
}

/// A result that Amazon could not give whole has few or no values, and `all(…)` over none is true.
fn whole(result: &Map<String, Value>) -> Result<(), Error> {
    let status = result.get("StatusCode").and_then(Value::as_str);
    match status {
        None | Some("Complete") => Ok(()),
        Some(other) => Err(Error::Incomplete {
            id: result.get("Id").map(reply::spoken).unwrap_or_default(),
            status: quote(other),
        }),
    }
}

#[cfg(test)]
mod tests;
