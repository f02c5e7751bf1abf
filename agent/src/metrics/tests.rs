//! Names, labels and types of all metrics against a committed list, and that nothing outlives its object for long.

use std::collections::BTreeSet;

use agent_api::{AnalysisRun, AnalysisTemplate, Decoded, Experiment, Rollout, StatusTime};
use serde_json::json;

use super::*;

/// `type name{labels}`, a line each.
const LIST: &str = include_str!("../../../tests/fixtures/metrics.txt");

fn decoded<K: serde::de::DeserializeOwned>(object: serde_json::Value) -> Decoded<K> {
    serde_json::from_value(object).unwrap()
}

fn caches() -> Caches {
    let caches = Caches::default();
    let rollout: Decoded<Rollout> = decoded(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 3, "strategy": {"canary": {}}},
        "status": {"phase": "Healthy", "replicas": 3, "availableReplicas": 2, "updatedReplicas": 1},
    }));
    let metric = json!({"name": "errors", "provider": {"prometheus": {"query": "up"}}});
    let run: Decoded<AnalysisRun> = decoded(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "web-1", "namespace": "shop"},
        "spec": {"metrics": [metric]},
        "status": {"phase": "Running", "metricResults": [{"name": "errors", "phase": "Failed"}]},
    }));
    let template: Decoded<AnalysisTemplate> = decoded(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate",
        "metadata": {"name": "errors", "namespace": "shop"}, "spec": {"metrics": [metric]},
    }));
    caches.rollouts.show(rollout);
    caches.runs.show(run);
    caches.templates.show(template);
    caches.experiments.show(decoded::<Experiment>(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Experiment",
        "metadata": {"name": "compare", "namespace": "shop"}, "spec": {}, "status": {"phase": "Running"},
    })));
    caches
}

fn web() -> ObjectKey {
    ObjectKey::new("shop", "web")
}

fn everything() -> Metrics {
    let metrics = Metrics::new().unwrap();
    for kind in [Passes::Rollout, Passes::AnalysisRun, Passes::Experiment] {
        metrics.taken(kind, Duration::from_millis(1));
        metrics.reconciled(kind, &web(), Duration::from_millis(3));
        metrics.failed(kind, &web());
        metrics.again(kind);
    }
    metrics.event("Rollout", &web(), EventKind::Warning, "RolloutAborted");
    metrics.event(
        "AnalysisRun",
        &web(),
        EventKind::Warning,
        "AnalysisRunFailed",
    );
    metrics.violation("enough-available");
    metrics
        .requests
        .with_label_values(&["rollouts", "N/A", "N/A", "Get", "200"])
        .inc();
    metrics.update_ended(None, Some(&ended(0, 90, 30)), Timestamp::UNIX_EPOCH);
    metrics
}

fn second(at: i64) -> Option<StatusTime> {
    Some(Timestamp::from_second(at).unwrap().into())
}

fn ended(from: i64, to: i64, paused: i64) -> RolloutDuration {
    RolloutDuration {
        rollout_started_at: second(from),
        finished_at: second(to),
        completion_status: Some("Promoted".to_owned()),
        total_manual_pause_duration_seconds: Some(paused),
        ..RolloutDuration::default()
    }
}

/// Of Rollouts, of AnalysisRuns and of Experiments.
fn load() -> (Load, Load, Load) {
    let runs = Load {
        depth: 1,
        ..Load::default()
    };
    let rollouts = Load {
        depth: 2,
        unfinished: Duration::from_secs(7),
        longest: Duration::from_secs(4),
    };
    (rollouts, runs, Load::default())
}

fn text(metrics: &Metrics, caches: &Caches) -> String {
    String::from_utf8(metrics.scrape(caches, load()).unwrap()).unwrap()
}

