//! What the two conditions of a metric say of a value.
//! In: the conditions, the value, the time. Out: good, bad, neither, or an error. It must not count: limits are the
//! engine's.

use agent_api::{AnalysisPhase, Metric};
use jiff::Timestamp;
use serde_json::Value;

use crate::condition::{self, evaluate};
use crate::value::MetricValue;

/// The phase of one measurement, with the reason when it could not be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// `Successful`, `Failed`, `Inconclusive` or `Error`.
    pub phase: AnalysisPhase,
    /// Why, for errors and for what strict rules conclude nothing from.
    pub message: Option<String>,
}

impl Judgement {
    fn of(phase: AnalysisPhase) -> Self {
        Self {
            phase,
            message: None,
        }
    }

    /// A measurement that could not be made or judged.
    #[must_use]
    pub fn error(message: String) -> Self {
        Self {
            phase: AnalysisPhase::Error,
            message: Some(message),
        }
    }
}

/// How values are judged beside the conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// What is no value (NaN, infinity, null, an empty result) is inconclusive, whatever the conditions make of it.
    pub strict: bool,
}

impl Rules {
    /// Those that a metric is judged by.
    #[must_use]
    pub fn of(metric: &Metric) -> Self {
        Self {
            strict: metric.strict == Some(true),
        }
    }

    /// Judges a value by these rules and the conditions.
    #[must_use]
    pub fn judge(
        self,
        success: Option<&str>,
        failure: Option<&str>,
        value: &MetricValue,
        now: Timestamp,
    ) -> Judgement {
        match nothing(value).filter(|_| self.strict) {
            Some(what) => Judgement {
                phase: AnalysisPhase::Inconclusive,
                message: Some(format!(
                    "the result is {what}, from which a strict analysis concludes nothing"
                )),
            },
            None => judge(success, failure, value, now),
        }
    }
}

/// What a value is that says nothing; `None` for one that does. A list says nothing if one of its elements does.
fn nothing(value: &MetricValue) -> Option<&'static str> {
    match value {
        MetricValue::Scalar(number) => no_number(*number),
        MetricValue::Vector(numbers) if numbers.is_empty() => Some("empty"),
        MetricValue::Vector(numbers) => numbers.iter().copied().find_map(no_number),
        MetricValue::Text(text) => text.trim().is_empty().then_some("empty"),
        MetricValue::Json(json) => no_json(json),
    }
}

fn no_number(number: f64) -> Option<&'static str> {
    match (number.is_nan(), number.is_infinite()) {
        (true, _) => Some("NaN"),
        (false, true) => Some("infinite"),
        (false, false) => None,
    }
}

fn no_json(json: &Value) -> Option<&'static str> {
    match json {
        Value::Null => Some("null"),
        Value::Bool(_) | Value::Number(_) => None,
        Value::String(text) => text.trim().is_empty().then_some("empty"),
        Value::Array(items) if items.is_empty() => Some("empty"),
        Value::Array(items) => items.iter().find_map(no_json),
        Value::Object(fields) => fields.is_empty().then_some("empty"),
    }
}

