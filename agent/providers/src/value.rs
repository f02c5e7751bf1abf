//! What a provider measured.
//! In: numbers. Out: their text, as clients of the API know it, and their form for conditions. It must not judge.

use expr::Value;

/// The value of one measurement.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// One number.
    Scalar(f64),
    /// One number for each series, in the order of the answer.
    Vector(Vec<f64>),
}

impl MetricValue {
    /// The text kept in a measurement: `0.98`, `[0.98]`, `[1,2]`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Scalar(number) => number_text(*number),
            Self::Vector(numbers) => {
                let texts: Vec<String> = numbers.iter().copied().map(number_text).collect();
                format!("[{}]", texts.join(","))
            }
        }
    }

    /// The value that conditions know as `result`.
    pub(crate) fn to_expr(&self) -> Value {
        match self {
            Self::Scalar(number) => Value::Float(*number),
            Self::Vector(numbers) => {
                Value::Array(numbers.iter().copied().map(Value::Float).collect())
            }
        }
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
        for (value, text) in [
            (MetricValue::Scalar(0.98), "0.98"),
            (MetricValue::Scalar(1.0), "1"),
            (MetricValue::Scalar(f64::NAN), "NaN"),
            (MetricValue::Scalar(f64::INFINITY), "+Inf"),
            (MetricValue::Scalar(1e21), "1000000000000000000000"),
            (MetricValue::Vector(vec![0.5, 2.0]), "[0.5,2]"),
            (MetricValue::Vector(vec![]), "[]"),
        ] {
            assert_eq!(value.text(), text);
        }
    }
}
