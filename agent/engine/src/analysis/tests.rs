//! Runs as tables: what was measured, and what came of it.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use agent_api::AnalysisRun;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::prepared::KEPT_MEASUREMENTS;
use super::*;

const START: &str = "2026-01-01T00:00:00Z";

pub(super) fn at(seconds: i64) -> Timestamp {
    START
        .parse::<Timestamp>()
        .unwrap()
        .checked_add(SignedDuration::from_secs(seconds))
        .unwrap()
}

pub(super) fn run(metrics: Value, more: Value) -> AnalysisRun {
    let mut spec = json!({"metrics": metrics});
    spec.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "run", "namespace": "shop"}, "spec": spec,
    }))
    .unwrap()
}

pub(super) fn metric(fields: Value) -> Value {
    let mut metric = json!({"name": "m", "provider": {"prometheus": {"query": "q"}}});
    metric
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    metric
}

/// Lives a run: every time something is to be measured the next letter is its outcome (`s`, `f`, `i`, `e`).
pub(super) fn live(run: AnalysisRun, letters: &str) -> (AnalysisRun, i64, usize) {
    let mut observed = Observed {
        now: at(0),
        clock_set: <_>::default(),
        run,
        finished: Vec::new(),
        in_flight: BTreeMap::new(),
        bad_conditions: BadConditions::new(),
        told: Told::NoOwner,
    };
    let mut letters = letters.chars();
    let mut measured = 0;
    for _ in 0..500 {
        let plan = reconcile(&observed);
        assert_eq!(audit(&observed, &plan), Vec::new(), "{plan:?}");
        observed.run.status = Some(plan.status.clone());
        observed.finished.clear();
        let again = reconcile(&observed);
        assert_eq!(again.status, plan.status, "settles");
        for action in plan.actions {
            let (resolved, begun) = match action {
                Action::Measure { resolved, .. } => (resolved, observed.now),
                Action::Resume {
                    resolved,
                    measurement,
                    ..
                } => (resolved, measurement.started_at.unwrap().timestamp()),
                _ => continue,
            };
            let Some(letter) = letters.next() else {
                continue;
            };
            measured += 1;
            let phase = match letter {
                's' => AnalysisPhase::Successful,
                'f' => AnalysisPhase::Failed,
                'i' => AnalysisPhase::Inconclusive,
                'r' => AnalysisPhase::Running,
                _ => AnalysisPhase::Error,
            };
            observed.finished.push(Finished {
                metric: resolved.name.clone(),
                started_at: begun,
                finished_at: observed.now,
                resume_at: (letter == 'r').then(|| {
                    observed
                        .now
                        .checked_add(SignedDuration::from_secs(7))
                        .unwrap()
                }),
                phase,
                value: Some(letter.to_string()),
                message: (phase == AnalysisPhase::Error).then(|| "no answer".to_owned()),
                metadata: BTreeMap::new(),
            });
        }
        if !observed.finished.is_empty() {
            continue;
        }
        match plan.wake {
            Some(wake) => observed.now = wake,
            None => break,
        }
    }
    let seconds = observed.now.duration_since(at(0)).as_secs();
    (observed.run, seconds, measured)
}

#[test]
fn one_bad_metric_ends_the_others() {
    let metrics = json!([
        {"name": "slow", "count": 5, "interval": "1m", "provider": {"prometheus": {"query": "a"}}},
        {"name": "bad", "provider": {"prometheus": {"query": "b"}}},
    ]);
    let (run, took, _) = live(run(metrics, json!({})), "sf");
    let status = run.status.unwrap();
    assert_eq!((status.phase, took), (Some(AnalysisPhase::Failed), 0));
    assert_eq!(
        status.message.as_deref(),
        Some("Metric \"bad\" assessed Failed due to failed (1) > failureLimit (0)")
    );
    assert_eq!(
        status.metric_results[0].phase,
        Some(AnalysisPhase::Successful)
    );
    let summary = status.run_summary.unwrap();
    assert_eq!(
        (summary.count, summary.successful, summary.failed),
        (Some(2), Some(1), Some(1))
    );
    assert!(status.completed_at.is_some());
}

