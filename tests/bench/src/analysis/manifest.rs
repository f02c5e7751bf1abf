//! The AnalysisRuns of the benchmark. In: a number, a server. Out: what a Rollout's background analysis would make: two
//! endless metrics. Which metric of which run is asked for can be told from the path.

use std::time::Duration;

use serde_json::{Value, json};

use crate::manifest::NAMESPACE;

/// Metrics of each run.
pub const METRICS: usize = 2;
/// Stuck runs go on being stuck, whatever errors they had.
const ERRORS_BORNE: i64 = 1_000_000;

/// Seconds that an answer is waited for, the most that may be asked for: who hangs, hangs as long as can be.
const TIMEOUT: i64 = 300;

/// What the server of a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// It answers at once.
    Good,
    /// It takes the request and says nothing.
    Silent,
    /// It answers at a byte a second.
    Dripping,
}

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Silent => "silent",
            Self::Dripping => "dripping",
        }
    }
}

/// Name of a run.
pub fn name(sort: Sort, number: usize) -> String {
    format!("{}-{number:05}", sort.name())
}

/// A run with its metrics.
pub fn run(sort: Sort, number: usize, server: &str, interval: Duration) -> Value {
    let metrics: Vec<Value> = (0..METRICS)
        .map(|metric| metric_of(number, metric, server, interval))
        .collect();
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {"name": name(sort, number), "namespace": NAMESPACE},
        "spec": {
            "args": [{"name": "service", "value": name(sort, number)}],
            "metrics": metrics,
        },
    })
}

fn metric_of(number: usize, metric: usize, server: &str, interval: Duration) -> Value {
    let query = "sum(rate(http_requests_total{service=\"{{args.service}}\",code=~\"5..\"}[1m]))
/ sum(rate(http_requests_total{service=\"{{args.service}}\"}[1m]))";
    json!({
        "name": format!("metric-{metric}"),
        "interval": format!("{}s", interval.as_secs()),
        "successCondition": "len(result) == 0 || result[0] < 0.95",
        "failureLimit": 3,
        "consecutiveErrorLimit": ERRORS_BORNE,
        "provider": {"prometheus": {"address": format!("{server}/{number}/{metric}"), "query": query, "timeout": TIMEOUT}},
    })
}
