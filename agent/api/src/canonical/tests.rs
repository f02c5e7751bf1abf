//! Canonical JSON.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::canonical;

#[test]
fn one_text_for_one_meaning() {
    let cases = [
        (json!({"b": 1, "a": 2}), r#"{"a":2,"b":1}"#),
        (
            json!({"a": null, "b": {}, "c": [], "d": {"e": {"f": null}}}),
            "{}",
        ),
        (
            json!({"a": "", "b": false, "c": 0}),
            r#"{"a":"","b":false,"c":0}"#,
        ),
        (json!({"a": [{}, null, 1]}), r#"{"a":[{},null,1]}"#),
        (json!([1.0, 1, -1, 1.5, 1e3]), "[1,1,-1,1.5,1000]"),
        (json!("a\"b\\c\nd\u{1}é"), "\"a\\\"b\\\\c\\u000ad\\u0001é\""),
        (json!({"é": 1, "z": 2, "Z": 3}), r#"{"Z":3,"z":2,"é":1}"#),
    ];
    for (value, text) in cases {
        assert_eq!(canonical(&value), text, "{value}");
    }
}

/// Any JSON, not too deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((".{0,4}", inner), 0..5)
                .prop_map(|all| all.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// The same value with its maps filled in the opposite order.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(reversed).collect(),
        Value::Object(fields) => {
            let pairs: Vec<_> = fields
                .iter()
                .map(|(key, value)| (key.clone(), reversed(value)))
                .collect();
            pairs.into_iter().rev().collect::<Map<_, _>>().into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

proptest! {
    #[test]
    fn is_json_and_stable(value in any_json()) {
        let text = canonical(&value);
        let back: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(canonical(&back), text.clone());
        prop_assert_eq!(canonical(&reversed(&value)), text);
    }
}
