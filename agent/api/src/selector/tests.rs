//! Label selectors.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::LabelSelector;

fn check(selector: Value, matches: bool, query: &str) {
    let labels: BTreeMap<String, String> = [("app", "shop"), ("tier", "web")]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    let read: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
    assert_eq!(read.matches(&labels), matches, "{selector}");
    assert_eq!(read.to_query(), query, "{selector}");
}

#[test]
fn matches_as_kubernetes_does() {
    check(json!({}), true, "");
    check(json!({"matchLabels": {"app": "shop"}}), true, "app=shop");
    check(
        json!({"matchLabels": {"app": "shop", "tier": "db"}}),
        false,
        "app=shop,tier=db",
    );
    let one = |operator: &str, key: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    check(one("In", "tier", &["web", "db"]), true, "tier in (web,db)");
    check(one("In", "tier", &["db"]), false, "tier in (db)");
    check(one("NotIn", "tier", &["db"]), true, "tier notin (db)");
    check(one("NotIn", "tier", &["web"]), false, "tier notin (web)");
    check(
        one("NotIn", "missing", &["web"]),
        true,
        "missing notin (web)",
    );
    check(one("Exists", "app", &[]), true, "app");
    check(one("Exists", "missing", &[]), false, "missing");
    check(one("DoesNotExist", "missing", &[]), true, "!missing");
    check(one("DoesNotExist", "app", &[]), false, "!app");
}

#[test]
fn an_unknown_operator_is_refused() {
    let selector = json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
    assert!(serde_json::from_value::<LabelSelector>(selector).is_err());
}
