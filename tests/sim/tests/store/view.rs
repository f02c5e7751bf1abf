//! Views of two stores beside each other. In: what the engine would see. Out: where they differ, times and numbers of rows
//! aside. It must not know what is right.

use hub_engine::observed::Observed;
use serde_json::Value;

/// Without times, and without the numbers of rows, which each store gives as it likes; lists in an order of their own.
pub(super) fn timeless(observed: &Observed) -> Value {
    let mut value = serde_json::to_value(observed).unwrap();
    strip(&mut value);
    value
}

/// Where two views differ: path, real, model.
pub(super) fn difference(real: &Value, model: &Value, path: String) -> Vec<String> {
    match (real, model) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = one
                .keys()
                .chain(other.keys())
                .collect::<std::collections::BTreeSet<_>>();
            let null = Value::Null;
            let under = |key: &String| {
                let (one, other) = (one.get(key), other.get(key));
                difference(
                    one.unwrap_or(&null),
                    other.unwrap_or(&null),
                    format!("{path}.{key}"),
                )
            };
            keys.into_iter().flat_map(under).collect()
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let pairs = one.iter().zip(other).enumerate();
            let under = |(at, (one, other)): (usize, (&Value, &Value))| {
                difference(one, other, format!("{path}[{at}]"))
            };
            pairs.flat_map(under).collect()
        }
        (one, other) if one == other => Vec::new(),
        (one, other) => vec![format!("{path}: real {one}, model {other}")],
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for number in ["id", "change", "request", "connected"] {
                if fields
                    .get(number)
                    .is_some_and(|one| one.is_number() || one.is_boolean())
                {
                    fields.remove(number);
                }
            }
            fields.values_mut().for_each(strip);
        }
        Value::Array(all) => all.iter_mut().for_each(strip),
        Value::String(text) => {
            if text.parse::<jiff::Timestamp>().is_ok() {
                *text = "a time".to_owned();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

pub(super) fn timeless_text(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let time = word
            .trim_end_matches([',', ';', ':'])
            .parse::<jiff::Timestamp>();
        let number = word.trim_end_matches([',', ';', ':']).parse::<u64>();
        if time.is_ok() || number.is_ok() {
            "_"
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
