//! Conditions over a measured value, in the expr language.
//!
//! In: a condition, the value it knows as `result`, the time. Out: true, false, or why it has no answer. It must not be
//! laxer than the language's first implementation: an unknown name, a missing element, or a predicate that gives no
//! bool is an error, never a pass.

mod functions;
mod guard;
pub mod samples;
mod token;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use expr::{Context, Environment, Value};
use jiff::Timestamp;

use crate::value::MetricValue;

/// Why a condition has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read, or may not be run.
    #[error("condition {condition:?} cannot be used: {reason}")]
    Refused {
        /// The condition.
        condition: String,
        /// What is wrong.
        reason: String,
    },
    /// It failed on this value.
    #[error("condition {condition:?} failed: {reason}")]
    Failed {
        /// The condition.
        condition: String,
        /// What went wrong.
        reason: String,
    },
    /// Its answer is neither true nor false.
    #[error("condition {condition:?} gives {found}, not true or false: compare it with something")]
    NoBool {
        /// The condition.
        condition: String,
        /// What it gives.
        found: &'static str,
    },
}

/// Evaluates a condition.
pub fn evaluate(condition: &str, value: &MetricValue, now: Timestamp) -> Result<bool, Error> {
    let guarded = guard::guard(condition).map_err(|reason| Error::Refused {
        condition: condition.to_owned(),
        reason: reason.to_string(),
    })?;
    // The language's crate indexes and unwraps inside; an input that makes it panic must cost one measurement, no more.
    let answer = catch_unwind(AssertUnwindSafe(|| {
        let program = expr::compile(&guarded).map_err(|error| (true, error))?;
        let mut environment = Environment::new();
        functions::add(&mut environment, now);
        let mut context = Context::default();
        context.insert("result", value.to_expr());
        environment
            .run(&program, &context)
            .map_err(|error| (false, error))
    }));
    match answer {
        Ok(Ok(Value::Bool(answer))) => Ok(answer),
        Ok(Ok(other)) => Err(Error::NoBool {
            condition: condition.to_owned(),
            found: functions::type_name(&other),
        }),
        Ok(Err((true, error))) => Err(Error::Refused {
            condition: condition.to_owned(),
            reason: one_line(&error.to_string()),
        }),
        Ok(Err((false, error))) => Err(Error::Failed {
            condition: condition.to_owned(),
            reason: one_line(&error.to_string()),
        }),
        Err(_) => Err(Error::Failed {
            condition: condition.to_owned(),
            reason: "the evaluator gave up".to_owned(),
        }),
    }
}

/// Whether a condition can be read and names only what is known; the rest shows on a value.
pub fn check(condition: &str) -> Result<(), Error> {
    let refused = |reason: String| Error::Refused {
        condition: condition.to_owned(),
        reason,
    };
    let guarded = guard::guard(condition).map_err(|reason| refused(reason.to_string()))?;
    match catch_unwind(AssertUnwindSafe(|| expr::compile(&guarded).map(|_| ()))) {
        Ok(read) => read.map_err(|error| refused(place(condition, &error.to_string()))),
        Err(_) => Err(refused("the parser gave up".to_owned())),
    }
}

/// Where reading stopped, counted in the condition as written; else the parser's own words about the guarded one.
fn place(condition: &str, otherwise: &str) -> String {
    let raw = catch_unwind(|| expr::compile(condition).map(|_| ()));
    let text = match raw {
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(())) | Err(_) => String::new(),
    };
    let at = text
        .split_once("--> ")
        .and_then(|(_, rest)| rest.split_whitespace().next()?.split_once(':'));
    match at {
        Some(("1", column)) => format!("it makes no sense from letter {column} on"),
        Some((line, column)) => {
            format!("it makes no sense from letter {column} of its line {line} on")
        }
        None => one_line(otherwise),
    }
}

/// Those of some conditions that cannot be used, and why.
#[must_use]
pub fn refused(conditions: impl IntoIterator<Item = String>) -> BTreeMap<String, String> {
    let refused = |condition: String| {
        let error = check(&condition).err()?;
        Some((condition, error.to_string()))
    };
    conditions.into_iter().filter_map(refused).collect()
}

/// The crate draws its errors over several lines; a message is one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
