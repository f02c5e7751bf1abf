//! `{{args.name}}` in metrics.
//!
//! In: a metric and valued arguments. Out: the metric with every argument filled in. It must not look values up.

use agent_api::Metric;
use agent_api::analysis::Argument;
use serde_json::Value;

/// Why a metric cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The argument has no value.
    #[error(
        "metric {metric:?} uses {{{{args.{name}}}}}, which has no value: give it one in the analysis or in the template"
    )]
    NoValue {
        /// The metric.
        metric: String,
        /// The argument.
        name: String,
    },
    /// The metric is not one any more with its arguments filled in.
    #[error(
        "metric {metric:?} cannot be read with its arguments filled in ({why}): correct their values"
    )]
    Unreadable {
        /// The metric.
        metric: String,
        /// Why.
        why: String,
    },
}

/// Fills the arguments into every text of a metric. A value is never read as JSON, so no value can add a field.
pub fn resolved(metric: &Metric, args: &[Argument]) -> Result<Metric, Error> {
    let unreadable = |error: serde_json::Error| Error::Unreadable {
        metric: metric.name.clone(),
        why: error.to_string(),
    };
    let mut value = serde_json::to_value(metric).map_err(unreadable)?;
    fill(&mut value, &metric.name, args)?;
    serde_json::from_value(value).map_err(unreadable)
}

fn fill(value: &mut Value, metric: &str, args: &[Argument]) -> Result<(), Error> {
    match value {
        Value::String(text) => *text = text_with(text, metric, args)?,
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| fill(item, metric, args))?,
        Value::Object(fields) => fields
            .values_mut()
            .try_for_each(|field| fill(field, metric, args))?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// Replaces each `{{args.name}}`; other double braces belong to somebody else's language and stay.
fn text_with(text: &str, metric: &str, args: &[Argument]) -> Result<String, Error> {
    let mut out = String::new();
    let mut left = text;
    while let Some((before, tail)) = left.split_once("{{") {
        out.push_str(before);
        let name = tail
            .split_once("}}")
            .and_then(|(inside, after)| Some((inside.trim().strip_prefix("args.")?, after)));
        let Some((name, after)) = name else {
            out.push_str("{{");
            left = tail;
            continue;
        };
        let value = args
            .iter()
            .find(|argument| argument.name == name)
            .and_then(|argument| argument.value.as_ref());
        let missing = || Error::NoValue {
            metric: metric.to_owned(),
            name: name.to_owned(),
        };
        out.push_str(value.ok_or_else(missing)?);
        left = after;
    }
    out.push_str(left);
    Ok(out)
}
