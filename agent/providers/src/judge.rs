//! What the two conditions of a metric say of a value.
//! In: the conditions, the value, the time. Out: good, bad, neither, or an error. It must not count: limits are the
//! engine's.

use agent_api::AnalysisPhase;
use jiff::Timestamp;

use crate::condition::{self, evaluate};
use crate::value::MetricValue;

/// The phase of one measurement, with the reason when it could not be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// `Successful`, `Failed`, `Inconclusive` or `Error`.
    pub phase: AnalysisPhase,
    /// Why, for errors.
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

/// Judges a value. An empty condition counts as not given; without any, every value is good.
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
}
