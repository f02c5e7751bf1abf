//! Conversations as data. In: a metric, answers, what an earlier leg left. Out: requests, times, verdicts, errors.

use agent_api::AnalysisPhase;
use serde_json::{Value, json};

use super::*;
use crate::trial::{Trial, answer, body};

fn metric() -> Value {
    json!({
        "address": "http://kayenta:8090/",
        "application": "shop",
        "canaryConfigName": "mine",
        "metricsAccountName": "m",
        "configurationAccountName": "c",
        "storageAccountName": "s",
        "threshold": {"pass": 90, "marginal": 75},
        "scopes": [{
            "name": "default",
            "controlScope": {"scope": "hash=a", "region": "eu", "step": 30, "start": "2026-01-31T11:00:00Z", "end": "2026-01-31T11:30:00Z"},
            "experimentScope": {"scope": "hash=b", "step": 30, "start": "2026-01-31T11:00:00Z", "end": "2026-01-31T11:30:00Z"},
        }],
    })
}

fn trial(metric: &Value) -> Trial {
    Trial::of(&json!({"kayenta": metric}))
}

fn with(pointer: &str, value: Value) -> Trial {
    let mut metric = metric();
    *metric.pointer_mut(pointer).unwrap() = value;
    trial(&metric)
}

fn configs() -> Answer {
    answer(
        200,
        r#"[{"id":"c0","name":"other"},{"id":"c1","name":"mine","applications":["shop"]}]"#,
    )
}

use crate::transport::Answer;

