//! Requests and answers as data. In: a metric, an answer. Out: the request, the value or the words of an error.

use serde_json::json;

use super::*;
use crate::trial::{Trial, answer, header};

fn trial(address: &str) -> Trial {
    Trial::of(&json!({"wavefront": {"address": address, "query": "ts(\"a.b\", c=1 and d=2)"}}))
        .secret("example.wavefront.com", "t1\n")
        .secret("local", "t2")
}

#[test]
fn request_is_a_chart() {
    let asked = trial("example.wavefront.com").asks(&[]);
    assert_eq!(asked.method, Method::Get);
    assert_eq!(
        asked.url.as_str(),
        "https://example.wavefront.com/api/v2/chart/api?q=ts%28%22a.b%22%2C+c%3D1+and+d%3D2%29&s=1769860800000&e=1769860800000&g=s&p=1&i=true"
    );
    assert_eq!(header(&asked, "Authorization"), "Bearer t1");
    assert_eq!(asked.timeout, TIMEOUT);
    let asked = trial("http://local:8080/base/").asks(&[]);
    assert!(
        asked
            .url
            .as_str()
            .starts_with("http://local:8080/base/api/v2/chart/api?")
    );
    assert_eq!(header(&asked, "Authorization"), "Bearer t2");
    let asked = trial("local:8080").secret("local:8080", "t3").asks(&[]);
    assert_eq!(header(&asked, "Authorization"), "Bearer t3");
}

#[test]
fn what_is_refused() {
    trial("").refuses("no wavefront address");
    trial("other.wavefront.com").refuses("no token for \"other.wavefront.com\"");
    trial("ftp://local").refuses("not usable");
    trial("local").secret("local", " ").refuses("no token");
    Trial::of(&json!({"wavefront": {"address": "local"}})).refuses("query is empty");
    assert_eq!(secret().name, "wavefront-api-tokens");
}

#[test]
fn answers() {
    let trial = trial("local");
    trial.check_strangers();
    for (body, expected) in [
        (
            r#"{"timeseries":[{"label":"a","data":[[1769860790,0.5]]}]}"#,
            Ok("0.5"),
        ),
        (
            r#"{"timeseries":[{"data":[[1769860700,1],[1769860805,2],[1769860900,3]]}]}"#,
            Ok("2"),
        ),
        (
            r#"{"timeseries":[{"data":[[1769860800,1]]},{"data":[[1769860800,2]]}]}"#,
            Ok("[1,2]"),
        ),
        (
            r#"{"timeseries":[{"data":[[1769860800,1]]},{"data":[]}]}"#,
            Ok("[1]"),
        ),
        (
            r#"{"timeseries":[{"data":[[1769860800,"NaN"]]}]}"#,
            Ok("NaN"),
        ),
        (r#"{"timeseries":[{"data":[[1e300,1]]}]}"#, Ok("1")),
        (r#"{"timeseries":[{"data":[]}]}"#, Err("no points")),
        (r#"{"timeseries":[{"label":"a"}]}"#, Err("no points")),
        (r#"{"timeseries":[]}"#, Err("no points")),
        ("{}", Err("no points")),
        (
            r#"{"timeseries":[{"data":[[1769860800,null]]}]}"#,
            Err("no number"),
        ),
        (
            r#"{"timeseries":[{"data":[[1769860800]]}]}"#,
            Err("cannot be read"),
        ),
        (
            r#"{"errorType":"QuerySyntaxError","errorMessage":"bad ts"}"#,
            Err("bad ts"),
        ),
        (
            r#"{"errorType":"QuerySyntaxError"}"#,
            Err("QuerySyntaxError"),
        ),
    ] {
        trial.check(200, body, expected);
    }
    let series = vec![r#"{"data":[[1,1]]}"#; 10_001].join(",");
    trial.check(
        200,
        &format!(r#"{{"timeseries":[{series}]}}"#),
        Err("10001 series"),
    );
}

#[test]
fn metadata_tells_times_and_warnings() {
    let of = |body: &str| {
        trial("local")
            .reading(&[answer(200, body)])
            .unwrap()
            .metadata
    };
    let one = of(r#"{"timeseries":[{"data":[[1769860790,1]]}],"warnings":"slow"}"#);
    assert_eq!(
        one.into_iter().collect::<Vec<_>>(),
        [
            ("drift", "-10"),
            ("timestamps", "1769860790"),
            ("warnings", "slow")
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    let two = of(
        r#"{"timeseries":[{"data":[[1769860790,1]]},{"data":[[1769860801,1]]}],"warnings":null}"#,
    );
    assert_eq!(two["drift"], "[-10,1]");
    assert_eq!(two["timestamps"], "[1769860790,1769860801]");
    assert!(!two.contains_key("warnings"));
}
