//! The numbers of one metric, and the verdict on what was measured.
//!
//! In: a metric with its arguments filled in, its result so far. Out: limits, due times, a phase. It must not measure.

use agent_api::duration::parse;
use agent_api::{AnalysisPhase, IntOrString, Measurement, Metric, MetricResult};
use jiff::{SignedDuration, Timestamp};

use crate::clock::ClockSet;

/// Errors in a row that are borne when the metric does not say.
const DEFAULT_ERROR_LIMIT: i32 = 4;
/// Time to the next try after an error, whatever the interval.
const ERROR_RETRY: SignedDuration = SignedDuration::from_secs(10);
/// A limit that is off.
const OFF: i32 = -1;

/// Why a metric cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A limit is no number.
    #[error("metric {metric:?} has {field} {value:?}, which is not a whole number: write one")]
    NotANumber {
        /// The metric.
        metric: String,
        /// The field.
        field: &'static str,
        /// What is written.
        value: String,
    },
    /// A time is none.
    #[error("metric {metric:?} has {field} {value:?}: write a duration such as \"30s\"")]
    NotADuration {
        /// The metric.
        metric: String,
        /// The field.
        field: &'static str,
        /// What is written.
        value: String,
    },
    /// Several measurements need a time between them.
    #[error("metric {0:?} has a count above 1 and no interval: add an interval")]
    NoInterval(String),
    /// The count cannot reach both limits.
    #[error(
        "metric {0:?} has a count below its failureLimit plus consecutiveSuccessLimit: raise the count"
    )]
    CountTooLow(String),
}

/// What a metric bears and asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Measurements wanted; `None`: without end.
    pub count: Option<i32>,
    /// Failures borne; below zero: any number.
    pub failures: i32,
    /// Inconclusive ones borne.
    pub inconclusive: i32,
    /// Errors in a row borne.
    pub errors: i32,
    /// Successes in a row that are enough; 0: off.
    pub successes: i32,
    /// Time between measurements.
    pub interval: Option<SignedDuration>,
    /// Time before the first.
    pub delay: SignedDuration,
}

impl Limits {
    /// Reads them.
    pub fn of(metric: &Metric) -> Result<Self, Error> {
        let number = |field: &'static str, value: &Option<IntOrString>, default: i32| match value {
            None => Ok(default),
            Some(value) => value.as_int().map_err(|_| Error::NotANumber {
                metric: metric.name.clone(),
                field,
                value: value.to_string(),
            }),
        };
        let time = |field: &'static str, value: &Option<String>| match value.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => parse(text).map(Some).map_err(|_| Error::NotADuration {
                metric: metric.name.clone(),
                field,
                value: text.to_owned(),
            }),
        };
        let interval = time("interval", &metric.interval)?;
        let written = number("count", &metric.count, 0)?;
        let count = match written {
            0 if interval.is_some() => None,
            0 => Some(1),
            count => Some(count),
        };
        let limits = Self {
            count,
            failures: number("failureLimit", &metric.failure_limit, 0)?,
            inconclusive: number("inconclusiveLimit", &metric.inconclusive_limit, 0)?,
            errors: number(
                "consecutiveErrorLimit",
                &metric.consecutive_error_limit,
                DEFAULT_ERROR_LIMIT,
            )?,
            successes: number(
                "consecutiveSuccessLimit",
                &metric.consecutive_success_limit,
                0,
            )?,
            interval,
            delay: time("initialDelay", &metric.initial_delay)?.unwrap_or(SignedDuration::ZERO),
        };
        if count.is_some_and(|count| count > 1) && interval.is_none() {
            return Err(Error::NoInterval(metric.name.clone()));
        }
        let least = limits.failures.max(0).saturating_add(limits.successes);
        if written > 0 && written < least {
            return Err(Error::CountTooLow(metric.name.clone()));
        }
        Ok(limits)
    }

    /// When the next measurement is due, by the clock as it is set now, as the beginning is.
    pub fn due(
        &self,
        started: Timestamp,
        last: Option<&Measurement>,
        clock: &ClockSet,
    ) -> Timestamp {
        let plus =
            |at: Timestamp, span: SignedDuration| at.checked_add(span).unwrap_or(Timestamp::MAX);
        let Some(last) = last else {
            return plus(started, self.delay);
        };
        let at = last.finished_at.or(last.started_at);
        let at = at.map_or(started, |at| clock.shifted(at).timestamp());
        let errored = last.phase == Some(AnalysisPhase::Error);
        plus(
            at,
            if errored {
                ERROR_RETRY
            } else {
                self.interval.unwrap_or(ERROR_RETRY)
            },
        )
    }
}

/// A metric that is measured until somebody ends it: neither a count nor successes in a row can.
pub fn endless(metric: &Metric) -> Result<bool, Error> {
    let limits = Limits::of(metric)?;
    Ok(limits.count.is_none() && limits.successes == 0)
}

/// The verdict and its sentence: failures first, then inconclusive ones outweigh them, then errors in a row outweigh both.
pub fn verdict(limits: &Limits, result: &MetricResult) -> (AnalysisPhase, Option<String>) {
    let number = |value: Option<i32>| value.unwrap_or(0);
    let assessed = |phase: AnalysisPhase, why: String| {
        let message = format!("Metric {:?} assessed {phase} due to {why}", result.name);
        (phase, Some(message))
    };
    let beyond = |phase, what: &str, count: i32, field: &str, limit: i32| {
        assessed(phase, format!("{what} ({count}) > {field} ({limit})"))
    };
    let errors = number(result.consecutive_error);
    if errors > limits.errors {
        let (phase, field) = (AnalysisPhase::Error, "consecutiveErrorLimit");
        return beyond(phase, "consecutiveErrors", errors, field, limits.errors);
    }
    let unclear = number(result.inconclusive);
    if unclear > limits.inconclusive {
        let (phase, field) = (AnalysisPhase::Inconclusive, "inconclusiveLimit");
        return beyond(phase, "inconclusive", unclear, field, limits.inconclusive);
    }
    let failed = number(result.failed);
    if limits.failures > OFF && failed > limits.failures {
        let (phase, field) = (AnalysisPhase::Failed, "failureLimit");
        return beyond(phase, "failed", failed, field, limits.failures);
    }
    if limits.successes > 0 && number(result.consecutive_success) >= limits.successes {
        return (AnalysisPhase::Successful, None);
    }
    let done = limits
        .count
        .is_some_and(|count| number(result.count) >= count);
    if !done {
        return (AnalysisPhase::Running, None);
    }
    if limits.successes == 0 {
        return (AnalysisPhase::Successful, None);
    }
    let phase = if limits.failures > OFF {
        AnalysisPhase::Inconclusive
    } else {
        AnalysisPhase::Failed
    };
    let why = format!(
        "count ({}) reached without {} successes in a row (consecutiveSuccessLimit)",
        number(result.count),
        limits.successes
    );
    assessed(phase, why)
}
