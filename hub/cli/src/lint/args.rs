//! Arguments: declared, used, valued. In: metrics as JSON. Out: where `{{args.name}}` stands. It must not fill anything in.

use serde_json::Value;

/// Every use of an argument: where, and its name.
pub fn used(value: &Value, path: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(value, path, &mut found);
    found
}

fn walk(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => {
            found.extend(names(text).into_iter().map(|name| (path.to_owned(), name)));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[{index}]"), found);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                walk(field, &format!("{path}.{key}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn names(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = text;
    while let Some((_, tail)) = left.split_once("{{") {
        left = tail;
        let name = tail.split_once("}}").map(|(inside, _)| inside.trim());
        if let Some(name) = name.and_then(|name| name.strip_prefix("args.")) {
            found.push(name.to_owned());
        }
    }
    found
}
