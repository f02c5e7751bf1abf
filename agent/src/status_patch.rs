//! The difference between two statuses, as a JSON merge patch.
//!
//! In: the status as observed and as planned. Out: the smallest merge patch that leads from one to the other, or
//! nothing. It must not contain a field that the plan does not change: others write statuses too.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// A status that cannot be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("the planned status is no json: {0}; report this as a bug")]
pub struct Error(#[from] serde_json::Error);

/// The body of a merge patch of `status`, bound to the version it was decided from; `None` when nothing differs.
pub fn status_patch<S: Serialize>(
    resource_version: &str,
    observed: Option<&S>,
    planned: &S,
) -> Result<Option<Value>, Error> {
    let observed = observed
        .map(serde_json::to_value)
        .transpose()?
        .unwrap_or(Value::Null);
    let planned = serde_json::to_value(planned)?;
    Ok(difference(&observed, &planned)
        .map(|status| json!({"metadata": {"resourceVersion": resource_version}, "status": status})))
}

/// The merge patch from one value to another; `None` when there is nothing to change. Null counts as absent.
pub fn difference(from: &Value, to: &Value) -> Option<Value> {
    let empty = Map::new();
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => objects(from, to),
        // A merge patch onto something that is no object starts from an empty one.
        (Value::Null, Value::Object(to)) => objects(&empty, to),
        (_, _) if from == to => None,
        (_, _) => Some(to.clone()),
    }
}

fn objects(from: &Map<String, Value>, to: &Map<String, Value>) -> Option<Value> {
    let mut patch = Map::new();
    for key in from.keys() {
        let gone = to.get(key).is_none_or(Value::is_null);
        if gone && from.get(key).is_some_and(|value| !value.is_null()) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    for (key, value) in to.iter().filter(|(_, value)| !value.is_null()) {
        let change = match from.get(key) {
            Some(before) => difference(before, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests;
