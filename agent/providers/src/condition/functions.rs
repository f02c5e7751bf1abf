//! The functions that a condition may call.
//!
//! In: an environment of the language. Out: the same with the functions of analyses added and the lax ones replaced. It
//! must not read a clock: `now()` is the time that it was given.

use expr::{Context, ContextProvider, Environment, Error, Result, Value};

use super::samples;

/// The name under which element accesses are checked; a letter that no condition can write by accident.
pub const INSIDE: &str = "_inside";

/// The name under which the time is known to `now()`.
pub const NOW: &str = "_now";

/// Functions of the language itself.
const BUILT_IN: [&str; 68] = [
    "abs",
    "all",
    "any",
    "bitand",
    "bitnand",
    "bitnot",
    "bitor",
    "bitshl",
    "bitshr",
    "bitushr",
    "bitxor",
    "ceil",
    "concat",
    "count",
    "filter",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "first",
    "flatten",
    "float",
    "floor",
    "fromPairs",
    "get",
    "groupBy",
    "hasPrefix",
    "hasSuffix",
    "indexOf",
    "int",
    "join",
    "keys",
    "last",
    "lastIndexOf",
    "len",
    "lower",
    "map",
    "max",
    "mean",
    "median",
    "min",
    "none",
    "one",
    "reduce",
    "repeat",
    "replace",
    "reverse",
    "round",
    "sort",
    "sortBy",
    "split",
    "splitAfter",
    "string",
    "sum",
    "take",
    "toPairs",
    "trim",
    "trimPrefix",
    "trimSuffix",
    "type",
    "uniq",
    "upper",
    "values",
    "now",
    "asInt",
    "asFloat",
    "isNaN",
    "default",
];
/// Functions of analyses that do not fit above.
const OWN: [&str; 2] = ["isInf", "isNil"];

/// Whether a function of this name exists.
pub fn is_function(name: &str) -> bool {
    BUILT_IN.contains(&name) || OWN.contains(&name) || samples::NAMES.contains(&name)
}

/// What kind of value something is, in the language's words.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "an int",
        Value::Bool(_) => "a bool",
        Value::Float(_) => "a float",
        Value::Nil => "nil",
        Value::String(_) => "a string",
        Value::Array(_) | Value::Bytes(_) => "a list",
        Value::Map(_) | Value::KeyedMap(_) => "a map",
    }
}

/// Adds the functions of analyses.
pub fn add(environment: &mut Environment<'_>) {
    environment.add_function("asInt", |call| as_int(one(&call.ident, call.args)?));
    environment.add_function("asFloat", |call| as_float(one(&call.ident, call.args)?));
    environment.add_function("isNaN", |call| {
        let number = number(&call.ident, one(&call.ident, call.args)?)?;
        Ok(Value::Bool(number.is_nan()))
    });
    environment.add_function("isInf", |call| {
        let number = number(&call.ident, one(&call.ident, call.args)?)?;
        Ok(Value::Bool(number.is_infinite()))
    });
    environment.add_function("isNil", |call| {
        Ok(Value::Bool(matches!(
            one(&call.ident, call.args)?,
            Value::Nil
        )))
    });
    environment.add_function("default", |call| {
        let [value, otherwise] = two(&call.ident, call.args)?;
        Ok(if matches!(value, Value::Nil) {
            otherwise
        } else {
            value
        })
    });
    environment.add_function("now", |call| match call.ctx.get(NOW) {
        Some(now) if call.args.is_empty() => Ok(now.clone()),
        Some(_) | None => failed("now() takes nothing"),
    });
    environment.add_function(INSIDE, |call| {
        let [list, place] = two("[]", call.args)?;
        inside(&list, place)
    });
    add_predicates(environment);
    samples::add(environment);
}

pub(super) fn failed<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::ExprError(text.into()))
}

fn one(name: &str, args: Vec<Value>) -> Result<Value> {
    match <[Value; 1]>::try_from(args) {
        Ok([value]) => Ok(value),
        Err(args) => failed(format!("{name}() takes one value, not {}", args.len())),
    }
}

fn two(name: &str, args: Vec<Value>) -> Result<[Value; 2]> {
    <[Value; 2]>::try_from(args)
        .or_else(|args| failed(format!("{name}() takes two values, not {}", args.len())))
}

/// Largest float that still is a 64-bit integer, with the sign off.
const INT_LIMIT: f64 = 9_223_372_036_854_775_807.0;

#[allow(clippy::cast_possible_truncation)]
fn as_int(value: Value) -> Result<Value> {
    match &value {
        Value::Integer(number) => Ok(Value::Integer(*number)),
        Value::Float(number) if number.abs() < INT_LIMIT => Ok(Value::Integer(*number as i64)),
        Value::String(text) => match text.trim().parse() {
            Ok(number) => Ok(Value::Integer(number)),
            Err(_) => failed(format!("asInt() cannot read {text:?}")),
        },
        Value::Float(_)
        | Value::Bool(_)
        | Value::Nil
        | Value::Array(_)
        | Value::Bytes(_)
        | Value::Map(_)
        | Value::KeyedMap(_) => failed(format!("asInt() cannot read {}", type_name(&value))),
    }
}

