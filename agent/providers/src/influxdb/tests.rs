//! Requests and answers as data. In: a metric, an answer. Out: the request, the value or the words of an error.

use serde_json::json;

use super::*;
use crate::question::SecretPlace;
use crate::trial::{Trial, body, header};

fn trial(query: &str) -> Trial {
    Trial::of(&json!({"influxdb": {"query": query}}))
        .secret("address", "http://influx:8086/")
        .secret("authToken", "t1\n")
        .secret("org", "my org")
}

#[test]
fn request_is_flux() {
    let asked = trial("from(bucket: \"b\")").asks(&[]);
    assert_eq!(asked.method, Method::Post);
    assert_eq!(
        asked.url.as_str(),
        "http://influx:8086/api/v2/query?org=my+org"
    );
    assert_eq!(header(&asked, "Authorization"), "Token t1");
    assert_eq!(header(&asked, "Accept"), "application/csv");
    assert_eq!(asked.timeout, TIMEOUT);
    let body = body(&asked);
    assert_eq!(
        (&body["type"], &body["query"]),
        (&json!("flux"), &json!("from(bucket: \"b\")"))
    );
    assert_eq!(
        body["dialect"]["annotations"],
        json!(["datatype", "group", "default"])
    );
}

#[test]
fn what_is_refused() {
    trial(" ").refuses("query is empty");
    for key in ["address", "authToken", "org"] {
        trial("q")
            .secret(key, "\n")
            .refuses(&format!("Secret \"influxdb\" has no {key}"));
    }
    trial("q").secret("address", "influx").refuses("not usable");
    let other = Trial::of(&json!({"influxdb": {"query": "q", "profile": "other"}}));
    other.refuses("Secret \"other\"");
}

#[test]
fn secrets() {
    let need = |metric: serde_json::Value| secret(&serde_json::from_value(metric).unwrap());
    assert_eq!(need(json!({"profile": ""})).name, "influxdb");
    let need = need(json!({"profile": "mine"}));
    assert_eq!(
        (need.name.as_str(), need.place, need.optional),
        ("mine", SecretPlace::Controller, false)
    );
}

/// A table with one column of a type, as InfluxDB writes it.
fn table(kind: &str, values: &[&str]) -> String {
    let mut text = format!(
        "#datatype,string,long,dateTime:RFC3339,{kind}\r\n#group,false,false,true,false\r\n#default,_result,,,\r\n,result,table,_time,_value\r\n"
    );
    for value in values {
        text.push_str(&format!(",,0,2026-01-31T12:00:00Z,{value}\r\n"));
    }
    text.push_str("\r\n");
    text
}

#[test]
fn answers() {
    let trial = trial("q");
    let with_default = table("double", &["", "2"]).replace("_result,,,", "_result,,,7");
    for (body, expected) in [
        (table("double", &["0.5", "1e3"]), Ok("[0.5,1000]")),
        (table("long", &["-3"]), Ok("[-3]")),
        (table("unsignedLong", &["3"]), Ok("[3]")),
        (
            table("double", &["NaN", "+Inf", "-Inf"]),
            Ok("[NaN,+Inf,-Inf]"),
        ),
        (table("double", &["1", ""]), Ok("[1,null]")),
        (with_default, Ok("[7,2]")),
        (table("boolean", &["true", "false"]), Ok("[true,false]")),
        (
            table("string", &["\"a, \"\"b\"\"\"", ""]),
            Ok(r#"["a, \"b\"",""]"#),
        ),
        (table("duration", &["5s"]), Ok(r#"["5s"]"#)),
        (
            table("double", &["1"]) + &table("long", &["2"]),
            Ok("[1,2]"),
        ),
        (
            table("double", &["1"]) + &table("string", &["x"]),
            Ok(r#"[1,"x"]"#),
        ),
        (table("double", &[]), Err("no records")),
        (String::new(), Err("no records")),
        ("\r\n\r\n".to_owned(), Err("no records")),
        (table("double", &["many"]), Err("\"many\" is no double")),
        (table("boolean", &["yes"]), Err("is no boolean")),
        (
            table("double", &["1"]).replace("_value", "other"),
            Err("no _value"),
        ),
        ("<html>welcome</html>".to_owned(), Err("cannot be read")),
        ("{\"a\":1}".to_owned(), Err("cannot be read")),
    ] {
        trial.check(200, &body, expected);
    }
    let many = table("double", &vec!["1"; 10_001]);
    trial.check(200, &many, Err("more than 10000 records"));
}

#[test]
fn errors() {
    let trial = trial("q");
    let failed = "#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,\"failed to create physical plan\",897\r\n";
    trial.check(200, failed, Err("failed to create physical plan"));
    trial.check(
        200,
        &(table("double", &["1"]) + failed),
        Err("failed to create"),
    );
    trial.check(
        200,
        "error,reference\nno such bucket,1\n",
        Err("no such bucket"),
    );
    for (status, body, part) in [
        (
            400,
            r#"{"code":"invalid","message":"compilation failed"}"#,
            "400: compilation failed",
        ),
        (
            401,
            r#"{"code":"unauthorized","message":"unauthorized access"}"#,
            "credentials: unauthorized access",
        ),
        (
            404,
            r#"{"code":"not found","message":"no such org"}"#,
            "404: no such org",
        ),
        (503, "<html>down</html>", "503: a page of HTML"),
    ] {
        trial.check(status, body, Err(part));
    }
    let bytes = crate::Answer {
        status: 200,
        body: vec![0xff, 0xfe, b','],
    };
    assert!(
        trial
            .reading(&[bytes])
            .unwrap_err()
            .contains("cannot be read")
    );
}