#[test]
fn a_measurement_under_way_is_given_up() {
    let metrics = json!([
        {"name": "slow", "provider": {"prometheus": {"query": "a"}}},
        {"name": "bad", "provider": {"prometheus": {"query": "b"}}},
    ]);
    let finished = Finished {
        metric: "bad".into(),
        started_at: at(0),
        finished_at: at(1),
        resume_at: None,
        phase: AnalysisPhase::Failed,
        value: None,
        message: None,
        metadata: BTreeMap::new(),
    };
    let run = run(metrics, json!({}));
    let observed = Observed {
        now: at(1),
        clock_set: <_>::default(),
        run,
        finished: vec![finished],
        in_flight: BTreeMap::from([("slow".into(), Some(at(0)))]),
        bad_conditions: BadConditions::new(),
        told: Told::NoOwner,
    };
    let plan = reconcile(&observed);
    assert_eq!(
        plan.actions,
        vec![Action::Cancel {
            metric: "slow".into()
        }]
    );
    assert_eq!(plan.status.phase, Some(AnalysisPhase::Failed));
}

#[test]
fn ended_by_request() {
    let mut observed = Observed {
        now: at(0),
        clock_set: <_>::default(),
        run: run(
            json!([metric(json!({"interval": "10s"}))]),
            json!({"terminate": true}),
        ),
        finished: Vec::new(),
        in_flight: BTreeMap::new(),
        bad_conditions: BadConditions::new(),
        told: Told::NoOwner,
    };
    let plan = reconcile(&observed);
    assert_eq!(
        (plan.status.phase, plan.actions.len()),
        (Some(AnalysisPhase::Successful), 0)
    );
    assert_eq!(plan.reasons[0], Reason::Terminated);
    observed.run.status = Some(plan.status.clone());
    assert_eq!(reconcile(&observed).status, plan.status);
}

fn finished(metric: &str, phase: AnalysisPhase) -> Finished {
    Finished {
        metric: metric.to_owned(),
        started_at: at(0),
        finished_at: at(1),
        resume_at: None,
        phase,
        value: None,
        message: None,
        metadata: BTreeMap::new(),
    }
}

/// A run of these metrics whose first one waits for its provider until second 30.
fn waiting(metrics: Value) -> AnalysisRun {
    let mut observed = Observed {
        now: at(1),
        clock_set: <_>::default(),
        run: run(metrics, json!({})),
        finished: vec![Finished {
            resume_at: Some(at(30)),
            metadata: BTreeMap::from([("id".to_owned(), "7".to_owned())]),
            ..finished("m", AnalysisPhase::Running)
        }],
        in_flight: BTreeMap::new(),
        bad_conditions: BadConditions::new(),
        told: Told::NoOwner,
    };
    observed.run.status = Some(reconcile(&observed).status);
    observed.run
}

#[test]
fn a_measurement_that_needs_time_is_gone_on_with() {
    let run = waiting(json!([metric(json!({"count": 2, "interval": "1m"}))]));
    let result = run.status.clone().unwrap().metric_results.remove(0);
    assert_eq!(
        (result.phase, result.count),
        (Some(AnalysisPhase::Running), None)
    );
    let open = result.measurements[0].clone();
    assert_eq!(open.resume_at.unwrap().timestamp(), at(30));
    let mut observed = Observed {
        now: at(29),
        clock_set: <_>::default(),
        run,
        finished: Vec::new(),
        in_flight: BTreeMap::new(),
        bad_conditions: BadConditions::new(),
        told: Told::NoOwner,
    };
    let plan = reconcile(&observed);
    assert_eq!((plan.actions.len(), plan.wake), (0, Some(at(30))));
    observed.now = at(30);
    let plan = reconcile(&observed);
    let [Action::Resume { measurement, .. }] = plan.actions.as_slice() else {
        panic!("{plan:?}");
    };
    assert_eq!(**measurement, open);
    // Its end takes the place of the one that waited, and it counts once.
    observed.finished = vec![Finished {
        finished_at: at(31),
        value: Some("0.9".to_owned()),
        ..finished("m", AnalysisPhase::Successful)
    }];
    observed.now = at(31);
    let plan = reconcile(&observed);
    let result = &plan.status.metric_results[0];
    assert_eq!((result.measurements.len(), result.count), (1, Some(1)));
    assert_eq!(
        result.measurements[0].started_at.unwrap().timestamp(),
        at(0)
    );
    assert_eq!(plan.wake, Some(at(91)));
}

