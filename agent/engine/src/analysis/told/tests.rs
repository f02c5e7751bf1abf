//! Runs that have lived their time. In: what their owners know. Out: whether they go, and why not.

use serde_json::{Value, json};

use super::*;
use crate::analysis::tests::{at, live, metric, run};
use crate::analysis::{Action, Observed, Reason, audit, reconcile};

/// When a run that ended at second 0, with no time to live after that, goes; and the reason why not yet.
fn goes(letter: &str, told: Told) -> (Option<i64>, Option<String>) {
    let strategy = json!({"ttlStrategy": {"secondsAfterCompletion": 0}});
    let (run, _, _) = live(run(json!([metric(json!({}))]), strategy), letter);
    let mut observed = Observed {
        now: at(0),
        clock_set: <_>::default(),
        run,
        finished: Vec::new(),
        in_flight: <_>::default(),
        bad_conditions: <_>::default(),
        told,
    };
    let first = reconcile(&observed);
    let why = first
        .reasons
        .iter()
        .find(|reason| matches!(reason, Reason::OwnerFirst { .. }));
    let why = why.map(ToString::to_string);
    for second in 0..=600 {
        observed.now = at(second);
        let plan = reconcile(&observed);
        assert_eq!(audit(&observed, &plan), Vec::new());
        if plan.actions == [Action::DeleteRun] {
            return (Some(second), why);
        }
        assert!(
            plan.wake.is_some_and(|wake| wake > observed.now),
            "{plan:?}"
        );
    }
    (None, why)
}

#[test]
fn a_run_is_not_deleted_before_its_owner_knows_how_it_ended() {
    use AnalysisPhase::{Failed, Running, Successful};
    for (letter, phase) in [("s", Successful), ("f", Failed)] {
        assert_eq!(goes(letter, Told::NoOwner), (Some(0), None));
        assert_eq!(goes(letter, Told::Named(Some(phase))), (Some(0), None));
        for known in [None, Some(Running)] {
            let (gone, why) = goes(letter, Told::Named(known));
            assert_eq!(gone, None, "{known:?}");
            let why = why.unwrap();
            assert!(why.contains("does not know yet"), "{why}");
        }
        let (gone, why) = goes(letter, Told::Unnamed);
        assert_eq!(gone, Some(120), "it may be named still");
        assert!(why.is_some());
    }
}

#[test]
fn a_run_is_found_wherever_its_owner_names_it() {
    let rollout = |status: Value| -> RolloutStatus { serde_json::from_value(status).unwrap() };
    let known = json!({"name": "run", "status": "Failed"});
    for (part, field) in [
        ("canary", "currentStepAnalysisRunStatus"),
        ("canary", "currentBackgroundAnalysisRunStatus"),
        ("blueGreen", "prePromotionAnalysisRunStatus"),
        ("blueGreen", "postPromotionAnalysisRunStatus"),
    ] {
        let status = rollout(json!({part: {field: known}}));
        let failed = Told::Named(Some(AnalysisPhase::Failed));
        assert_eq!(by_rollout(&status, "run"), failed, "{field}");
        assert_eq!(by_rollout(&status, "another"), Told::Unnamed);
    }
    assert_eq!(by_rollout(&rollout(json!({})), "run"), Told::Unnamed);
    let status = json!({"analysisRuns": [
        {"name": "a", "analysisRun": "web-a", "phase": "Running"}, {"name": "b", "analysisRun": "run"},
    ]});
    let status: ExperimentStatus = serde_json::from_value(status).unwrap();
    let running = Told::Named(Some(AnalysisPhase::Running));
    assert_eq!(by_experiment(&status, "web-a"), running);
    assert_eq!(by_experiment(&status, "run"), Told::Named(None));
    assert_eq!(by_experiment(&status, "b"), Told::Unnamed);
}