/// Type, name and labels of every family.
fn shape(text: &str) -> BTreeSet<String> {
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let of = |line: &str| {
        let (name, kind) = line.split_once(' ').unwrap();
        let suffix = if kind == "histogram" { "_count" } else { "" };
        let start = format!("{name}{suffix}");
        let sample = text
            .lines()
            .find(|line| {
                line.strip_prefix(&start)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
            .unwrap_or_else(|| panic!("no sample of {name}"));
        let labels = sample.split_once('{').map_or("", |(_, rest)| rest);
        let labels: BTreeSet<&str> = labels
            .split("\",")
            .filter_map(|pair| pair.split_once("=\""))
            .map(|(label, _)| label)
            .collect();
        let labels: Vec<&str> = labels.into_iter().collect();
        format!("{kind} {name}{{{}}}", labels.join(","))
    };
    kinds.map(of).collect()
}

#[test]
fn names_labels_and_types_are_those_of_the_list() {
    let found = shape(&text(&everything(), &caches()));
    let listed: BTreeSet<String> = LIST.lines().map(str::to_owned).collect();
    let found_text: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, listed, "found:\n{}", found_text.join("\n"));
}

#[test]
fn values_are_what_happened() {
    let text = text(&everything(), &caches());
    for line in [
        "rollout_reconcile_error{name=\"web\",namespace=\"shop\"} 1",
        "rollout_events_total{name=\"web\",namespace=\"shop\",reason=\"RolloutAborted\",type=\"Warning\"} 1",
        "rollout_reconcile_count{name=\"web\",namespace=\"shop\"} 1",
        "workqueue_depth{name=\"Rollouts\"} 2",
        "workqueue_depth{name=\"AnalysisRuns\"} 1",
        "workqueue_unfinished_work_seconds{name=\"Rollouts\"} 7",
        "workqueue_longest_running_processor_seconds{name=\"Rollouts\"} 4",
        "rollout_info_replicas_unavailable{name=\"web\",namespace=\"shop\"} 1",
        "analysis_run_phase{name=\"web-1\",namespace=\"shop\",phase=\"Running\"} 1",
        "rollout_duration_seconds_sum{status=\"Promoted\"} 90",
        "rollout_progression_duration_seconds_sum{status=\"Promoted\"} 60",
        "rollout_manual_pause_duration_seconds_sum{status=\"Promoted\"} 30",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

/// What is said of one Rollout beside its own numbers.
fn said_of(spec: &serde_json::Value, conditions: &serde_json::Value) -> Vec<String> {
    let caches = Caches::default();
    caches.rollouts.show(decoded::<Rollout>(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": spec,
        "status": {"phase": "Degraded", "conditions": conditions},
    })));
    let text = text(&Metrics::new().unwrap(), &caches);
    let said = text.lines().filter(|line| {
        line.starts_with("rollout_info{")
            || line.starts_with("rollout_phase{") && line.ends_with(" 1")
    });
    said.map(|line| line.replace("name=\"web\",namespace=\"shop\",", ""))
        .collect()
}

/// Alerts compare with these words.
#[test]
fn phases_are_those_of_the_conditions() {
    let canary = json!({"strategy": {"canary": {}}});
    let words = [
        ("NewReplicaSetAvailable", "Completed"),
        ("RolloutPaused", "Paused"),
        ("ReplicaSetCreateError", "Error"),
        ("ProgressDeadlineExceeded", "Timeout"),
        ("RolloutAborted", "Abort"),
        ("ReplicaSetUpdated", "Progressing"),
        ("RolloutResumed", "Progressing"),
    ];
    for (reason, word) in words {
        let conditions = json!([{"type": "Progressing", "status": "False", "reason": reason}]);
        let said = said_of(&canary, &conditions);
        let wanted = [
            format!("rollout_info{{phase=\"{word}\",strategy=\"canary\",traffic_router=\"\"}} 1"),
            format!("rollout_phase{{phase=\"{word}\",strategy=\"canary\"}} 1"),
        ];
        assert_eq!(said, wanted, "{reason}");
    }
    let invalid = json!([
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
        {"type": "InvalidSpec", "status": "True", "reason": "InvalidSpec"},
    ]);
    let said = said_of(&canary, &invalid);
    let wanted = "rollout_info{phase=\"InvalidSpec\",strategy=\"canary\",traffic_router=\"\"} 1";
    assert_eq!(said, [wanted], "none of the six");
    assert!(said_of(&json!({"strategy": {"blueGreen": {}}}), &json!([]))[0].contains("blueGreen"));
    assert!(said_of(&json!({}), &json!([]))[0].contains("strategy=\"none\""));
}

#[test]
fn every_phase_has_a_series_and_routers_their_words() {
    let all = text(&Metrics::new().unwrap(), &caches());
    let series = all
        .lines()
        .filter(|line| line.starts_with("rollout_phase{"));
    assert_eq!(series.count(), 6);
    for (field, word) in [
        ("alb", "ALB"),
        ("ambassador", "Ambassador"),
        ("istio", "Istio"),
        ("nginx", "Nginx"),
        ("smi", "SMI"),
        ("appMesh", "AppMesh"),
        ("traefik", ""),
    ] {
        let routed =
            json!({"strategy": {"canary": {"trafficRouting": {field: {}, "managedRoutes": []}}}});
        let said = said_of(&routed, &json!([]));
        let wanted = format!("traffic_router=\"{word}\"}}");
        assert!(said[0].contains(&wanted), "{said:?}");
    }
}

#[test]
fn a_metric_that_was_not_measured_yet_is_pending() {
    let caches = caches();
    let metric = |name: &str| json!({"name": name, "provider": {"prometheus": {"query": "up"}}});
    caches.runs.show(decoded::<AnalysisRun>(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "web-1", "namespace": "shop"},
        "spec": {"metrics": [metric("errors"), metric("latency")]},
        "status": {"phase": "Running", "metricResults": [{"name": "errors", "phase": "Failed"}]},
    })));
    let text = text(&Metrics::new().unwrap(), &caches);
    for (metric, phase, value) in [
        ("errors", "Failed", 1),
        ("errors", "Pending", 0),
        ("latency", "Pending", 1),
        ("latency", "Failed", 0),
    ] {
        let line = format!(
            "analysis_run_metric_phase{{dry_run=\"false\",metric=\"{metric}\",name=\"web-1\",namespace=\"shop\",phase=\"{phase}\",type=\"Prometheus\"}} {value}"
        );
        assert!(text.contains(&line), "{line} is not in {text}");
    }
}

