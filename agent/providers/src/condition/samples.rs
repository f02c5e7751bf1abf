//! Conditions that compare two samples: `mannWhitney` and `isWorse`.
//!
//! In: two lists of numbers. Out: a map of what the test says, or its judgement. It must not pass what cannot be
//! compared: too few points, or a NaN among them, fail the condition, and that is an error of the measurement.

use expr::{Environment, Result, Value};

use super::functions::{failed, float, type_name};
use crate::statistics::{Alternative, Comparison, compare};

/// Fewest points of a sample: with 5 and 5 the smallest one-sided p is 1/252, the first below 0.01.
pub const MIN_POINTS: usize = 5;
/// Largest p with which `isWorse` speaks of a difference, when the condition does not say.
const ALPHA: f64 = 0.01;
/// Smallest effect that `isWorse` takes seriously, when the condition does not say: the lower bound of what is commonly
/// called a medium Cliff's delta.
const EFFECT: f64 = 0.33;

/// Functions of this module.
pub const NAMES: [&str; 2] = ["mannWhitney", "isWorse"];
/// What `mannWhitney` gives.
pub const FIELDS: [&str; 5] = ["u", "p", "delta", "probability", "effect"];

/// Adds the functions.
pub fn add(environment: &mut Environment<'_>) {
    environment.add_function("mannWhitney", |call| {
        let (compared, _) = compared(&call.ident, call.args)?;
        Ok(fields(&compared))
    });
    environment.add_function("isWorse", |call| {
        let (compared, limits) = compared(&call.ident, call.args)?;
        Ok(Value::Bool(
            compared.p <= limits.alpha && compared.effect >= limits.effect,
        ))
    });
}

fn fields(compared: &Comparison) -> Value {
    let values = [
        compared.u,
        compared.p,
        compared.delta,
        compared.probability,
        compared.effect,
    ];
    FIELDS
        .into_iter()
        .zip(values.map(Value::Float))
        .collect::<Value>()
}

struct Limits {
    direction: Alternative,
    alpha: f64,
    effect: f64,
}

fn compared(name: &str, args: Vec<Value>) -> Result<(Comparison, Limits)> {
    let [baseline, canary, how] = match <[Value; 3]>::try_from(args) {
        Ok(three) => three,
        Err(args) => {
            return failed(format!(
                "{name}() takes a baseline, a canary and a direction such as \"greater\", not {} values",
                args.len()
            ));
        }
    };
    let limits = limits(name, &how)?;
    let baseline = sample(name, "baseline", &baseline)?;
    let canary = sample(name, "canary", &canary)?;
    match compare(&baseline, &canary, limits.direction) {
        Ok(compared) => Ok((compared, limits)),
        Err(error) => failed(format!("{name}(): {error}")),
    }
}

fn sample(name: &str, which: &str, value: &Value) -> Result<Vec<f64>> {
    let Value::Array(items) = value else {
        return failed(format!(
            "{name}() takes a list of numbers as its {which}, not {}",
            type_name(value)
        ));
    };
    if items.len() < MIN_POINTS {
        return failed(format!(
            "{name}() needs at least {MIN_POINTS} points a sample and the {which} has {}: measure longer",
            items.len()
        ));
    }
    let mut numbers = Vec::with_capacity(items.len());
    for item in items {
        let Some(number) = float(item) else {
            return failed(format!(
                "{name}() found {} in its {which}, which is no number",
                type_name(item)
            ));
        };
        numbers.push(number);
    }
    Ok(numbers)
}

/// `"greater"`, or `{direction: "greater", alpha: 0.01, effect: 0.33}` for `isWorse`.
fn limits(name: &str, how: &Value) -> Result<Limits> {
    let mut limits = Limits {
        direction: Alternative::TwoSided,
        alpha: ALPHA,
        effect: EFFECT,
    };
    match how {
        Value::String(word) => limits.direction = direction(name, word)?,
        Value::Map(options) if name != "mannWhitney" => {
            let Some(Value::String(word)) = options.get("direction") else {
                return failed(format!("{name}() needs a direction: {}", words()));
            };
            limits.direction = direction(name, word)?;
            for (key, value) in options {
                let slot = match key.as_str() {
                    "direction" => continue,
                    "alpha" => &mut limits.alpha,
                    "effect" => &mut limits.effect,
                    other => {
                        return failed(format!(
                            "{name}() does not know {other:?}: give direction, alpha and effect"
                        ));
                    }
                };
                match float(value).filter(|number| (0.0..=1.0).contains(number)) {
                    Some(number) => *slot = number,
                    None => return failed(format!("{name}() takes {key} from 0 to 1")),
                }
            }
        }
        other @ (Value::Map(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Bool(_)
        | Value::Nil
        | Value::Array(_)
        | Value::Bytes(_)
        | Value::KeyedMap(_)) => {
            return failed(format!(
                "{name}() takes its direction as a text, not as {}: {}",
                type_name(other),
                words()
            ));
        }
    }
    Ok(limits)
}

fn direction(name: &str, word: &str) -> Result<Alternative> {
    match Alternative::of(word) {
        Some(direction) => Ok(direction),
        None => failed(format!(
            "{name}() does not know the direction {word:?}: {}",
            words()
        )),
    }
}

fn words() -> String {
    format!("write one of {:?}", Alternative::WORDS)
}

#[cfg(test)]
mod tests;
