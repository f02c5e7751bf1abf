//! Durations, amounts and selectors by table. The documents themselves are in `tests/fixtures/fleetrollouts`.

use std::collections::BTreeMap;

use super::{Expression, Operator, Selector};
use crate::amount::{Amount, Seconds};

#[test]
fn durations() {
    let check = |text: &str, expected: Option<u32>| {
        assert_eq!(
            text.parse::<Seconds>().ok().map(|seconds| seconds.0),
            expected,
            "{text}"
        );
    };
    check("90s", Some(90));
    check("30m", Some(1_800));
    check("1h30m", Some(5_400));
    check("2d", Some(172_800));
    check("0s", Some(0));
    for bad in [
        "",
        "30",
        "m",
        "1m1h",
        "1m1m",
        "1.5h",
        "-1h",
        "1w",
        "1h 30m",
        "4294967295d",
        "5000000000s",
    ] {
        check(bad, None);
    }
}

#[test]
fn durations_print_as_they_are_read() {
    for seconds in [0, 1, 59, 60, 3_661, 86_400, 90_061] {
        let printed = Seconds(seconds).to_string();
        assert_eq!(printed.parse(), Ok(Seconds(seconds)), "{printed}");
    }
}

#[test]
fn amounts() {
    let check = |text: &str, expected: Option<Amount>| {
        assert_eq!(text.parse::<Amount>().ok(), expected, "{text}")
    };
    check("0", Some(Amount::Count(0)));
    check("25%", Some(Amount::Percent(25)));
    check("100%", Some(Amount::Percent(100)));
    for bad in [
        "",
        "%",
        "101%",
        "-1",
        "1.5",
        "+3",
        "ten",
        "300%",
        "99999999999",
    ] {
        check(bad, None);
    }
    assert_eq!(Amount::Percent(50).of(5), 2, "rounded down");
    assert_eq!(Amount::Percent(1).of(5), 0);
    assert_eq!(
        Amount::Percent(1).at_least_one_of(5),
        1,
        "a share never stops everything"
    );
    assert_eq!(Amount::Count(3).of(2), 3);
}

/// Each condition as in `region=eu`, `region!=eu,us`, `region`, `!region`.
fn selector(text: &str) -> Selector {
    let values = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let condition = |text: &str| {
        let (key, operator, values) = match (text.split_once("!="), text.split_once('=')) {
            (Some((key, all)), _) => (key, Operator::NotIn, values(all)),
            (None, Some((key, all))) => (key, Operator::In, values(all)),
            (None, None) => match text.strip_prefix('!') {
                Some(key) => (key, Operator::DoesNotExist, Vec::new()),
                None => (text, Operator::Exists, Vec::new()),
            },
        };
        Expression {
            key: key.to_owned(),
            operator,
            values,
        }
    };
    Selector {
        match_labels: BTreeMap::new(),
        match_expressions: text.split_whitespace().map(condition).collect(),
    }
}

#[test]
fn a_selector_covers_another_one_whatever_clusters_there_are() {
    let check = |wide: &str, narrow: &str, expected: bool| {
        let found = selector(wide).covers(&selector(narrow));
        assert_eq!(found, expected, "{wide:?} over {narrow:?}");
    };
    check("", "", true);
    check("", "region=eu", true);
    check("region=eu", "", false);
    check("region=eu", "region=eu ring=0", true);
    check("region=eu ring=0", "region=eu", false);
    check("region=eu,us", "region=eu", true);
    check("region=eu", "region=eu,us", false);
    check("region=eu", "region=us", false);
    check("region=eu", "ring=eu", false);
    check("region!=eu", "region=us", true);
    check("region!=eu", "region=us,eu", false);
    check("region!=eu", "region!=us,eu", true);
    check("region!=us,eu", "region!=eu", false);
    check("region!=eu", "!region", true);
    check("region!=eu", "region", false);
    check("region", "region=eu", true);
    check("region", "region", true);
    check("region", "region!=eu", false);
    check("region", "!region", false);
    check("!region", "!region", true);
    check("!region", "region!=eu", false);
    let labels = Selector {
        match_labels: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
        match_expressions: Vec::new(),
    };
    assert!(
        labels.covers(&selector("region=eu")),
        "two ways to write one"
    );
    assert!(selector("region=eu").covers(&labels));
}

#[test]
fn selectors() {
    let labels: BTreeMap<String, String> = [("region".to_owned(), "eu".to_owned())].into();
    let selects = |key: &str, operator, values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let expression = Expression {
            key: key.to_owned(),
            operator,
            values,
        };
        Selector {
            match_labels: BTreeMap::new(),
            match_expressions: vec![expression],
        }
        .selects(&labels)
    };
    assert!(selects("region", Operator::In, &["us", "eu"]));
    assert!(!selects("region", Operator::In, &["us"]));
    assert!(
        !selects("ring", Operator::In, &["0"]),
        "a label that is not there is in nothing"
    );
    assert!(
        selects("ring", Operator::NotIn, &["0"]),
        "and not in everything"
    );
    assert!(!selects("region", Operator::NotIn, &["eu"]));
    assert!(selects("region", Operator::Exists, &[]));
    assert!(!selects("region", Operator::DoesNotExist, &[]));
    assert!(
        Selector::default().selects(&labels),
        "an empty one selects everything"
    );
}
