//! Conditions as data. In: a condition and a value. Out: its answer, or the words of its error.

use super::*;

fn vector(numbers: &[f64]) -> MetricValue {
    MetricValue::Vector(numbers.to_vec())
}

/// `Some` is the answer, `None` an error that contains the text.
fn check(condition: &str, value: &MetricValue, answer: Option<bool>, part: &str) {
    let now = Timestamp::from_second(1_000).unwrap();
    match (evaluate(condition, value, now), answer) {
        (Ok(found), Some(answer)) => assert_eq!(found, answer, "{condition} on {value:?}"),
        (Err(error), None) => {
            let text = error.to_string();
            assert!(
                text.contains(part),
                "{condition} on {value:?}: {text:?} lacks {part:?}"
            );
            assert!(!text.contains('\n'), "{text}");
        }
        (found, answer) => panic!("{condition} on {value:?}: {found:?}, not {answer:?}"),
    }
}

#[test]
fn what_analyses_write() {
    let one = vector(&[0.98]);
    check("result[0] >= 0.95", &one, Some(true), "");
    check("result[0] >= 0.99", &one, Some(false), "");
    check("len(result) == 0 || result[0] > 0.9", &one, Some(true), "");
    check(
        "len(result) == 0 || result[0] > 0.9",
        &vector(&[]),
        Some(true),
        "",
    );
    check("all(result, # < 1)", &one, Some(true), "");
    check("all(result, {# < 0.5})", &one, Some(false), "");
    check(
        "any(result, # > 0.5) and not (result[0] > 1)",
        &one,
        Some(true),
        "",
    );
    check("result >= 0.5", &MetricValue::Scalar(0.5), Some(true), "");
    check(
        "asInt(result) == 3",
        &MetricValue::Scalar(3.9),
        Some(true),
        "",
    );
    check("asFloat('1.5') == 1.5", &one, Some(true), "");
    check(
        "isNaN(result[0]) || result[0] > 1",
        &vector(&[f64::NAN]),
        Some(true),
        "",
    );
    check(
        "isInf(result[0])",
        &vector(&[f64::NEG_INFINITY]),
        Some(true),
        "",
    );
    check("isNil(default(nil, nil))", &one, Some(true), "");
    check("default(nil, 3) == 3", &one, Some(true), "");
}

#[test]
fn more_of_the_language() {
    let one = vector(&[0.98]);
    check(
        "max(result) < 3 && sum(result) > 2",
        &vector(&[1.0, 2.0]),
        Some(true),
        "",
    );
    check(
        "len(filter(result, # > 1)) == 1",
        &vector(&[1.0, 2.0]),
        Some(true),
        "",
    );
    check("result[-1] == 2", &vector(&[1.0, 2.0]), Some(true), "");
    check(
        "len(result[0:1]) == 1",
        &vector(&[1.0, 2.0]),
        Some(true),
        "",
    );
    check(
        "map(result, # * 2)[1] == 4",
        &vector(&[1.0, 2.0]),
        Some(true),
        "",
    );
    check(
        "result[result[0] > 0 ? 0 : 1] == 1",
        &vector(&[1.0, 2.0]),
        Some(true),
        "",
    );
    check("let limit = 2; result[0] < limit", &one, Some(true), "");
    check("\"a]b\" matches 'a.b' // result[", &one, Some(true), "");
    check("now() == 1000", &one, Some(true), "");
    check("0 in 0..3", &one, Some(true), "");
    check("{a: 1}.a == 1", &one, Some(true), "");
}

#[test]
fn a_missing_element_never_passes() {
    let empty = vector(&[]);
    for condition in [
        "result[0] >= 0.95",
        "result[0] != 5",
        "!(result[0] == 5)",
        "not (result[0] in [1])",
        "default(result[0], 1) == 1",
        "(result)[0] != 5",
        "map(result, #)[0] != 5",
        "filter(result, # > 1)[0] != 5",
        "[result[0]][0] != 5",
        "result[len(result)] != 5",
    ] {
        check(condition, &empty, None, "out of range");
    }
}

#[test]
fn a_predicate_without_bool_never_passes() {
    for name in [
        "all",
        "any",
        "none",
        "one",
        "filter",
        "find",
        "findIndex",
        "findLast",
        "findLastIndex",
    ] {
        check(
            &format!("{name}(result, # + 1) == nil"),
            &vector(&[1.0]),
            None,
            "not true or false",
        );
    }
    check("all(result)", &vector(&[1.0]), None, "predicate");
}

#[test]
fn what_is_refused() {
    let one = vector(&[0.98]);
    check("true || resutl[0] > 1", &one, None, "resutl");
    check("true || fetch(result)", &one, None, "fetch");
    check("$env != nil", &one, None, "$env");
    check("result", &one, None, "gives a list");
    check("result[0]", &one, None, "gives a float");
    check("result[0] >", &one, None, "cannot be used");
    check("", &one, None, "cannot be used");
    check("result[0] > 'a'", &one, None, "failed");
    check("result > 1", &one, None, "failed");
    check("result.a == 1", &one, None, "failed");
    check("len(0..999999999) > 1", &one, None, "range");
    check("result[0] > (1", &one, None, "not closed");
    check("result[0] > 'a", &one, None, "not closed");
    check(&"(".repeat(4000), &one, None, "deeper");
    check(&"1 ? ".repeat(1000), &one, None, "deeper");
    check(&" ".repeat(5000), &one, None, "longer");
    check("asInt('x') == 1", &one, None, "asInt");
}