#[test]
fn an_update_is_counted_once_and_a_superseded_one_as_such() {
    let metrics = Metrics::new().unwrap();
    let now = Timestamp::from_second(100).unwrap();
    let open = RolloutDuration {
        rollout_started_at: second(40),
        manual_pause_started_at: second(90),
        ..RolloutDuration::default()
    };
    let next = RolloutDuration {
        rollout_started_at: second(100),
        ..RolloutDuration::default()
    };
    metrics.update_ended(None, Some(&open), now);
    metrics.update_ended(Some(&open), Some(&open), now);
    metrics.update_ended(Some(&open), Some(&next), now);
    metrics.update_ended(Some(&next), Some(&ended(100, 130, 0)), now);
    metrics.update_ended(Some(&ended(100, 130, 0)), Some(&ended(100, 130, 0)), now);
    let text = text(&metrics, &Caches::default());
    for line in [
        "rollout_duration_seconds_count{status=\"Superseded\"} 1",
        "rollout_progression_duration_seconds_sum{status=\"Superseded\"} 50",
        "rollout_duration_seconds_count{status=\"Promoted\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn what_is_gone_leaves_no_counters() {
    let (metrics, caches) = (everything(), caches());
    let gone = ObjectKey::new("shop", "gone");
    metrics.reconciled(Passes::Rollout, &gone, Duration::ZERO);
    metrics.failed(Passes::Rollout, &gone);
    metrics.event("Rollout", &gone, EventKind::Normal, "RolloutUpdated");
    for key in [&gone, &web(), &gone] {
        metrics.gone(Passes::Rollout, key);
    }
    assert!(
        text(&metrics, &caches).contains("name=\"gone\""),
        "one more scrape"
    );
    metrics.sweep(&caches, Instant::now() + LINGER);
    let text = text(&metrics, &caches);
    assert!(!text.contains("name=\"gone\""), "{text}");
    assert!(
        text.contains("rollout_reconcile_error{name=\"web\""),
        "it is there again"
    );
    assert!(metrics.gone.lock().unwrap().is_empty());
}
