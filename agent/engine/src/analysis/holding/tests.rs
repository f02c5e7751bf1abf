//! What waits and what does not, as a table; and whole runs, whose outcome does not depend on it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use agent_api::AnalysisRun;
use serde_json::{Value, json};

use super::super::{Action, Finished, reconcile};
use super::*;

/// Enough for statuses to be held back as long as possible.
const MANY: usize = 1_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + seconds).unwrap()
}

fn measured(seconds: i64) -> Value {
    json!({"phase": "Successful", "value": "1", "startedAt": at(seconds).to_string(), "finishedAt": at(seconds).to_string()})
}

fn run(status: Option<Value>) -> AnalysisRun {
    let metric = |name: &str| json!({"name": name, "interval": "10s", "failureLimit": 1, "provider": {"prometheus": {"address": "http://a", "query": "q"}}});
    let mut run = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "run", "namespace": "shop"},
        "spec": {"metrics": [metric("a"), metric("b")]},
    });
    if let Some(status) = status {
        run["status"] = status;
    }
    serde_json::from_value(run).unwrap()
}

/// Both metrics were measured once, at 0 s.
fn known() -> Value {
    let result = |name: &str| json!({"name": name, "phase": "Running", "count": 1, "successful": 1, "consecutiveSuccess": 1, "measurements": [measured(0)]});
    json!({
        "phase": "Running", "startedAt": at(0).to_string(),
        "runSummary": {"count": 2}, "metricResults": [result("a"), result("b")],
    })
}

fn finished(metric: &str, seconds: i64, phase: AnalysisPhase) -> Finished {
    Finished {
        metric: metric.into(),
        started_at: at(seconds),
        finished_at: at(seconds),
        resume_at: (phase == AnalysisPhase::Running).then(|| at(seconds + 5)),
        phase,
        value: Some("1".into()),
        message: None,
        metadata: BTreeMap::new(),
    }
}

fn found(observed: &Observed, runs: usize) -> Writing {
    let stored = observed.run.status.as_ref();
    writing(stored, observed, &reconcile(observed), runs)
}

#[test]
fn only_measurements_wait() {
    use AnalysisPhase::{Failed, Running, Successful};
    let good = || vec![finished("a", 10, Successful)];
    let later = |seconds: i64| Writing::Later(at(seconds));
    let check = |status: Option<Value>, finished: Vec<Finished>, busy: &[&str], now: i64, runs| {
        let observed = Observed {
            now: at(now),
            clock_set: <_>::default(),
            run: run(status),
            finished,
            in_flight: busy
                .iter()
                .map(|name| ((*name).to_owned(), Some(at(now))))
                .collect(),
            bad_conditions: <_>::default(),
            told: crate::analysis::Told::NoOwner,
        };
        found(&observed, runs)
    };
    // Few runs: as soon as all that was begun together is there.
    assert_eq!(check(Some(known()), good(), &[], 10, 100), Writing::Soon);
    assert_eq!(check(Some(known()), good(), &["b"], 10, 100), later(11));
    assert_eq!(check(Some(known()), good(), &["b"], 11, 100), Writing::Soon);
    // Many: by their number, but not for ever.
    assert_eq!(check(Some(known()), good(), &[], 10, 10_000), later(100));
    assert_eq!(check(Some(known()), good(), &[], 10, MANY), later(120));
    assert_eq!(check(Some(known()), good(), &[], 120, MANY), Writing::Soon);
    assert_eq!(
        check(Some(known()), good(), &[], -5, MANY),
        Writing::Soon,
        "a clock that went back"
    );
    // What is first said of a run or of a metric.
    assert_eq!(check(None, vec![], &[], 0, MANY), Writing::Now);
    let mut begun = known();
    begun["metricResults"] = json!([]);
    assert_eq!(check(Some(begun), good(), &[], 10, MANY), later(120));
    // A verdict, on a metric and on the run.
    let failed = |count| vec![finished("a", 10, Failed); count];
    assert_eq!(check(Some(known()), failed(2), &[], 10, MANY), Writing::Now);
    // What is bad without being a verdict yet, for the limit counts it; an error is asked again.
    assert_eq!(check(Some(known()), failed(1), &[], 10, MANY), Writing::Now);
    let error = vec![finished("a", 10, AnalysisPhase::Error)];
    assert_eq!(check(Some(known()), error, &[], 10, MANY), later(120));
    let mut ended = known();
    ended["metricResults"][1]["phase"] = json!("Successful");
    assert_eq!(
        check(Some(ended), good(), &[], 10, MANY),
        later(120),
        "an old verdict is no news"
    );
    // What a provider is found again by.
    let open = vec![finished("a", 10, Running)];
    assert_eq!(check(Some(known()), open, &[], 10, MANY), Writing::Now);
    // What is in memory alone is as old as its measurements, however often it was looked at.
    assert_eq!(
        counted(
            &reconcile(&Observed {
                now: at(10),
                clock_set: <_>::default(),
                run: run(Some(known())),
                finished: good(),
                in_flight: BTreeMap::new(),
                bad_conditions: <_>::default(),
                told: crate::analysis::Told::NoOwner,
            })
            .status
        ),
        3
    );
}

