//! What is filled in, what stays, and what is refused.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn args() -> Vec<Argument> {
    serde_json::from_value(json!([
        {"name": "host", "value": "web"},
        {"name": "n", "value": "3"},
        {"name": "quoted", "value": "\", \"evil\": \"1"},
        {"name": "braces", "value": "{{args.host}}"},
        {"name": "draws", "value": "x {{ args.token }}"},
        {"name": "opens", "value": "{{args."}, {"name": "closes", "value": "token}}"},
        {"name": "token", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}},
        {"name": "unused", "valueFrom": {"secretKeyRef": {"name": "api", "key": "other"}}},
        {"name": "open"},
    ]))
    .unwrap()
}

fn metric(fields: Value) -> Metric {
    let mut metric = json!({"name": "m", "provider": {"prometheus": {"query": "q"}}});
    let fields = fields.as_object().unwrap().clone();
    metric.as_object_mut().unwrap().extend(fields);
    serde_json::from_value(metric).unwrap()
}

#[test]
fn texts_are_filled_and_never_become_structure() {
    let web = json!({"web": {
        "url": "http://{{args.host}}/{{ args.host }}?q={{other}}&{{args.unclosed",
        "headers": [{"key": "Authorization", "value": "Bearer {{ args.token }}"}],
        "jsonBody": {"{{args.host}}": ["{{args.quoted}}", {"deep": "{{args.n}}"}, 5, true, null]},
    }});
    let filled = resolved(
        &metric(json!({"count": "{{args.n}}", "provider": web})),
        &args(),
    )
    .unwrap();
    assert_eq!(filled.count.unwrap().as_int(), Ok(3));
    let web = filled.provider.web.unwrap();
    assert_eq!(
        web.url.unwrap(),
        "http://web/web?q={{other}}&{{args.unclosed"
    );
    // Keys are no places; and a Secret's place is left to whoever asks.
    assert_eq!(
        web.json_body.unwrap(),
        json!({"{{args.host}}": ["\", \"evil\": \"1", {"deep": "3"}, 5, true, null]})
    );
    assert_eq!(web.headers[0].value, "Bearer {{ args.token }}");
}

#[test]
fn a_value_is_not_filled_again() {
    let filled = resolved(
        &metric(json!({"successCondition": "{{args.braces}}"})),
        &args(),
    )
    .unwrap();
    assert_eq!(filled.success_condition.as_deref(), Some("{{args.host}}"));
}

#[test]
fn only_the_secrets_that_are_used_are_named() {
    let used = metric(json!({"successCondition": "result == '{{args.token}}'"}));
    let unused = metric(json!({}));
    let names = |found: Vec<(String, SecretKeyRef)>| -> Vec<String> {
        let name = |(name, key): (String, SecretKeyRef)| format!("{name}={}/{}", key.name, key.key);
        found.into_iter().map(name).collect()
    };
    assert_eq!(names(secrets_of(&used, &args())), ["token=api/token"]);
    assert_eq!(
        names(secrets_of(&resolved(&used, &args()).unwrap(), &args())),
        ["token=api/token"]
    );
    assert!(secrets_of(&unused, &args()).is_empty());
    let spec = AnalysisRunSpec {
        metrics: vec![unused, used],
        args: args(),
        ..AnalysisRunSpec::default()
    };
    assert_eq!(names(secrets(&spec)), ["token=api/token"]);
}

#[test]
fn what_cannot_be_filled_is_named_with_its_place() {
    let table = [
        (
            json!({"successCondition": "{{args.open}}"}),
            "uses {{args.open}} in successCondition, which has no value",
        ),
        (
            json!({"successCondition": "{{args.nobody}}"}),
            "uses {{args.nobody}} in successCondition",
        ),
        (
            json!({"provider": {"web": {"headers": [{"key": "a", "value": "{{args.open}}"}]}}}),
            "in provider.web.headers[0].value",
        ),
        (
            json!({"interval": "{{args.token}}"}),
            "in interval, which comes from a Secret",
        ),
        (
            json!({"count": "{{args.token}}"}),
            "in count, which comes from a Secret",
        ),
        (
            json!({"failureLimit": "{{args.token}}"}),
            "in failureLimit, which comes from a Secret",
        ),
        (
            json!({"name": "{{args.token}}"}),
            "in name, which comes from a Secret",
        ),
        (
            json!({"successCondition": "{{args.draws}}"}),
            "names the Secret of {{args.token}}",
        ),
        (
            json!({"provider": {"web": {"url": "http://x/{{args.opens}}{{args.closes}}"}}}),
            "in provider.web.url that join to the Secret of {{args.token}}",
        ),
        (
            json!({"successCondition": "{{args.opens}}token}} {{args.token}}"}),
            "join to the Secret of {{args.token}}",
        ),
    ];
    for (fields, words) in table {
        let error = resolved(&metric(fields.clone()), &args())
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{fields}: {error}");
    }
}