#[test]
fn the_end_of_a_run_ends_what_waits_for_its_provider() {
    let run = waiting(json!([
        metric(json!({})),
        {"name": "bad", "provider": {"prometheus": {"query": "b"}}},
    ]));
    let mut observed = Observed {
        now: at(2),
        clock_set: <_>::default(),
        run,
        finished: vec![finished("bad", AnalysisPhase::Failed)],
        in_flight: BTreeMap::new(),
        bad_conditions: BadConditions::new(),
        told: Told::NoOwner,
    };
    for asked in [false, true] {
        if asked {
            observed.finished.clear();
            observed.run.spec.terminate = Some(true);
        }
        let plan = reconcile(&observed);
        assert_eq!(audit(&observed, &plan), Vec::new());
        let [Action::Terminate { measurement, .. }] = plan.actions.as_slice() else {
            panic!("{plan:?}");
        };
        assert_eq!(measurement.metadata["id"], "7");
        let result = &plan.status.metric_results[0];
        assert_eq!(result.message.as_deref(), Some("metric terminated"));
        assert_eq!(result.measurements[0].message, result.message);
        // It was not measured, so it is not counted.
        assert_eq!((result.count, result.successful), (None, None));
    }
}

#[test]
fn a_run_taken_over_is_gone_on_with() {
    let status = json!({"phase": "Running", "startedAt": START, "metricResults": [{
        "name": "m", "phase": "Running",
        "measurements": [{"phase": "Running", "startedAt": START, "metadata": {"job-name": "j"}}],
    }]});
    let mut run = run(json!([metric(json!({}))]), json!({}));
    run.status = Some(serde_json::from_value(status).unwrap());
    let observed = Observed {
        now: at(5),
        clock_set: <_>::default(),
        run,
        finished: Vec::new(),
        in_flight: BTreeMap::new(),
        bad_conditions: BadConditions::new(),
        told: Told::NoOwner,
    };
    let plan = reconcile(&observed);
    assert!(
        matches!(plan.actions.as_slice(), [Action::Resume { .. }]),
        "{plan:?}"
    );
    assert_eq!(audit(&observed, &plan), Vec::new());
}

/// Complaint 14 of the contract: what is being measured when the run is to end still counts.
#[test]
fn the_last_answer_is_waited_for() {
    let metrics = json!([
        {"name": "a", "interval": "10s", "provider": {"prometheus": {"query": "a"}}},
        {"name": "dry", "interval": "10s", "provider": {"prometheus": {"query": "b"}}},
    ]);
    let more = json!({"terminate": true, "dryRun": [{"metricName": "dry"}]});
    let mut observed = Observed {
        now: at(0),
        clock_set: <_>::default(),
        run: run(metrics, more),
        finished: Vec::new(),
        in_flight: BTreeMap::from([("a".into(), Some(at(0))), ("dry".into(), Some(at(0)))]),
        bad_conditions: BadConditions::new(),
        told: Told::NoOwner,
    };
    let plan = reconcile(&observed);
    assert_eq!(
        (plan.status.phase, plan.actions.len()),
        (Some(AnalysisPhase::Running), 0)
    );
    assert!(plan.reasons.contains(&Reason::LastAnswer {
        metric: "a".into(),
        until: at(30)
    }));
    observed.finished = vec![finished("a", AnalysisPhase::Failed)];
    observed.in_flight.remove("a");
    let plan = reconcile(&observed);
    assert_eq!(plan.status.phase, Some(AnalysisPhase::Failed));
    assert_eq!(
        plan.actions,
        [Action::Cancel {
            metric: "dry".into()
        }]
    );
}

/// A run of metrics `bad`, which has this verdict at second 1, and `slow`, which was asked then, or waits for its turn.
fn ending(phase: AnalysisPhase, terminate: bool, asked: Option<i64>) -> Observed {
    let metrics = json!([
        {"name": "bad", "interval": "10s", "consecutiveErrorLimit": 0, "provider": {"prometheus": {"query": "a"}}},
        {"name": "slow", "interval": "10s", "provider": {"prometheus": {"query": "b"}}},
    ]);
    let mut observed = Observed {
        now: at(1),
        clock_set: <_>::default(),
        run: run(metrics, json!({"terminate": terminate})),
        finished: vec![finished("bad", phase)],
        in_flight: BTreeMap::from([("slow".into(), asked.map(at))]),
        bad_conditions: BadConditions::new(),
        told: Told::NoOwner,
    };
    let plan = reconcile(&observed);
    observed.run.status = Some(plan.status);
    observed.finished.clear();
    observed
}

