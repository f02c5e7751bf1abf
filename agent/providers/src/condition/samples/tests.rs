//! Comparing conditions as data. In: a condition. Out: its answer, or the words of its error.

use jiff::Timestamp;

use crate::condition::{check as readable, evaluate};
use crate::value::MetricValue;

/// `Ok` is the answer, `Err` a part of the error.
fn check(condition: &str, expected: Result<bool, &str>) {
    let value = MetricValue::Vector(vec![10.0, 11.0, 12.0, 13.0, 14.0, 15.0]);
    match (evaluate(condition, &value, Timestamp::UNIX_EPOCH), expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{condition}"),
        (Err(error), Err(part)) => {
            let text = error.to_string();
            assert!(text.contains(part), "{condition}: {text:?} lacks {part:?}");
        }
        (found, expected) => panic!("{condition}: {found:?}, not {expected:?}"),
    }
}

#[test]
fn what_a_comparison_says() {
    for condition in [
        "mannWhitney([1, 2, 3, 4, 5], result, 'greater').p < 0.01",
        "mannWhitney(result, [1, 2, 3, 4, 5], 'less').p < 0.01",
        "mannWhitney(result, [1, 2, 3, 4, 5], 'less').effect == 1",
        "mannWhitney(result, [1, 2, 3, 4, 5], 'less').delta == -1",
        "mannWhitney(result, result, 'two-sided').p == 1",
        "mannWhitney(result, result, 'two-sided').probability == 0.5",
        "mannWhitney(result, result, 'two-sided').u == 18",
        "let t = mannWhitney([1, 2, 3, 4, 5], result, \"greater\"); t.p < 0.01 and t.effect >= 0.33",
        "let t = mannWhitney([1, 2, 3, 4, 5], result, 'greater'); t['p'] < 0.01 and get(t, 'p') < 0.01",
        "let m = [1, 2, 3, 4, 5]; mannWhitney(m, result, 'greater').p < 0.01 and {a: 1}.a == 1",
        "all([[1, 2, 3, 4, 5]], mannWhitney(#, result, 'greater').p < 0.01)",
        "isWorse([1, 2, 3, 4, 5], result, 'greater')",
        "not isWorse([1, 2, 3, 4, 5], result, 'less')",
        "not isWorse(result, result, 'greater')",
        "!isWorse([1, 2, 3, 4, 5], result, {direction: 'greater', alpha: 0.001})",
        "isWorse([1, 2, 3, 4, 12], result, {direction: 'greater', alpha: 0.05, effect: 0.5})",
        "!isWorse([1, 2, 3, 4, 12], result, {direction: 'greater', alpha: 0.05, effect: 1})",
        "isWorse(result[0:5], map(result, # + 10), 'greater')",
        // Both samples in one list, as a range query gives them.
        "let all = concat([1, 2, 3, 4, 5], result); len(all) == 11 and isWorse(all[0:5], all[5:11], 'greater')",
        // Too few points are no error where the condition looks first.
        "len(result) < 20 or mannWhitney(result[0:1], result, 'greater').p < 0.01",
    ] {
        check(condition, Ok(true));
        readable(condition).unwrap();
    }
}

#[test]
fn what_cannot_be_compared_never_passes() {
    let few = "at least 5 points";
    for (condition, part) in [
        ("!isWorse([], result, 'greater')", few),
        ("!isWorse(result, [1, 2, 3, 4], 'greater')", few),
        ("mannWhitney([1], result, 'greater').p > 0.01", few),
        (
            "!isWorse(result, [1, 2, 3, 4, 0.0 / 0.0], 'greater')",
            "NaN",
        ),
        ("!isWorse(result[0], result, 'greater')", "not a float"),
        ("!isWorse(nil, result, 'greater')", "baseline, not nil"),
        ("!isWorse(result, [1, 2, 3, 4, 'x'], 'greater')", "a string"),
        ("!isWorse(result, result)", "not 2 values"),
        ("!isWorse(result, result, 'more')", "\"more\""),
        ("!isWorse(result, result, 1)", "an int"),
        ("!isWorse(result, result, {alpha: 0.1})", "direction"),
        (
            "!isWorse(result, result, {direction: 'less', p: 0.1})",
            "\"p\"",
        ),
        (
            "!isWorse(result, result, {direction: 'less', alpha: 5})",
            "0 to 1",
        ),
        (
            "mannWhitney(result, result, {direction: 'less'}).p > 0",
            "a map",
        ),
        ("mannWhitney(result, result, 'less')", "gives a map"),
    ] {
        check(condition, Err(part));
    }
    for condition in [
        "mannWhitney(result, result, 'less').pvalue != 0",
        "mannWhitney(result, result, 'less')?.q != 0",
        "let t = mannWhitney(result, result, 'less'); t.typo != 0",
        "let t = mannWhitney(result, result, 'less'); let u = t; u?.typo != 0",
        "let t = mannWhitney(result, result, 'less'); t[\"typo\"] != 0",
        "let t = mannWhitney(result, result, 'less'); get(t, 'typo') != 0",
        "(mannWhitney(result, result, 'less')).typo != 0",
        "[mannWhitney(result, result, 'less')][0].typo != 0",
        "all([mannWhitney(result, result, 'less')], .typo != 0)",
        "all([mannWhitney(result, result, 'less')], {#.typo != 0})",
        "manWhitney(result, result, 'less').p > 0",
        "isWorse(baseline, result, 'less')",
    ] {
        check(condition, Err("cannot be used"));
        assert!(readable(condition).is_err(), "{condition}");
    }
}
