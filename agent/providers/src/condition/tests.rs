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

/// What the language's first implementation refuses, each on an answer of one number.
#[test]
fn what_would_pass_without_a_guard() {
    let one = vector(&[0.98]);
    for (condition, part) in [
        // Elements and fields that are not there.
        ("result?.[5] == nil", "out of range"),
        ("(result[5] ?? 1) > 0", "out of range"),
        ("sort(result)[5] != 1", "out of range"),
        ("let r = result; r[5] != 1", "out of range"),
        ("map([[1]], #[4])[0] != 1", "out of range"),
        ("result?.foo == nil", "a list has no field \"foo\""),
        ("result[0]?.foo != 1", "a float has no field"),
        ("result?.foo.bar == nil", "no field"),
        ("all(result, #?.foo == nil)", "no field"),
        ("none(result, .foo == 1)", "failed"),
        // Predicates inside of scopes, pipes and other predicates.
        ("result | all(# + 1)", "not true or false"),
        ("result | none(# + 1)", "not true or false"),
        ("all(result, all([1], # + 1))", "not true or false"),
        ("none(result, {let x = #; x + 1})", "not true or false"),
        ("count(result, # + 1) == 0", "boolean"),
        ("sum(result, # > 1) == 0", "numbers"),
        // Comparisons that never fit.
        ("result[0] != \"x\"", "compares a number"),
        ("'x' != result[0]", "compares a number"),
        ("not (\"x\" in result)", "compares a number"),
        ("'x' not in result", "compares a number"),
        ("!(result[0] == true)", "compares a number"),
        ("all(result, # != 'x')", "compares a number"),
        ("!(result[0] contains 'x')", "failed"),
        ("!(1 in nil)", "failed"),
        ("!(nil > 1)", "failed"),
        // Maps whose values would be computed: the language takes the first word of them.
        ("{limit: 5 * 2}.limit == 5", "its map gives limit"),
        (
            "{\"limit\": result[0]}.limit > 0",
            "its map gives \"limit\"",
        ),
        ("{a: -1}.a < 0", "its map gives a"),
        ("{a: 1, b: [1]}.a == 1", "its map gives b"),
        ("{a: {b: 1}}.a.b == 1", "its map gives a"),
        ("all(result, {{a: # + 1}.a > 0})", "its map gives a"),
        // Functions of numbers.
        ("!isNaN(result)", "takes a number"),
        ("!isInf(result)", "takes a number"),
        ("!isNaN('x')", "takes a number"),
        ("!isNaN(nil)", "takes a number"),
        // What is neither true nor false.
        ("!result", "failed"),
        ("not result[0]", "failed"),
        ("!nil", "failed"),
        ("false or result[0]", "failed"),
        ("true and result[0]", "failed"),
        ("if result[0] > 1 {true} else {5}", "gives an int"),
    ] {
        check(condition, &one, None, part);
    }
}

#[test]
fn what_a_guard_lets_pass() {
    let one = vector(&[0.98]);
    for condition in [
        "result?.[0] > 0.5",
        "{}?.a?.b == nil",
        "{\"a\": 1}?.a == 1",
        "{a: 1, 'b': 'x', c: nil,}.a == 1",
        "if true {result[0] > 0} else {false}",
        "nil?.a == nil",
        "result[0] not in [1]",
        "'x' in ['x']",
        "string(result[0]) == '0.98'",
        "map(result, string(#)) == ['0.98']",
        "all([{\"v\": 1}], .v == 1)",
        "all([{\"v\": '1'}], {asFloat(.v) >= 1})",
        "all(result, # > 0.5) and !isNaN(result[0])",
        "!isNaN(1)",
    ] {
        check(condition, &one, Some(true), "");
    }
    let json = MetricValue::Json(
        serde_json::json!({"ok": true, "n": 2, "none": null, "list": [{"v": "3"}]}),
    );
    for condition in [
        "result.ok && result.n >= 2",
        "result.n == 2",
        "result.ok == true",
        "result.n != 'x'",
        "result?.missing == nil",
        "result.missing?.deeper == nil",
        "default(result.none, 1) == 1",
        "all(result.list, {asInt(.v) == 3})",
        "isNil(result.none)",
    ] {
        check(condition, &json, Some(true), "");
    }
    let text = MetricValue::Text("up".to_owned());
    check("result == 'up'", &text, Some(true), "");
    check(
        "result != 'down' and len(result) == 2",
        &text,
        Some(true),
        "",
    );
    // The same words judge numbers and text by different rules.
    check("result == 'up'", &one, None, "compares a number");
    check("result == 'up'", &text, Some(true), "");
}

/// Every access repeats what it is an access of, once more for each one behind it.
#[test]
fn accesses_behind_each_other_are_bounded() {
    let mut json = serde_json::json!(7);
    for _ in 0..6 {
        json = serde_json::json!([json]);
    }
    let deep = MetricValue::Json(json);
    let chain = |access: &str, count: usize| format!("result{} == 7", access.repeat(count));
    check(&chain("[0]", 6), &deep, Some(true), "");
    for access in ["[0]", "?.a", "?.[0]", "[0]?.a"] {
        check(&chain(access, 300), &deep, None, "elements of elements");
    }
    // The deepest that is let pass fits on a thread's stack.
    let most = (1..100)
        .rev()
        .find(|count| guard::guard(&chain("[0]", *count), false).is_ok());
    let inner = chain("[0]", most.unwrap());
    let text = format!("{}{inner}{}", "(".repeat(31), ")".repeat(31));
    check(&text, &deep, None, "failed");
}

/// The time is that of the evaluation, though the condition is kept compiled.
#[test]
fn compiled_conditions_know_the_time() {
    for second in [1_000, 2_000] {
        let now = Timestamp::from_second(second).unwrap();
        let condition = "all([1], {now() > 1500})";
        let found = evaluate(condition, &vector(&[]), now).unwrap();
        assert_eq!(found, second > 1_500);
    }
}

#[test]
fn more_conditions_than_are_kept() {
    let now = Timestamp::UNIX_EPOCH;
    for number in 0..MAX_COMPILED + 10 {
        let condition = format!("result[0] < {number}.5");
        assert!(evaluate(&condition, &vector(&[0.0]), now).unwrap());
    }
    let kept = COMPILED.lock().unwrap().len();
    assert!(kept <= MAX_COMPILED, "{kept}");
}

/// Two thousand evaluations a second are ten thousand runs of two metrics at ten seconds. Printed and not asserted: it is
/// the machine's number.
#[test]
fn speed() {
    let (value, now) = (vector(&[0.98]), Timestamp::UNIX_EPOCH);
    let begun = std::time::Instant::now();
    for _ in 0..2000 {
        let condition = "result[0] >= 0.95 && len(result) == 1";
        assert!(evaluate(condition, &value, now).unwrap());
    }
    println!("2000 evaluations take {:?}", begun.elapsed());
}