/// A metric that hangs must not hold back what another has found, nor the abort that waits for it.
#[test]
fn the_last_answer_is_waited_for_and_not_for_long() {
    for (phase, terminate, asked, until) in [
        (AnalysisPhase::Error, false, 0, 31),
        (AnalysisPhase::Inconclusive, false, 0, 31),
        (AnalysisPhase::Error, true, 0, 31),
        // Nobody knows when the request came.
        (AnalysisPhase::Successful, true, -10, 20),
    ] {
        let mut observed = ending(phase, terminate, Some(asked));
        observed.now = at(until - 1);
        let plan = reconcile(&observed);
        assert_eq!(audit(&observed, &plan), Vec::new());
        assert_eq!(plan.status.phase, Some(AnalysisPhase::Running), "{phase}");
        assert_eq!((plan.actions.len(), plan.wake), (0, Some(at(until))));
        let says = plan.reasons.last().unwrap().to_string();
        assert!(says.contains("at the latest"), "{says}");
        observed.now = at(until);
        let plan = reconcile(&observed);
        assert_eq!(audit(&observed, &plan), Vec::new());
        assert_eq!(plan.status.phase, Some(phase));
        let slow = || "slow".to_owned();
        assert_eq!(plan.actions, [Action::Cancel { metric: slow() }]);
        let given_up = Reason::GivenUp {
            metric: slow(),
            asked: Some(at(asked)),
        };
        assert!(plan.reasons.contains(&given_up), "{:?}", plan.reasons);
    }
}

#[test]
fn what_was_not_asked_when_the_run_is_to_end_is_not_asked_any_more() {
    let mut observed = ending(AnalysisPhase::Error, false, None);
    let status = observed.run.status.clone().unwrap();
    assert_eq!(status.phase, Some(AnalysisPhase::Error), "at once");
    // Beside one that is waited for it is given up all the same.
    observed = ending(AnalysisPhase::Error, false, Some(0));
    let more =
        json!({"name": "more", "interval": "10s", "provider": {"prometheus": {"query": "c"}}});
    let more: agent_api::Metric = serde_json::from_value(more).unwrap();
    observed.run.spec.metrics.push(more);
    observed.in_flight.insert("more".to_owned(), None);
    let plan = reconcile(&observed);
    assert_eq!(audit(&observed, &plan), Vec::new());
    assert_eq!(plan.status.phase, Some(AnalysisPhase::Running));
    let more = "more".to_owned();
    assert_eq!(plan.actions, [Action::Cancel { metric: more }]);
    // Nor may a plan give up what was asked, and go on.
    observed.in_flight.insert("more".to_owned(), Some(at(0)));
    assert_eq!(audit(&observed, &plan).len(), 1);
}

#[test]
fn ten_measurements_are_kept() {
    let letters = "s".repeat(14);
    let (run, _, _) = live(
        run(
            json!([metric(json!({"count": 14, "interval": "1s"}))]),
            json!({}),
        ),
        &letters,
    );
    let result = run.status.unwrap().metric_results.remove(0);
    assert_eq!(
        (result.count, result.measurements.len()),
        (Some(14), KEPT_MEASUREMENTS)
    );
}

#[test]
fn dry_runs_do_not_count() {
    let (run, _, _) = live(
        run(
            json!([metric(json!({}))]),
            json!({"dryRun": [{"metricName": ".*"}]}),
        ),
        "f",
    );
    let status = run.status.unwrap();
    assert_eq!(status.phase, Some(AnalysisPhase::Successful));
    assert_eq!(status.dry_run_summary.unwrap().failed, Some(1));
}

#[test]
fn time_to_live() {
    let run = run(
        json!([metric(json!({}))]),
        json!({"ttlStrategy": {"secondsAfterSuccess": 60}}),
    );
    let (run, _, _) = live(run, "s");
    let mut observed = Observed {
        now: at(59),
        clock_set: <_>::default(),
        run,
        finished: Vec::new(),
        in_flight: BTreeMap::new(),
        bad_conditions: BadConditions::new(),
        told: Told::NoOwner,
    };
    let plan = reconcile(&observed);
    assert_eq!((plan.actions.len(), plan.wake), (0, Some(at(60))));
    observed.now = at(60);
    assert_eq!(reconcile(&observed).actions, vec![Action::DeleteRun]);
}
