//! Canonical JSON: one text for one meaning.
//!
//! In: any JSON value. Out: text with sorted keys and without nulls, empty maps and empty lists, whatever order the
//! map type of the build keeps. Must not touch: what is hashed from it.

use std::fmt::Write as _;

use serde_json::Value;

/// The canonical text of a value; the empty text when nothing is left of it.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, &mut text);
    text
}

/// Whether a value says nothing: null, or a map or list in which nothing says anything.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        // A list is blank only without elements: dropping elements would move those that follow.
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_blank),
    }
}

fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => write_number(number, text),
        Value::String(content) => write_string(content, text),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut kept: Vec<_> = fields
                .iter()
                .filter(|(_, value)| !is_blank(value))
                .collect();
            kept.sort_unstable_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (index, (key, value)) in kept.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_string(key, text);
                text.push(':');
                write_value(value, text);
            }
            text.push('}');
        }
    }
}

/// Whole numbers are written without a fraction, so that `1` and `1.0` are one.
fn write_number(number: &serde_json::Number, text: &mut String) {
    // 2^53: up to here a float holds every whole number exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let written = match number.as_f64() {
        Some(float)
            if !number.is_i64()
                && !number.is_u64()
                && float.fract() == 0.0
                && float.abs() <= EXACT =>
        {
            write!(text, "{float:.0}")
        }
        Some(_) | None => write!(text, "{number}"),
    };
    // Writing to a String cannot fail.
    debug_assert!(written.is_ok());
}

/// Escapes only what JSON requires.
fn write_string(content: &str, text: &mut String) {
    text.push('"');
    for letter in content.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            control if u32::from(control) < 0x20 => {
                let written = write!(text, "\\u{:04x}", u32::from(control));
                debug_assert!(written.is_ok());
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests;
