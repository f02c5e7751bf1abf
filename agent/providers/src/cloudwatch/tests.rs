//! Requests and answers as data. In: a metric, answers. Out: the request, the value or the words of an error.

use serde_json::{Value, json};

use super::*;
use crate::trial::{Trial, answer, body, header};

fn trial(metric: &Value) -> Trial {
    Trial::of(&json!({"cloudWatch": metric})).variable("AWS_REGION", "eu-central-1")
}

fn errors() -> Value {
    json!({
        "id": "errors",
        "metricStat": {
            "metric": {"namespace": "app", "metricName": "errors", "dimensions": [{"name": "d", "value": "v"}]},
            "period": "300",
            "stat": "Sum",
            "unit": "Count",
        },
        "returnData": false,
    })
}

fn rate() -> Trial {
    trial(&json!({"interval": "15m", "metricDataQueries": [
        {"id": "rate", "expression": "errors / requests", "label": "r", "period": 60},
        errors(),
    ]}))
}

#[test]
fn request_is_json_to_be_signed() {
    let asked = rate().asks(&[]);
    assert_eq!(asked.method, Method::Post);
    assert_eq!(
        asked.url.as_str(),
        "https://monitoring.eu-central-1.amazonaws.com/"
    );
    assert_eq!(header(&asked, "Content-Type"), "application/x-amz-json-1.0");
    assert_eq!(
        header(&asked, "X-Amz-Target"),
        "GraniteServiceVersion20100801.GetMetricData"
    );
    let Some(Credentials::SigV4(signer)) = &asked.authentication else {
        panic!("{asked:?}");
    };
    assert_eq!(signer.service, "monitoring");
    assert_eq!(signer.region.as_deref(), Some("eu-central-1"));
    assert_eq!(
        body(&asked),
        json!({
            "StartTime": 1_769_859_900,
            "EndTime": 1_769_860_800,
            "MetricDataQueries": [
                {"Id": "rate", "Expression": "errors / requests", "Label": "r", "Period": 60},
                {
                    "Id": "errors",
                    "MetricStat": {
                        "Metric": {"Namespace": "app", "MetricName": "errors", "Dimensions": [{"Name": "d", "Value": "v"}]},
                        "Period": 300,
                        "Stat": "Sum",
                        "Unit": "Count",
                    },
                    "ReturnData": false,
                },
            ],
        })
    );
}

#[test]
fn addresses() {
    for (name, value, url) in [
        (
            "AWS_REGION",
            "cn-north-1",
            "https://monitoring.cn-north-1.amazonaws.com.cn/",
        ),
        (
            "AWS_ENDPOINT_URL",
            "http://local:4566",
            "http://local:4566/",
        ),
        ("AWS_ENDPOINT_URL_CLOUDWATCH", "http://cw/x", "http://cw/x"),
        (
            "AWS_DEFAULT_REGION",
            "us-east-1",
            "https://monitoring.eu-central-1.amazonaws.com/",
        ),
    ] {
        assert_eq!(rate().variable(name, value).asks(&[]).url.as_str(), url);
    }
    let both = rate()
        .variable("AWS_ENDPOINT_URL", "http://a")
        .variable("AWS_ENDPOINT_URL_CLOUDWATCH", "http://b");
    assert_eq!(both.asks(&[]).url.as_str(), "http://b/");
    rate()
        .variable("AWS_REGION", "evil.example/")
        .refuses("AWS region");
    rate().variable("AWS_REGION", "").refuses("no AWS region");
    rate()
        .variable("AWS_ENDPOINT_URL", "local")
        .refuses("local");
}

#[test]
fn what_is_refused() {
    let one = |query: Value| trial(&json!({"metricDataQueries": [query]}));
    trial(&json!({})).refuses("0 metricDataQueries");
    trial(&json!({"metricDataQueries": vec![json!({"id": "a", "expression": "b"}); 501]}))
        .refuses("501");
    trial(&json!({"metricDataQueries": [errors()], "interval": "x"})).refuses("interval");
    one(json!({"expression": "a"})).refuses("metricDataQueries[0] has no id");
    one(json!({"id": "a"})).refuses("neither expression nor metricStat");
    let mut both = errors();
    both["expression"] = "a".into();
    one(both).refuses("both expression and metricStat");
    for (field, value, part) in [
        ("metric", json!(null), "without a metric"),
        ("stat", json!(""), "without a stat"),
        ("period", json!(null), "without a period"),
        ("period", json!("often"), "no whole number"),
        ("period", json!(0), "no whole number"),
    ] {
        let mut query = errors();
        query["metricStat"][field] = value;
        one(query).refuses(part);
    }
}

#[test]
fn answers() {
    let trial = rate();
    trial.check_strangers();
    for (body, expected) in [
        (
            r#"{"MetricDataResults":[{"Id":"rate","Label":"r","StatusCode":"Complete","Timestamps":[2,1],"Values":[0.5,0.25]}],"Messages":[]}"#,
            Ok(
                r#"[{"Id":"rate","Label":"r","StatusCode":"Complete","Timestamps":[2,1],"Values":[0.5,0.25]}]"#,
            ),
        ),
        (
            r#"{"MetricDataResults":[{"Id":"rate","Values":[]}]}"#,
            Ok(r#"[{"Id":"rate","Values":[]}]"#),
        ),
        (r#"{"MetricDataResults":[]}"#, Ok("[]")),
        (
            r#"{"MetricDataResults":[{"Id":"rate","StatusCode":"InternalError"}]}"#,
            Err("InternalError"),
        ),
        (
            r#"{"MetricDataResults":[{"Id":"rate","StatusCode":"Forbidden"}]}"#,
            Err("for \"rate\": Forbidden"),
        ),
        (
            r#"{"MetricDataResults":[{"Id":"rate","StatusCode":"PartialData","Values":[1]}]}"#,
            Err("PartialData"),
        ),
        (r#"{"MetricDataResults":[1]}"#, Err("cannot be read")),
    ] {
        trial.check(200, body, expected);
    }
    let refused = r#"{"__type":"com.amazonaws.cloudwatch#InvalidParameterValueException","message":"bad Id"}"#;
    trial.check(400, refused, Err("400: bad Id"));
    let told = r#"{"MetricDataResults":[],"Messages":[{"Code":"ArithmeticError","Value":"1/0"}]}"#;
    let reading = trial.reading(&[answer(200, told)]).unwrap();
    assert!(reading.metadata["messages"].contains("ArithmeticError"));
}

#[test]
fn pages_are_followed_and_joined() {
    let trial = rate();
    let page = |value: u32, status: &str, token: &str| {
        let body = json!({
            "MetricDataResults": [{"Id": "rate", "Label": "r", "StatusCode": status, "Values": [value], "Timestamps": [value]}],
            "NextToken": token,
        });
        answer(200, &body.to_string())
    };
    let first = page(1, "PartialData", "t1");
    let second = trial.asks(std::slice::from_ref(&first));
    assert_eq!(body(&second)["NextToken"], "t1");
    let reading = trial
        .reading(&[first.clone(), page(2, "Complete", "")])
        .unwrap();
    assert_eq!(
        reading.value.text(),
        r#"[{"Id":"rate","Label":"r","StatusCode":"Complete","Timestamps":[1,2],"Values":[1,2]}]"#
    );
    let endless = vec![first; MAX_PAGES];
    assert!(
        trial
            .next(&endless)
            .unwrap_err()
            .contains("more than 3 pages")
    );
}
