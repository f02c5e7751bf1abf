//! Datadog's second version: scalars, one or one for each group.
//!
//! In: queries with arguments filled in; an answer. Out: the body of the request; the value. It must not know keys.

use std::collections::BTreeMap;

use agent_api::provider::{DATADOG_AGGREGATORS, DatadogMetric};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Error, NAME, number};
use crate::question::Reading;
use crate::reply;
use crate::transport::Body;
use crate::value::MetricValue;

/// How points become one number when the metric does not say.
const DEFAULT_AGGREGATOR: &str = "last";
/// The name of a query that has none.
const QUERY: &str = "query";
/// Most groups in an answer: a verdict over more is a query by host or pod.
pub(super) const MAX_GROUPS: usize = 10_000;
/// Most groups named in the measurement; the status has to fit into an object.
const MAX_NAMED: usize = 100;

/// The question as Datadog takes it.
pub(super) fn body(metric: &DatadogMetric, from: Timestamp, to: Timestamp) -> Result<Body, Error> {
    let text = |text: &Option<String>| {
        let text = text.as_deref().map(str::trim).unwrap_or_default();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let aggregator = text(&metric.aggregator).unwrap_or_else(|| DEFAULT_AGGREGATOR.to_owned());
    if !DATADOG_AGGREGATORS.contains(&aggregator.as_str()) {
        return Err(Error::Aggregator(aggregator));
    }
    let formula = text(&metric.formula);
    let queries: BTreeMap<String, String> = match (text(&metric.query), metric.queries.is_empty()) {
        (Some(_), false) => return Err(Error::Both),
        (None, true) => return Err(Error::NoQuery),
        (Some(_), true) if formula.is_some() => return Err(Error::FormulaWithoutQueries),
        (Some(query), true) => BTreeMap::from([(QUERY.to_owned(), query)]),
        (None, false) => metric.queries.clone(),
    };
    if queries.len() > 1 && formula.is_none() {
        return Err(Error::NoFormula(queries.len()));
    }
    let queries: Vec<Value> = queries
        .iter()
        .map(|(name, query)| {
            json!({
                "aggregator": aggregator,
                "data_source": "metrics",
                "name": name,
                "query": query.trim(),
            })
        })
        .collect();
    let mut attributes = json!({
        "from": from.as_millisecond(),
        "to": to.as_millisecond(),
        "queries": queries,
    });
    if let (Some(formula), Some(fields)) = (formula, attributes.as_object_mut()) {
        fields.insert("formulas".to_owned(), json!([{ "formula": formula }]));
    }
    let body = json!({"data": {"type": "scalar_request", "attributes": attributes}});
    Ok(Body::Json(body.to_string().into()))
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
    errors: Option<Value>,
}

#[derive(Deserialize)]
struct Data {
    attributes: Option<Attributes>,
}

#[derive(Deserialize)]
struct Attributes {
    columns: Option<Vec<Column>>,
}

#[derive(Deserialize)]
struct Column {
    #[serde(rename = "type")]
    kind: Option<String>,
    values: Option<Vec<Value>>,
}

impl Column {
    fn is_group(&self) -> bool {
        self.kind.as_deref() == Some("group")
    }

    fn values(&self) -> &[Value] {
        self.values.as_deref().unwrap_or_default()
    }
}

/// One number, or with a group column one number for each group; `nil` where there is none.
pub(super) fn parse(status: u16, body: &[u8]) -> Result<Reading, Error> {
    let read: Answer = reply::json(NAME, status, body)?;
    let errors = read.errors.filter(|errors| {
        !(errors.is_null() || errors.as_str() == Some("") || errors == &json!([]))
    });
    if let Some(errors) = errors {
        return Err(reply::failed(NAME, &errors).into());
    }
    let columns = read
        .data
        .and_then(|data| data.attributes)
        .and_then(|attributes| attributes.columns)
        .unwrap_or_default();
    let groups: Vec<&Column> = columns.iter().filter(|column| column.is_group()).collect();
    let Some(numbers) = columns.iter().find(|column| !column.is_group()) else {
        return Ok(number(None).into());
    };
    let numbers = numbers.values();
    if groups.is_empty() {
        return Ok(number(numbers.first().and_then(Value::as_f64)).into());
    }
    if numbers.len() > MAX_GROUPS {
        return Err(Error::TooMany(numbers.len()));
    }
    Ok(grouped(&groups, numbers))
}

fn grouped(groups: &[&Column], numbers: &[Value]) -> Reading {
    let named = numbers.iter().enumerate().filter_map(|(row, value)| {
        // A group without data says nothing, neither good nor bad.
        let value = value.as_f64()?;
        let parts = groups.iter().map(|group| name(group.values().get(row)));
        Some((parts.collect::<Vec<_>>().join(","), value))
    });
    let mut named: Vec<(String, f64)> = named.collect();
    if named.is_empty() {
        return number(None).into();
    }
    let value = MetricValue::Vector(named.iter().map(|(_, value)| *value).collect());
    named.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let mut metadata = BTreeMap::new();
    if named.len() > MAX_NAMED {
        metadata.insert("groups_truncated".to_owned(), "true".to_owned());
        named.truncate(MAX_NAMED);
    }
    let list = named
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}));
    metadata.insert("groups".to_owned(), Value::from_iter(list).to_string());
    Reading {
        value,
        phase: None,
        metadata,
    }
}

/// The values of a tag in one row, which Datadog gives as a list.
fn name(cell: Option<&Value>) -> String {
    match cell {
        Some(Value::Array(parts)) => {
            let parts = parts.iter().map(|part| name(Some(part)));
            parts.collect::<Vec<_>>().join(",")
        }
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
