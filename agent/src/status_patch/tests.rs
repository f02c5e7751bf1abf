//! Patches as data. In: two statuses. Out: the patch, which applied to the first gives the second.

use super::*;

/// Applies a merge patch, by the rules of RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let fields = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn check(from: Value, to: Value, expected: Option<Value>) {
    let patch = difference(&from, &to);
    assert_eq!(patch, expected, "{from} -> {to}");
    let mut result = from.clone();
    merge(&mut result, &patch.unwrap_or_else(|| json!({})));
    assert_eq!(
        difference(&result, &to),
        None,
        "{from} -> {to} leads to {result}"
    );
}

#[test]
fn table() {
    check(json!({"a": 1}), json!({"a": 1}), None);
    check(json!({"a": 1}), json!({"a": 2}), Some(json!({"a": 2})));
    check(
        json!({"a": 1, "b": 1}),
        json!({"a": 1}),
        Some(json!({"b": null})),
    );
    check(json!({}), json!({"a": null}), None);
    check(json!({"a": null}), json!({}), None);
    check(
        json!({"a": {"b": 1, "c": 2}}),
        json!({"a": {"b": 1, "c": 3}}),
        Some(json!({"a": {"c": 3}})),
    );
    check(
        json!({"a": {"b": 1}}),
        json!({"a": {"c": 1}}),
        Some(json!({"a": {"b": null, "c": 1}})),
    );
    check(
        json!({"a": [1, 2]}),
        json!({"a": [1, 3]}),
        Some(json!({"a": [1, 3]})),
    );
    check(json!({"a": [1]}), json!({}), Some(json!({"a": null})));
    check(
        json!({"a": 1}),
        json!({"a": {"b": 1}}),
        Some(json!({"a": {"b": 1}})),
    );
    check(
        json!({"a": {"b": 1}}),
        json!({"a": 1}),
        Some(json!({"a": 1})),
    );
    check(
        json!(null),
        json!({"a": {"b": 1}}),
        Some(json!({"a": {"b": 1}})),
    );
}

#[test]
fn a_field_that_somebody_else_wrote_is_not_in_the_patch() {
    // Observed before `abort` was written; the patch must not take it back.
    let observed = json!({"abort": false, "phase": "Progressing"});
    let planned = json!({"abort": false, "phase": "Paused"});
    assert_eq!(
        status_patch("7", Some(&observed), &planned).unwrap(),
        Some(json!({"metadata": {"resourceVersion": "7"}, "status": {"phase": "Paused"}}))
    );
    assert_eq!(status_patch("7", Some(&observed), &observed).unwrap(), None);
    assert_eq!(status_patch("7", None, &json!({})).unwrap(), None);
}