#[allow(clippy::cast_precision_loss)]
fn as_float(value: Value) -> Result<Value> {
    match &value {
        Value::Integer(number) => Ok(Value::Float(*number as f64)),
        Value::Float(number) => Ok(Value::Float(*number)),
        Value::String(text) => match text.trim().parse() {
            Ok(number) => Ok(Value::Float(number)),
            Err(_) => failed(format!("asFloat() cannot read {text:?}")),
        },
        Value::Bool(_)
        | Value::Nil
        | Value::Array(_)
        | Value::Bytes(_)
        | Value::Map(_)
        | Value::KeyedMap(_) => failed(format!("asFloat() cannot read {}", type_name(&value))),
    }
}

/// A number as a float; nothing for anything else.
#[allow(clippy::cast_precision_loss)]
pub(super) fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        Value::Bool(_)
        | Value::Nil
        | Value::String(_)
        | Value::Array(_)
        | Value::Bytes(_)
        | Value::Map(_)
        | Value::KeyedMap(_) => None,
    }
}

/// A number as a float; anything else is no question for a function of numbers.
fn number(name: &str, value: Value) -> Result<f64> {
    match float(&value) {
        Some(number) => Ok(number),
        None => failed(format!(
            "{name}() takes a number, not {}",
            type_name(&value)
        )),
    }
}

/// The place itself, if the list has it; keys of maps pass, a missing one is nil as in the language. What is neither list
/// nor map has no places at all, whatever a question mark before them says.
fn inside(list: &Value, place: Value) -> Result<Value> {
    if let (
        Value::Array(_) | Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::String(_),
        Value::String(name),
    ) = (list, &place)
    {
        return failed(format!("{} has no field {name:?}", type_name(list)));
    }
    let (Value::Array(items), Value::Integer(index)) = (list, &place) else {
        return Ok(place);
    };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    if *index < length && *index >= length.saturating_neg() {
        Ok(place)
    } else {
        failed(format!(
            "index {index} is out of range: the list has {length} elements"
        ))
    }
}

/// A scope in which `#` is one element.
struct Element<'a> {
    outside: &'a dyn ContextProvider,
    item: Value,
}

impl ContextProvider for Element<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        if key == "#" {
            Some(&self.item)
        } else {
            self.outside.get(key)
        }
    }

    fn to_context(&self) -> Context {
        let mut context = self.outside.to_context();
        context.insert("#", self.item.clone());
        context
    }
}

/// Replaces the functions that take a predicate and would let pass one that gives no bool.
fn add_predicates(environment: &mut Environment<'_>) {
    add_predicate(environment, "all", |found| {
        Value::Bool(found.iter().all(|(_, fits)| *fits))
    });
    add_predicate(environment, "any", |found| {
        Value::Bool(found.iter().any(|(_, fits)| *fits))
    });
    add_predicate(environment, "none", |found| {
        Value::Bool(!found.iter().any(|(_, fits)| *fits))
    });
    add_predicate(environment, "one", |found| {
        Value::Bool(found.iter().filter(|(_, fits)| *fits).count() == 1)
    });
    add_predicate(environment, "filter", |found| {
        Value::Array(
            found
                .into_iter()
                .filter(|(_, fits)| *fits)
                .map(|(item, _)| item)
                .collect(),
        )
    });
    add_predicate(environment, "find", |found| {
        item(found.into_iter().find(|(_, fits)| *fits))
    });
    add_predicate(environment, "findLast", |found| {
        item(found.into_iter().rfind(|(_, fits)| *fits))
    });
    add_predicate(environment, "findIndex", |found| {
        place(found.iter().position(|(_, fits)| *fits))
    });
    add_predicate(environment, "findLastIndex", |found| {
        place(found.iter().rposition(|(_, fits)| *fits))
    });
}

fn item(found: Option<(Value, bool)>) -> Value {
    found.map_or(Value::Nil, |(item, _)| item)
}

fn place(found: Option<usize>) -> Value {
    Value::Integer(found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}

fn add_predicate(
    environment: &mut Environment<'_>,
    name: &'static str,
    fold: fn(Vec<(Value, bool)>) -> Value,
) {
    environment.add_function(name, move |call| {
        let Value::Array(items) = one(name, call.args)? else {
            return failed(format!("{name}() takes a list"));
        };
        let Some(predicate) = call.predicate else {
            return failed(format!("{name}() takes a predicate, such as # > 0"));
        };
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            let element = Element {
                outside: call.ctx,
                item,
            };
            match call.env.run(predicate, &element)? {
                Value::Bool(fits) => found.push((element.item, fits)),
                other @ (Value::Integer(_)
                | Value::Float(_)
                | Value::Nil
                | Value::String(_)
                | Value::Array(_)
                | Value::Bytes(_)
                | Value::Map(_)
                | Value::KeyedMap(_)) => {
                    return failed(format!(
                        "{name}()'s predicate gives {}, not true or false",
                        type_name(&other)
                    ));
                }
            }
        }
        Ok(fold(found))
    });
}
