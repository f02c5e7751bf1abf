//! What a provider measured.
//! In: numbers, text, JSON. Out: their text, as clients of the API know it, and their form for conditions. It must not
//! judge.

use std::collections::BTreeMap;

use expr::Value;
use serde_json::Value as Json;

/// The value of one measurement.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// One number.
    Scalar(f64),
    /// One number for each series, in the order of the answer.
    Vector(Vec<f64>),
    /// Words that are no JSON.
    Text(String),
    /// Anything else: objects, lists, a truth, quoted words, or null where there is no value.
    Json(Json),
}

impl MetricValue {
    /// The text kept in a measurement: `0.98`, `[0.98]`, `[1,2]`, `{"ok":true}`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Scalar(number) => number_text(*number),
            Self::Vector(numbers) => {
                let texts: Vec<String> = numbers.iter().copied().map(number_text).collect();
                format!("[{}]", texts.join(","))
            }
            Self::Text(text) => text.clone(),
            Self::Json(json) => json_text(json),
        }
    }

    /// Whether it is nothing but numbers, as conditions know before they run.
    pub(crate) fn is_numeric(&self) -> bool {
        match self {
            Self::Scalar(_) | Self::Vector(_) => true,
            Self::Text(_) | Self::Json(_) => false,
        }
    }

    /// The value that conditions know as `result`.
    pub(crate) fn to_expr(&self) -> Value {
        match self {
            Self::Scalar(number) => Value::Float(*number),
            Self::Vector(numbers) => {
                Value::Array(numbers.iter().copied().map(Value::Float).collect())
            }
            Self::Text(text) => Value::String(text.clone()),
            Self::Json(json) => json_to_expr(json),
        }
    }
}

/// Every number is a float, as the language's first implementation reads JSON.
fn json_to_expr(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(json_to_expr).collect()),
        Json::Object(fields) => Value::Map(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), json_to_expr(value)))
                .collect(),
        ),
    }
}

/// JSON as clients of the API know it: keys in order, numbers with an exponent only where they are very large or small,
/// and without a fraction that is nought.
fn json_text(json: &Json) -> String {
    match json {
        Json::Null | Json::Bool(_) | Json::String(_) => json.to_string(),
        Json::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => float_text(float),
            Some(_) | None => number.to_string(),
        },
        Json::Array(items) => {
            let texts: Vec<String> = items.iter().map(json_text).collect();
            format!("[{}]", texts.join(","))
        }
        Json::Object(fields) => {
            let sorted: BTreeMap<&String, &Json> = fields.iter().collect();
            let texts: Vec<String> = sorted
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Json::from(key.as_str()), json_text(value)))
                .collect();
            format!("{{{}}}", texts.join(","))
        }
    }
}

/// From here on a number is written with an exponent.
const LARGE: f64 = 1e21;
/// Below, too.
const SMALL: f64 = 1e-6;

fn float_text(number: f64) -> String {
    let size = number.abs();
    if size >= LARGE {
        format!("{number:e}").replace('e', "e+")
    } else if size < SMALL && size > 0.0 {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}

/// Shortest decimal text without an exponent; infinities carry their sign.
fn number_text(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::MetricValue;

    #[test]
    fn text_is_plain_decimal() {
        let json = |text: &str| MetricValue::Json(serde_json::from_str(text).unwrap());
        for (value, text) in [
            (MetricValue::Scalar(0.98), "0.98"),
            (MetricValue::Scalar(1.0), "1"),
            (MetricValue::Scalar(f64::NAN), "NaN"),
            (MetricValue::Scalar(f64::INFINITY), "+Inf"),
            (MetricValue::Scalar(1e21), "1000000000000000000000"),
            (MetricValue::Vector(vec![0.5, 2.0]), "[0.5,2]"),
            (MetricValue::Vector(vec![]), "[]"),
            (MetricValue::Text("up".to_owned()), "up"),
            (json("null"), "null"),
            (json("\"up\""), "\"up\""),
            (
                json("{\"b\": 2, \"a\": [1.5, true]}"),
                "{\"a\":[1.5,true],\"b\":2}",
            ),
            (json("12345678901234567890"), "12345678901234567890"),
        ] {
            assert_eq!(value.text(), text);
        }
    }
}
