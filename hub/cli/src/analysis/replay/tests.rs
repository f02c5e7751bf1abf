//! Made histories. In: values a minute apart and a metric. Out: how each run started there would have ended.

use serde_json::{Value, json};

use super::*;

/// `1 2 x 3`: one value a minute, x for none; several series by commas.
fn history(text: &str) -> History {
    let points: Vec<&str> = text.split(' ').collect();
    let grid = Grid {
        from: 0,
        step: 60,
        count: points.len(),
    };
    let mut history = History::new(grid, false);
    for (index, point) in points.iter().enumerate() {
        for number in point.split(',').filter(|number| *number != "x") {
            let body = json!({"status": "success", "data": {"resultType": "matrix", "result": [
                {"metric": {}, "values": [[grid.time(index), number]]}
            ]}});
            history.add(200, body.to_string().as_bytes()).unwrap();
        }
    }
    history
}

fn replay(metrics: &Value, values: &[(&str, &str)], run_for: i64) -> Vec<Ending> {
    let spec: AnalysisRunSpec = serde_json::from_value(metrics.clone()).unwrap();
    let histories: Vec<(&str, History)> = values
        .iter()
        .map(|(name, text)| (*name, history(text)))
        .collect();
    let grid = histories[0].1.grid;
    let of = |name: &str| {
        spec.metrics
            .iter()
            .find(|metric| metric.name == name)
            .unwrap()
    };
    let judged = histories
        .iter()
        .map(|(name, history)| ((*name).to_owned(), judged(of(name), history)))
        .collect();
    let replay = Replay {
        spec: &spec,
        judged: &judged,
        grid,
        run_for: SignedDuration::from_secs(run_for),
    };
    replay.all()
}

/// One letter a start: what the run ended as.
fn check(metric: &Value, values: &str, expected: &str) {
    let mut metric = metric.clone();
    metric["name"] = json!("m");
    metric["provider"] = json!({"prometheus": {"query": "up"}});
    let endings = replay(&json!({"metrics": [metric]}), &[("m", values)], 240);
    let letters: String = endings
        .iter()
        .map(|ending| ending.phase.as_str().chars().next().unwrap())
        .collect();
    assert_eq!(letters, expected, "{metric} on {values}");
}

#[test]
fn table() {
    let thrice = json!({"interval": "1m", "count": 3, "successCondition": "result[0] < 5"});
    // The last two starts have no third measurement.
    check(&thrice, "1 1 1 1 1", "SSS");
    check(&thrice, "1 1 9 1 1 1", "FFFS");
    check(&thrice, "1 1", "");
    let mut borne = thrice.clone();
    borne["failureLimit"] = json!(1);
    check(&borne, "1 9 1 9 1 1", "SFSS");
    let mut both = thrice.clone();
    both["failureCondition"] = json!("result[0] > 7");
    check(&both, "1 1 6 1 1", "III");
    check(&both, "1 1 8 1 1", "FFF");
    // Errors are tried again after 10 s, and five in a row are too many: the next minute comes too late.
    check(&thrice, "1 x 1 1 1 1", "EESS");
    check(
        &json!({"successCondition": "result[0] < 5"}),
        "1 9 1",
        "SFS",
    );
    check(
        &json!({"failureCondition": "result[0] > 5"}),
        "NaN 9 1",
        "SFS",
    );
    check(
        &json!({"successCondition": "all(result, # < 5)"}),
        "1,2 1,9",
        "SF",
    );
    let strict = json!({"failureCondition": "result[0] > 5", "strict": true});
    check(&strict, "NaN 9 x", "IFI");
    let delayed = json!({"initialDelay": "2m", "successCondition": "result[0] < 5"});
    check(&delayed, "9 1 1 9 1", "SFS");
    // Without a count the run ends after four minutes.
    let endless = json!({"interval": "1m", "successCondition": "result[0] < 5"});
    check(&endless, "1 1 1 1 1 1 9", "SSSFFFF");
}

#[test]
fn what_decided_is_said() {
    let metrics = json!({"metrics": [
        {"name": "a", "interval": "1m", "count": 2, "successCondition": "result[0] < 5", "provider": {"prometheus": {"query": "x"}}},
        {"name": "b", "interval": "1m", "count": 2, "failureCondition": "result[0] > 5", "provider": {"prometheus": {"query": "x"}}},
        {"name": "c", "interval": "1m", "count": 2, "successCondition": "false", "provider": {"prometheus": {"query": "x"}}}
    ], "dryRun": [{"metricName": "c"}]});
    let values = [
        ("a", "1 1 1 9 9 1 1 1"),
        ("b", "1 1 1 1 1 1 7 1"),
        ("c", "1 1 1 1 1 1 1 1"),
    ];
    let endings = replay(&metrics, &values, 240);
    let found = episodes(&endings);
    let lines: Vec<String> = found
        .iter()
        .map(|one| {
            let first = &one.first;
            let judged = first.judged.clone().unwrap();
            format!(
                "{}x {} {} to {} by {} at {}: {} {}",
                one.runs,
                first.phase,
                first.started.as_second(),
                one.last_started.as_second(),
                first.metric,
                first.at.as_second(),
                judged.value,
                judged.because
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "3x Failed 120 to 240 by a at 180: [9] successCondition is false: result[0] < 5",
            "2x Failed 300 to 360 by b at 360: [7] failureCondition is true: result[0] > 5",
        ]
    );
    assert_eq!(endings.len(), 7);
}

#[test]
fn starts_are_bounded() {
    let grid = Grid::new(0, 100_000, 1);
    assert!(grid.count.div_ceil(every(grid)) <= MAX_RUNS);
    assert_eq!(every(Grid::new(0, 100, 1)), 1);
}
