//! YAML, block style, keys sorted.
//!
//! In: a JSON value. Out: YAML that reads back as the same value, the same bytes in every build. Must not touch: order
//! of maps as the build keeps it.

use serde_json::Value;

/// Plain words that YAML readers take for something else than text.
const TAKEN: [&str; 10] = [
    "true", "false", "null", "yes", "no", "on", "off", "y", "n", "~",
];

pub(super) fn render(value: &Value) -> String {
    let mut text = String::new();
    write_block(value, 0, &mut text);
    text
}

/// Writes a map or list as a block, each line at `indent`.
fn write_block(value: &Value, indent: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| key.as_str());
            for (key, value) in sorted {
                text.push_str(&format!("{pad}{}:", scalar_text(key)));
                write_after_key(value, indent, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                write_item(item, indent, text);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&format!("{pad}{}\n", inline(value)));
        }
    }
}

fn write_after_key(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            write_block(value, indent.saturating_add(2), text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            write_block(value, indent, text);
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            text.push_str(&format!(" {}\n", inline(value)));
        }
    }
}

/// A list's item: its block with the first line's indent turned into a dash.
fn write_item(item: &Value, indent: usize, text: &mut String) {
    let mut block = String::new();
    if is_block(item) {
        write_block(item, indent.saturating_add(2), &mut block);
    } else {
        block = format!("{}{}\n", " ".repeat(indent.saturating_add(2)), inline(item));
    }
    let rest = block.get(indent.saturating_add(2)..).unwrap_or_default();
    text.push_str(&format!("{}- {rest}", " ".repeat(indent)));
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(content) => scalar_text(content),
        // Empty maps and lists, numbers, booleans and null are the same in both languages.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// Text as a plain word when nobody can mistake it, else in quotes as in JSON.
fn scalar_text(content: &str) -> String {
    let plain = content.starts_with(|first: char| first.is_ascii_alphabetic() || first == '.')
        && content.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-/".contains(letter))
        && !TAKEN.contains(&content.to_ascii_lowercase().as_str())
        // A leading dot may begin a number.
        && !content.trim_start_matches('.').starts_with(|second: char| second.is_ascii_digit());
    if plain {
        content.to_owned()
    } else {
        Value::String(content.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests;