/// Lives a run of two metrics by letters; returns its last status and how often it was written.
fn live(letters: [&[AnalysisPhase]; 2], runs: usize) -> (AnalysisRunStatus, usize) {
    let mut observed = Observed {
        now: at(0),
        clock_set: <_>::default(),
        run: run(None),
        finished: Vec::new(),
        in_flight: BTreeMap::new(),
        bad_conditions: <_>::default(),
        told: crate::analysis::Told::NoOwner,
    };
    let (mut next, mut writes, mut stored) = ([0_usize; 2], 0, None);
    loop {
        let plan = reconcile(&observed);
        let written = stored.as_ref() == Some(&plan.status);
        let later = writing(stored.as_ref(), &observed, &plan, runs);
        if !written && !matches!(later, Writing::Later(_)) {
            stored = Some(plan.status.clone());
            writes += 1;
        }
        observed.run.status = Some(plan.status.clone());
        observed.finished.clear();
        if plan.status.phase.is_some_and(AnalysisPhase::is_completed) {
            assert_eq!(stored.as_ref(), Some(&plan.status), "a verdict is written");
            return (plan.status, writes);
        }
        let mut measured = false;
        for action in plan.actions {
            let Action::Measure { resolved, .. } = action else {
                continue;
            };
            let which = usize::from(resolved.name == "b");
            // After the last letter it fails until it is over.
            let phase = letters[which].get(next[which]);
            next[which] += 1;
            let seconds = observed.now.as_second() - at(0).as_second();
            let phase = phase.copied().unwrap_or(AnalysisPhase::Failed);
            observed
                .finished
                .push(finished(&resolved.name, seconds, phase));
            measured = true;
        }
        if !measured {
            observed.now = plan.wake.unwrap();
        }
    }
}

/// Every sequence of four outcomes against a few others: what comes out in the end is the same, in fewer writes.
#[test]
fn what_is_held_back_changes_no_outcome() {
    use AnalysisPhase::{Error, Failed, Inconclusive, Successful};
    let phases = [Successful, Failed, Inconclusive, Error];
    let mut spared = 0;
    for number in 0..256_usize {
        let first: Vec<AnalysisPhase> = (0..4)
            .map(|place| phases[number >> (2 * place) & 3])
            .collect();
        for second in [
            [Successful; 4],
            [Error; 4],
            [Successful, Failed, Successful, Error],
        ] {
            let letters = [first.as_slice(), second.as_slice()];
            let (at_once, writes) = live(letters, 0);
            let (held, fewer) = live(letters, MANY);
            assert_eq!(at_once, held, "{letters:?}");
            assert!(
                fewer <= writes,
                "{letters:?}: {fewer} writes, else {writes}"
            );
            spared += writes - fewer;
        }
    }
    assert!(spared > 500, "{spared}");
}
