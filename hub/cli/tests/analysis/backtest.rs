//! `groundswell analysis backtest` against a real Prometheus with a made history. In: command lines. Out: reports.

use std::process::Command;

use serde_json::{Value, json};

use super::{TEMPLATE, World, world};

/// As the report writes it.
fn time(second: i64) -> String {
    let moment = format!("@{second}");
    let output = Command::new("date")
        .args(["-u", "-d", &moment, "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

struct History {
    world: World,
    until: String,
}

impl History {
    fn new() -> Self {
        let world = world();
        let template = TEMPLATE
            .replace("interval: 1s", "interval: 1m")
            .replace("last_over_time(", "")
            .replace("[2d])", "");
        world.write("t.yaml", &template);
        let until = time(world.until);
        Self { world, until }
    }

    /// The minute of the history, as the report writes it.
    fn minute(&self, minute: i64) -> String {
        time(self.world.until - 86_400 + minute * 60)
    }

    fn text(&self, more: &[&str]) -> String {
        let args = ["backtest", "-f", "t.yaml", "--until", &self.until];
        let (code, out, err) = self.world.run(&[&args, more].concat());
        assert_eq!(code, 0, "{err}");
        out
    }

    fn json(&self, more: &[&str]) -> Value {
        let args = ["--arg", "service=web", "--since", "24h", "-o", "json"];
        serde_json::from_str(&self.text(&[&args, more].concat())).unwrap()
    }
}

#[test]
fn a_history_shows_when_a_template_would_have_failed() {
    let history = History::new();
    let found = history.json(&[]);
    // A run fails when one of its three measurements is in the bad half hour; 0.4 is neither good nor bad.
    let verdicts = json!({"Successful": 1400, "Failed": 32, "Inconclusive": 7, "Error": 0});
    assert_eq!(found["verdicts"], verdicts);
    let first = &found["episodes"][0];
    assert_eq!(first["firstStarted"], history.minute(598));
    assert_eq!(
        (&first["at"], &first["value"]),
        (&history.minute(600).into(), &"[0.9]".into())
    );
    let metric = &found["metrics"][0];
    assert_eq!(
        (&metric["quantiles"]["p50"], &metric["quantiles"]["max"]),
        (&0.2.into(), &0.9.into())
    );
    assert_eq!(metric["judged"]["Failed"], 30);
    let text = history.text(&["--arg", "service=web", "--since", "1d"]);
    assert!(text.contains("Failed        32 "), "{text}");
    assert!(
        text.contains("failureCondition is true: result[0] > 0.5"),
        "{text}"
    );
}

#[test]
fn other_thresholds_and_long_histories_are_tried() {
    let history = History::new();
    let found = history.json(&[
        "--success-condition",
        "latency=result[0] < 0.5",
        "--failure-condition",
        "",
    ]);
    let verdicts = json!({"Successful": 1407, "Failed": 32, "Inconclusive": 0, "Error": 0});
    assert_eq!(found["verdicts"], verdicts);
    // More points than one answer may have.
    let found = history.json(&["--step", "5s"]);
    let metric = &found["metrics"][0];
    assert_eq!(
        (&metric["moments"], &metric["empty"]),
        (&17_281.into(), &0.into())
    );
    let args = ["backtest", "-f", "t.yaml", "--until", &history.until];
    let nowhere = ["--arg", "service=nowhere", "--since", "1h"];
    let (code, text, _) = history.world.run(&[&args[..], &nowhere].concat());
    assert_eq!(code, 4, "nothing was found out");
    assert!(text.contains("has no value anywhere"), "{text}");
}
