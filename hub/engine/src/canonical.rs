//! One text for equal values. In: anything that serializes. Out: JSON with sorted keys, whatever map order serde_json was
//! built with. It must not be used for what people read.

use std::collections::BTreeMap;

use serde::Serialize;

/// What is hashed and compared.
pub(crate) fn json<T: Serialize>(value: &T) -> String {
    let mut out = String::new();
    // Our own types always serialize: their keys are texts and no value is a float.
    write_canonical(&serde_json::to_value(value).unwrap_or_default(), &mut out);
    out
}

fn write_canonical(value: &serde_json::Value, out: &mut String) {
    match value {
        serde_json::Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            out.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::Value::String(key.clone()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        serde_json::Value::Array(list) => {
            out.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(value, out);
            }
            out.push(']');
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => out.push_str(&value.to_string()),
    }
}
