//! Conditions over a measured value, in the expr language.
//!
//! In: a condition, the value it knows as `result`, the time. Out: true, false, or why it has no answer. It must not be
//! laxer than the language's first implementation: an unknown name, a missing element, or a predicate that gives no
//! bool is an error, never a pass.

mod element;
mod fields;
mod functions;
mod guard;
mod maps;
pub mod samples;
mod token;

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use expr::{Context, Environment, Program, Value};
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

/// Most conditions kept compiled; a metric has two, and ten thousand runs have few different ones.
const MAX_COMPILED: usize = 4096;

/// Conditions by their text, and whether they judge numbers: compiling takes fifty times as long as running.
type Compiled = HashMap<(String, bool), Arc<Program>>;

static COMPILED: LazyLock<Mutex<Compiled>> = LazyLock::new(Mutex::default);
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    functions::add(&mut environment);
    environment
});

/// Evaluates a condition.
pub fn evaluate(condition: &str, value: &MetricValue, now: Timestamp) -> Result<bool, Error> {
    let program = compiled(condition, value.is_numeric())?;
    let mut context = Context::default();
    context.insert("result", value.to_expr());
    context.insert(functions::NOW, now.as_second());
    match guarded(|| ENVIRONMENT.run(&program, &context)) {
        Ok(Value::Bool(answer)) => Ok(answer),
        Ok(other) => Err(Error::NoBool {
            condition: condition.to_owned(),
            found: functions::type_name(&other),
        }),
        Err(reason) => Err(Error::Failed {
            condition: condition.to_owned(),
            reason,
        }),
    }
}

/// Whether a condition can be read and names only what is known; the rest shows on a value.
pub fn check(condition: &str) -> Result<(), Error> {
    compile(condition, false).map(|_| ())
}

/// The condition, compiled now or earlier.
fn compiled(condition: &str, numeric: bool) -> Result<Arc<Program>, Error> {
    let kept = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (condition.to_owned(), numeric);
    if let Some(program) = kept().get(&key) {
        return Ok(Arc::clone(program));
    }
    let program = Arc::new(compile(condition, numeric)?);
    let mut kept = kept();
    if kept.len() >= MAX_COMPILED {
        kept.clear();
    }
    kept.insert(key, Arc::clone(&program));
    Ok(program)
}

fn compile(condition: &str, numeric: bool) -> Result<Program, Error> {
    let refused = |reason: String| Error::Refused {
        condition: condition.to_owned(),
        reason,
    };
    let text = guard::guard(condition, numeric).map_err(|reason| refused(reason.to_string()))?;
    guarded(|| expr::compile(&text)).map_err(|reason| refused(place(condition, &reason)))
}

/// Where reading stopped, counted in the condition as written; else the parser's own words about the guarded one.
fn place(condition: &str, otherwise: &str) -> String {
    let text = guarded(|| expr::compile(condition))
        .err()
        .unwrap_or_default();
    let at = text
        .split_once("--> ")
        .and_then(|(_, rest)| rest.split_whitespace().next()?.split_once(':'));
    match at {
        Some(("1", column)) => format!("it makes no sense from letter {column} on"),
        Some((line, column)) => {
            format!("it makes no sense from letter {column} of its line {line} on")
        }
        None => otherwise.to_owned(),
    }
}

/// The language's crate indexes and unwraps inside; an input that makes it panic must cost one measurement, no more.
fn guarded<T>(work: impl FnOnce() -> expr::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| one_line(&error.to_string())),
        Err(_) => Err("the evaluator gave up".to_owned()),
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
