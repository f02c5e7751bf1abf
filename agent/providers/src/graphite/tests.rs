//! Requests and answers as data. In: a metric, an answer. Out: the request, the value or the words of an error.

use serde_json::json;

use super::*;
use crate::trial::{Trial, answer};

fn trial(address: &str, query: &str) -> Trial {
    Trial::of(&json!({"graphite": {"address": address, "query": query}}))
}

#[test]
fn request_is_a_render() {
    for (query, expected) in [
        ("target=a.b", "target=a.b&format=json"),
        ("a.{b,c}.*", "target=a.%7Bb%2Cc%7D.*&format=json"),
        (
            "target=summarize(\n  a.b,\n  '5min'\n)&from=-5min",
            "target=summarize%28+a.b%2C+%275min%27+%29&from=-5min&format=json",
        ),
        (
            "target=a&format=png&target=b",
            "target=a&target=b&format=json",
        ),
        ("sumSeries(a)#b", "target=sumSeries%28a%29%23b&format=json"),
    ] {
        let asked = trial("http://graphite/base", query).asks(&[]);
        assert_eq!(asked.method, Method::Get);
        assert_eq!(asked.url.path(), "/base/render");
        assert_eq!(asked.url.query(), Some(expected));
        assert_eq!(asked.timeout, TIMEOUT);
    }
}

#[test]
fn what_is_refused() {
    trial("http://graphite", " \n").refuses("query is empty");
    trial("", "a").refuses("no graphite address");
    trial("graphite:80", "a").refuses("graphite:80");
}

#[test]
fn answers() {
    let trial = trial("http://graphite", "target=a");
    trial.check_strangers();
    for (body, expected) in [
        (
            r#"[{"target":"a","datapoints":[[1.5,1],[2,2]]}]"#,
            Ok("[1.5,2]"),
        ),
        (
            r#"[{"target":"a","datapoints":[[null,1],[2,2],[null,3]]}]"#,
            Ok("[2]"),
        ),
        (
            r#"[{"target":"a","datapoints":[["3.5",1]],"tags":{"a":"b"}}]"#,
            Ok("[3.5]"),
        ),
        (
            r#"[{"target":"a","datapoints":[[1e9999,1],[-1e9999,2]]}]"#,
            Ok("[+Inf,-Inf]"),
        ),
        (r#"[{"target":"a","datapoints":[["NaN",1]]}]"#, Ok("[NaN]")),
        ("[]", Err("no series")),
        (
            r#"[{"target":"a","datapoints":[]}]"#,
            Err("no values in 0 points"),
        ),
        (
            r#"[{"target":"a","datapoints":[[null,1],[null,2]]}]"#,
            Err("no values in 2 points"),
        ),
        (
            r#"[{"target":"a","datapoints":[[true,1]]}]"#,
            Err("no number"),
        ),
        (
            r#"[{"target":"a","datapoints":[[1]]}]"#,
            Err("cannot be read"),
        ),
        (r#"{"error":"bad target"}"#, Err("cannot be read")),
    ] {
        trial.check(200, body, expected);
    }
    let points = vec!["[1,1]"; 10_001].join(",");
    let many = format!(r#"[{{"target":"a","datapoints":[{points}]}}]"#);
    trial.check(200, &many, Err("10001 points"));
}

#[test]
fn the_first_of_several_series_counts() {
    let two = r#"[{"target":"a","datapoints":[[1,1]]},{"target":"b","datapoints":[[2,1]]}]"#;
    let trial = trial("http://graphite", "target=*");
    let reading = trial.reading(&[answer(200, two)]).unwrap();
    assert_eq!(reading.value.text(), "[1]");
    assert_eq!(reading.metadata["series"], "2");
}