/// Judges a value as Argo Rollouts does. An empty condition counts as not given; without any, every value is good.
#[must_use]
pub fn judge(
    success: Option<&str>,
    failure: Option<&str>,
    value: &MetricValue,
    now: Timestamp,
) -> Judgement {
    let given = |text: Option<&str>| {
        text.map(str::trim)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    match outcome(given(success), given(failure), value, now) {
        Ok(phase) => Judgement::of(phase),
        Err(error) => Judgement::error(error.to_string()),
    }
}

fn outcome(
    success: Option<String>,
    failure: Option<String>,
    value: &MetricValue,
    now: Timestamp,
) -> Result<AnalysisPhase, condition::Error> {
    let (good, bad) = match (success, failure) {
        (None, None) => (true, false),
        (Some(success), None) => {
            let good = evaluate(&success, value, now)?;
            (good, !good)
        }
        (None, Some(failure)) => {
            let bad = evaluate(&failure, value, now)?;
            (!bad, bad)
        }
        (Some(success), Some(failure)) => (
            evaluate(&success, value, now)?,
            evaluate(&failure, value, now)?,
        ),
    };
    Ok(match (good, bad) {
        (true, false) => AnalysisPhase::Successful,
        (false, true) => AnalysisPhase::Failed,
        (true, true) | (false, false) => AnalysisPhase::Inconclusive,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(success: Option<&str>, failure: Option<&str>, value: f64, phase: AnalysisPhase) {
        let judged = judge(
            success,
            failure,
            &MetricValue::Vector(vec![value]),
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(
            judged.phase, phase,
            "{success:?} {failure:?} {value}: {:?}",
            judged.message
        );
        assert_eq!(judged.message.is_some(), phase == AnalysisPhase::Error);
    }

    #[test]
    fn table() {
        let high = Some("result[0] >= 0.95");
        let low = Some("result[0] < 0.5");
        check(None, None, 0.0, AnalysisPhase::Successful);
        check(Some("  "), None, 0.0, AnalysisPhase::Successful);
        check(high, None, 0.95, AnalysisPhase::Successful);
        check(high, None, 0.94, AnalysisPhase::Failed);
        check(high, None, f64::NAN, AnalysisPhase::Failed);
        check(None, low, 0.4, AnalysisPhase::Failed);
        check(None, low, f64::NAN, AnalysisPhase::Successful);
        check(high, low, 0.99, AnalysisPhase::Successful);
        check(high, low, 0.7, AnalysisPhase::Inconclusive);
        check(high, low, 0.1, AnalysisPhase::Failed);
        check(Some("true"), Some("true"), 0.1, AnalysisPhase::Inconclusive);
        check(Some("result[1] > 0"), None, 0.1, AnalysisPhase::Error);
        check(Some("result"), None, 0.1, AnalysisPhase::Error);
    }

    /// A value with only a failure condition: what it is as Argo Rollouts judges, and what by strict rules.
    fn both(value: MetricValue, failure: &str, lax: AnalysisPhase, strict: AnalysisPhase) {
        for (rules, phase) in [(Rules::default(), lax), (Rules { strict: true }, strict)] {
            let judged = rules.judge(None, Some(failure), &value, Timestamp::UNIX_EPOCH);
            let found = (judged.phase, judged.message.as_deref());
            assert_eq!(found.0, phase, "{value:?} {rules:?}: {found:?}");
        }
    }

    /// Fault F47: numbers that are none.
    #[test]
    fn what_is_no_number() {
        use AnalysisPhase::{Error, Failed, Inconclusive, Successful};
        let first = |numbers: &[f64], lax, strict| {
            let value = MetricValue::Vector(numbers.to_vec());
            both(value, "result[0] < 0.05", lax, strict);
        };
        let (nan, infinite) = (f64::NAN, f64::INFINITY);
        first(&[nan], Successful, Inconclusive);
        first(&[infinite], Successful, Inconclusive);
        first(&[0.5, nan], Successful, Inconclusive);
        first(&[], Error, Inconclusive);
        first(&[0.01], Failed, Failed);
        first(&[0.5], Successful, Successful);
        let scalar = |number, lax, strict| {
            both(MetricValue::Scalar(number), "result < 0.05", lax, strict);
        };
        scalar(nan, Successful, Inconclusive);
        scalar(-infinite, Failed, Inconclusive);
        scalar(0.0, Failed, Failed);
    }

    /// Fault F47: null and empty ones.
    #[test]
    fn what_is_nothing() {
        use AnalysisPhase::{Failed, Inconclusive, Successful};
        let json = |text: &str| MetricValue::Json(serde_json::from_str(text).unwrap());
        both(json("null"), "result == 1", Successful, Inconclusive);
        both(json("[]"), "len(result) > 3", Successful, Inconclusive);
        both(json("{}"), "len(result) > 3", Successful, Inconclusive);
        both(json("\"\""), "result == 'bad'", Successful, Inconclusive);
        both(
            json("[1, null]"),
            "len(result) > 3",
            Successful,
            Inconclusive,
        );
        // A field of an object is for the condition to know.
        both(
            json("{\"a\": null}"),
            "result.a == 1",
            Successful,
            Successful,
        );
        both(json("false"), "result", Successful, Successful);
        let text = |text: &str| MetricValue::Text(text.to_owned());
        both(text(" "), "result == 'bad'", Successful, Inconclusive);
        both(text("up"), "result == 'up'", Failed, Failed);
    }
}