#[test]
fn first_leg_looks_up_and_begins() {
    let trial = trial(&metric());
    let lookup = trial.asks(&[]);
    assert_eq!(lookup.method, Method::Get);
    assert_eq!(
        lookup.url.as_str(),
        "http://kayenta:8090/canaryConfig?application=shop&configurationAccountName=c"
    );
    let begin = trial.asks(&[configs()]);
    assert_eq!((begin.method, begin.timeout), (Method::Post, TIMEOUT));
    assert_eq!(
        begin.url.as_str(),
        "http://kayenta:8090/canary/c1?application=shop&metricsAccountName=m&configurationAccountName=c&storageAccountName=s"
    );
    assert_eq!(
        body(&begin),
        json!({
            "scopes": {"default": {
                "controlScope": {"scope": "hash=a", "region": "eu", "step": 30, "start": "2026-01-31T11:00:00Z", "end": "2026-01-31T11:30:00Z"},
                "experimentScope": {"scope": "hash=b", "step": 30, "start": "2026-01-31T11:00:00Z", "end": "2026-01-31T11:30:00Z"},
            }},
            "thresholds": {"pass": 90, "marginal": 75},
        })
    );
    let begun = answer(200, r#"{"canaryExecutionId":"e1"}"#);
    let Next::Later { resume_at, memory } = trial.next(&[configs(), begun]).unwrap() else {
        panic!("no later leg");
    };
    assert_eq!(resume_at.to_string(), "2026-01-31T12:00:15Z");
    assert_eq!(memory["canaryExecutionId"], "e1");
}

#[test]
fn first_leg_fails() {
    let trial = trial(&metric());
    for (answers, part) in [
        (vec![answer(404, "no")], "404: no"),
        (vec![answer(200, "<html>")], "cannot be read"),
        (
            vec![answer(200, "[]")],
            "no configuration \"mine\" of the application \"shop\"",
        ),
        (
            vec![answer(200, r#"[{"name":"mine"}]"#)],
            "no configuration",
        ),
        (
            vec![configs(), answer(400, r#"{"message":"bad scope"}"#)],
            "400: bad scope",
        ),
        (
            vec![configs(), answer(200, "{}")],
            "names no canaryExecutionId",
        ),
        (
            vec![configs(), answer(200, r#"{"canaryExecutionId":""}"#)],
            "names no canaryExecutionId",
        ),
    ] {
        let refused = trial.next(&answers).unwrap_err();
        assert!(refused.contains(part), "{refused}, not {part}");
    }
}

#[test]
fn times_that_are_not_written_are_implied() {
    let mut given = metric();
    for side in ["controlScope", "experimentScope"] {
        given["scopes"][0][side] = json!({"scope": "x"});
    }
    let mut trial = trial(&given);
    let refused = trial.next(&[configs()]).unwrap_err();
    assert!(refused.contains("scopes[0] has no start"), "{refused}");
    trial.metric.interval = Some("1h".to_owned());
    let side = &body(&trial.asks(&[configs()]))["scopes"]["default"]["controlScope"];
    assert_eq!(
        *side,
        json!({"scope": "x", "step": 60, "start": "2026-01-31T11:00:00Z", "end": "2026-01-31T12:00:00Z"})
    );
    trial.metric.provider.kayenta.as_mut().unwrap().lookback = Some(true);
    let refused = trial.next(&[configs()]).unwrap_err();
    assert!(refused.contains("lookback"), "{refused}");
}

#[test]
fn what_is_refused() {
    for (pointer, value, part) in [
        ("/address", json!(""), "no kayenta address"),
        ("/application", json!(" "), "no application"),
        ("/canaryConfigName", json!(null), "no canaryConfigName"),
        ("/threshold", json!(null), "no threshold"),
        ("/threshold/pass", json!(null), "no threshold.pass"),
        ("/threshold/marginal", json!(95), "pass 90 and marginal 95"),
        ("/threshold/pass", json!(101), "pass 101"),
    ] {
        with(pointer, value).refuses(part);
    }
    for (pointer, value, part) in [
        ("/scopes", json!([]), "no scopes"),
        ("/scopes/0/name", json!(""), "scopes[0] has no name"),
        ("/scopes/0/controlScope", json!(null), "no controlScope"),
        ("/scopes/0/experimentScope/scope", json!(""), "no scope"),
        (
            "/scopes/0/experimentScope/start",
            json!("soon"),
            "start \"soon\" is no time",
        ),
        (
            "/scopes/0/controlScope/end",
            json!("later"),
            "end \"later\" is no time",
        ),
    ] {
        let refused = with(pointer, value).next(&[configs()]).unwrap_err();
        assert!(refused.contains(part), "{refused}, not {part}");
    }
    let mut twice = metric();
    let scope = twice["scopes"][0].clone();
    twice["scopes"].as_array_mut().unwrap().push(scope);
    let refused = trial(&twice).next(&[configs()]).unwrap_err();
    assert!(refused.contains("a second time"), "{refused}");
}

fn later_leg() -> Trial {
    trial(&metric())
        .remembers("canaryExecutionId", "e 1")
        .remembers("canaryBegunAt", "2026-01-31T11:55:00Z")
}

#[test]
fn later_legs_ask_until_it_is_complete() {
    let trial = later_leg();
    assert_eq!(
        trial.asks(&[]).url.as_str(),
        "http://kayenta:8090/canary/e%201"
    );
    let running = answer(200, r#"{"complete":false,"status":"running"}"#);
    let Next::Later { resume_at, memory } = trial.next(std::slice::from_ref(&running)).unwrap()
    else {
        panic!("no later leg");
    };
    assert_eq!(resume_at.to_string(), "2026-01-31T12:00:15Z");
    assert_eq!(memory, trial.memory);
    let late = trial.at("2026-02-01T12:00:00Z", &[running]).unwrap_err();
    assert!(late.contains("not ended within 24 hours"), "{late}");
}

#[test]
fn the_score_is_the_verdict() {
    let trial = later_leg();
    for (score, text, phase) in [
        ("100", "100", AnalysisPhase::Successful),
        ("90", "90", AnalysisPhase::Successful),
        ("89.9", "89", AnalysisPhase::Inconclusive),
        ("75.5", "75", AnalysisPhase::Inconclusive),
        ("74.9", "74", AnalysisPhase::Failed),
        ("0", "0", AnalysisPhase::Failed),
    ] {
        let body = format!(
            r#"{{"complete":true,"result":{{"judgeResult":{{"score":{{"score":{score}}}}}}}}}"#
        );
        let reading = trial.reading(&[answer(200, &body)]).unwrap();
        assert_eq!(reading.value.text(), text);
        assert_eq!(reading.phase, Some(phase), "{score}");
        assert_eq!(reading.metadata["canaryExecutionId"], "e 1");
    }
}

#[test]
fn later_legs_fail() {
    let trial = later_leg();
    trial.check_strangers();
    for (body, part) in [
        ("{}", "does not say whether it is complete"),
        (
            r#"{"complete":true,"status":"terminal"}"#,
            "without a score: terminal",
        ),
        (
            r#"{"complete":true,"status":"terminal","exception":{"message":"no data"}}"#,
            "without a score: no data",
        ),
        (r#"{"complete":true}"#, "it says no more"),
        (
            r#"{"complete":true,"result":{"judgeResult":{"score":{"score":"NaN"}}}}"#,
            "without a score",
        ),
        (r#"{"complete":"yes"}"#, "cannot be read"),
    ] {
        trial.check(200, body, Err(part));
    }
}
