//! The wall clock is set while something lasts its time (S12). In: the fixtures of Rollouts and Experiments, runs that are
//! lived through, and how far the clock was set meanwhile. Out: every plan is what it would have been, but for the times that
//! it names, and the audits say the same.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use agent_api::{AnalysisPhase, AnalysisRun, RolloutDuration, StatusTime};
use agent_engine::analysis::{self, Finished, Told};
use agent_engine::clock::{ClockSet, of_experiment, of_gate, of_rollout, of_run};
use agent_engine::{GateRecord, HubContact, Observed, audit, experiment, reconcile};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tests_golden::{agent_fixture, experiment_fixture};

fn cases(folder: &str) -> BTreeMap<String, String> {
    let folder = format!("{}/../fixtures/{folder}", env!("CARGO_MANIFEST_DIR"));
    let all = std::fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path.join("observed.yaml"));
        (name, text.unwrap())
    });
    all.collect()
}

/// All of it was stored before the clock was set.
fn all_set(times: impl IntoIterator<Item = StatusTime>, by: SignedDuration) -> ClockSet {
    ClockSet::since(times.into_iter().map(|time| (time, by)))
}

/// The text with `TIME` in the place of every time; what is left is what is decided.
fn timeless(text: &str) -> String {
    let ends = |one: char| one.is_whitespace() || ",;=\"()[]{}".contains(one);
    let words = text.split_inclusive(ends).map(|word| {
        let bare = word.trim_end_matches(ends);
        let rest = word.strip_prefix(bare).unwrap_or_default();
        match bare.parse::<Timestamp>() {
            Ok(_) => format!("TIME{rest}"),
            Err(_) => word.to_owned(),
        }
    });
    words.collect()
}

/// What the agent keeps in memory alone is tried again a little sooner after a clock that was set forward, and not put off
/// by one that was set back (`agent::refusals`); here it is of the clock as it is set. So is since when the hub is silent
/// (`agent::fleet`), and a start-by with the hub's time: it is no length but a moment, by the hub's clock.
fn by_the_same_clock(observed: &mut Observed, by: SignedDuration) {
    let refused = observed.refused.iter_mut().map(|one| &mut one.at);
    let set = observed.refused_set.iter_mut().map(|one| &mut one.at);
    let claims = observed.refused_claims.iter_mut().map(|one| &mut one.at);
    let written = observed.status_written.iter_mut();
    for at in refused.chain(set).chain(claims).chain(written) {
        *at = at.checked_add(by).unwrap();
    }
    if let Some(hub) = &mut observed.gate.hub_time {
        hub.now = hub.now.checked_add(by).unwrap();
    }
    if let HubContact::Lost { since } = &mut observed.gate.hub {
        *since = since.checked_add(by).unwrap();
    }
    if let GateRecord::Present(gate) = &mut observed.gate.record
        && let Some(start_by) = gate
            .spec
            .permit
            .as_mut()
            .and_then(|one| one.start_by.as_mut())
    {
        *start_by = start_by.saturating_add(by).into();
    }
}

#[test]
fn a_rollout_goes_on_alike_whatever_the_clock_is_set_to() {
    let mut other = BTreeMap::new();
    for (name, text) in cases("agent") {
        let plain = agent_fixture::observed(&text).unwrap();
        // A person has named the moment, not a length.
        if plain.rollout.spec.restart_at.is_some() {
            continue;
        }
        let told = |observed: &Observed| {
            let plan = reconcile(observed);
            assert_eq!(audit(observed, &plan), [], "{name}: {plan}");
            let wait = plan.wake.map(|wake| wake.duration_since(observed.now));
            timeless(&format!("{plan}\n{wait:?}"))
        };
        let wanted = told(&plain);
        for hours in [-1, 1] {
            let by = SignedDuration::from_hours(hours);
            let status = plain.rollout.status.as_ref();
            let mut set = Observed {
                now: plain.now.checked_add(by).unwrap(),
                clock_set: all_set(
                    of_rollout(status, &plain.replica_sets).chain(of_gate(plain.gate.gate())),
                    by,
                ),
                ..plain.clone()
            };
            by_the_same_clock(&mut set, by);
            let told = told(&set);
            if told != wanted {
                other.insert(name.clone(), format!("{hours} h:\n{wanted}\n---\n{told}"));
            }
        }
    }
    assert!(other.is_empty(), "{other:#?}");
}

#[test]
fn an_experiment_goes_on_alike_whatever_the_clock_is_set_to() {
    for (name, text) in cases("experiment") {
        let plain = experiment_fixture::observed(&text).unwrap();
        let told = |observed: &experiment::Observed| {
            let plan = experiment::reconcile(observed);
            assert_eq!(experiment::audit(observed, &plan), [], "{name}: {plan}");
            let wait = plan.wake.map(|wake| wake.duration_since(observed.now));
            timeless(&format!("{plan}\n{wait:?}"))
        };
        let wanted = told(&plain);
        for hours in [-1, 1] {
            let by = SignedDuration::from_hours(hours);
            let mut set = plain.clone();
            set.now = plain.now.checked_add(by).unwrap();
            set.clock_set = all_set(of_experiment(plain.experiment.status.as_ref()), by);
            for refused in set.refused.values_mut() {
                refused.until = refused.until.checked_add(by).unwrap();
            }
            assert_eq!(told(&set), wanted, "{name}, {hours} h");
        }
    }
}

/// The audits do not let anything end for a clock that was set forward.
#[test]
fn what_ends_for_a_clock_that_was_set_is_found() {
    let by = SignedDuration::from_hours(1);
    let agent = cases("agent");
    for name in ["pause_over", "bg_seconds_over"] {
        let mut observed = agent_fixture::observed(&agent[name]).unwrap();
        let plan = reconcile(&observed);
        let status = observed.rollout.status.as_ref();
        observed.clock_set = all_set(of_rollout(status, &observed.replica_sets), by);
        assert_ne!(audit(&observed, &plan), [], "{name}");
    }
    let mut succeed = 0;
    for (name, text) in cases("experiment") {
        let mut observed = experiment_fixture::observed(&text).unwrap();
        let plan = experiment::reconcile(&observed);
        let before = observed.experiment.status.clone().unwrap_or_default();
        let succeeds = plan.status.phase == Some(AnalysisPhase::Successful)
            && before.phase != plan.status.phase;
        let spec = &observed.experiment.spec;
        if !succeeds || spec.terminate == Some(true) || spec.duration.is_none() {
            continue;
        }
        succeed += 1;
        observed.clock_set = all_set(of_experiment(Some(&before)), by);
        let found = experiment::audit(&observed, &plan);
        let rules: Vec<&str> = found.iter().map(|one| one.rule).collect();
        assert_eq!(rules, ["lasts-its-duration"], "{name}");
    }
    assert!(succeed > 0);
}

/// A run of which every measurement is answered at once, and the clock by which its times are stored.
struct Life {
    observed: analysis::Observed,
    /// Seconds that have really passed.
    passed: i64,
    /// How far the clock is ahead of them.
    ahead: i64,
    /// Each stored time, with how far the clock was ahead when it was first seen.
    seen: BTreeMap<StatusTime, i64>,
    /// When something was measured, in seconds that have really passed.
    measured: Vec<i64>,
}

impl Life {
    fn new(metric: serde_json::Value) -> Self {
        let run: AnalysisRun = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": "run", "namespace": "shop"}, "spec": {"metrics": [metric]},
        }))
        .unwrap();
        Self {
            observed: analysis::Observed {
                now: Timestamp::UNIX_EPOCH,
                clock_set: ClockSet::default(),
                run,
                finished: Vec::new(),
                in_flight: BTreeMap::new(),
                bad_conditions: BTreeMap::new(),
                told: Told::NoOwner,
            },
            passed: 0,
            ahead: 1_700_000_000,
            seen: BTreeMap::new(),
            measured: Vec::new(),
        }
    }

    /// A look, audited. Returns whether there is more to do at once, and else when to look again.
    fn look(&mut self) -> (bool, Option<i64>) {
        let now = Timestamp::from_second(self.passed + self.ahead).unwrap();
        let times = of_run(&self.observed.run);
        self.seen.retain(|time, _| times.contains(time));
        for time in times {
            self.seen.entry(time).or_insert(self.ahead);
        }
        let ahead = self.ahead;
        let since = self.seen.iter();
        let since = since.map(|(time, then)| (*time, SignedDuration::from_secs(ahead - then)));
        self.observed.clock_set = ClockSet::since(since);
        self.observed.now = now;
        let plan = analysis::reconcile(&self.observed);
        assert_eq!(analysis::audit(&self.observed, &plan), [], "{plan:?}");
        let news = self.observed.run.status.as_ref() != Some(&plan.status);
        self.observed.run.status = Some(plan.status);
        self.observed.finished.clear();
        for action in plan.actions {
            // A provider that needs time is asked twice.
            let (metric, resumed) = match action {
                analysis::Action::Measure { resolved, .. } => (resolved.name, false),
                analysis::Action::Resume { resolved, .. } => (resolved.name, true),
                other => panic!("{other:?}"),
            };
            self.measured.push(self.passed);
            let slow = metric == "slow" && !resumed;
            self.observed.finished.push(Finished {
                metric,
                started_at: now,
                finished_at: now,
                resume_at: slow.then(|| now.checked_add(SignedDuration::from_secs(7)).unwrap()),
                phase: match (slow, self.measured.len() % 5) {
                    (true, _) => AnalysisPhase::Running,
                    (false, 2) => AnalysisPhase::Error,
                    (false, _) => AnalysisPhase::Successful,
                },
                value: None,
                message: None,
                metadata: BTreeMap::new(),
            });
        }
        let wake = plan.wake.map(|wake| wake.duration_since(now).as_secs());
        let more = news || !self.observed.finished.is_empty();
        (more, wake.map(|wait| self.passed + wait))
    }

    /// Lives it to its end; the clock is set once after so many seconds, by so many. When it measured, and when it was over.
    fn live(mut self, after: i64, by: i64) -> (Vec<i64>, i64) {
        let mut to_come = Some(by);
        for _ in 0..1_000 {
            let (more, wake) = self.look();
            if more {
                continue;
            }
            let Some(mut wake) = wake else { break };
            // The queue counts by the other clock; that this one was set wakes nobody, but somebody may look just then.
            if self.passed <= after && after < wake && to_come.is_some() {
                wake = after;
                self.ahead += to_come.take().unwrap_or(0);
            }
            self.passed = wake;
        }
        let status = self.observed.run.status.unwrap();
        assert_eq!(status.phase, Some(AnalysisPhase::Successful));
        (self.measured, self.passed)
    }
}

/// The first measurement after its delay, each further one after the interval, ten seconds after an error, and what the
/// provider asks for: whenever the clock is set, and by whatever.
#[test]
fn a_run_measures_at_its_times_whatever_the_clock_is_set_to() {
    for (name, took) in [("plain", 250), ("slow", 271)] {
        let metric = json!({
            "name": name, "count": 5, "interval": "60s", "initialDelay": "30s",
            "provider": {"prometheus": {"query": "q"}},
        });
        let wanted = Life::new(metric.clone()).live(0, 0);
        assert!(wanted.1 > took, "{wanted:?}");
        for after in 0..wanted.1 {
            for by in [-3_600, -61, -29, -1, 1, 30, 61, 3_600] {
                let lived = Life::new(metric.clone()).live(after, by);
                assert_eq!(lived, wanted, "{name}: set by {by} s after {after} s");
            }
        }
    }
}

/// A run that is over is kept its time, and one that is to end waits its time for the last answer: the clock is set by an hour
/// between what is stored and now.
#[test]
fn the_end_of_a_run_takes_its_time_whatever_the_clock_is_set_to() {
    let at = |second: i64| format!("2026-01-01T00:00:{second:02}Z");
    let over = json!({
        "metrics": [], "ttlStrategy": {"secondsAfterCompletion": 30},
    });
    let is_over = json!({"phase": "Successful", "startedAt": at(0), "completedAt": at(10)});
    let provider = json!({"prometheus": {"query": "q"}});
    let ends = json!({"metrics": [
        {"name": "bad", "interval": "10s", "consecutiveErrorLimit": 0, "provider": provider},
        {"name": "slow", "interval": "10s", "provider": provider},
    ]});
    let bad = json!({
        "name": "bad", "phase": "Error", "error": 1, "consecutiveError": 1,
        "measurements": [{"phase": "Error", "startedAt": at(0), "finishedAt": at(10)}],
    });
    let is_ending = json!({"phase": "Running", "startedAt": at(0), "metricResults": [bad]});
    for (spec, status, now, wanted) in [
        (&over, &is_over, 39, (Some(1), "[]")),
        (&over, &is_over, 40, (None, "[DeleteRun]")),
        (&ends, &is_ending, 39, (Some(1), "[]")),
        (
            &ends,
            &is_ending,
            40,
            (None, "[Cancel { metric: \"slow\" }]"),
        ),
    ] {
        for hours in [-1, 0, 1] {
            let by = SignedDuration::from_hours(hours);
            let mut life = Life::new(json!({"name": "m", "provider": {}}));
            life.observed.run.spec = serde_json::from_value(spec.clone()).unwrap();
            life.observed.run.status = Some(serde_json::from_value(status.clone()).unwrap());
            let times = of_run(&life.observed.run);
            life.observed.clock_set = all_set(times, by);
            let by_now = |second: i64| at(second).parse::<Timestamp>().unwrap() + by;
            life.observed.now = by_now(now);
            if spec == &ends {
                let asked = Some(by_now(5));
                life.observed.in_flight = BTreeMap::from([("slow".to_owned(), asked)]);
            }
            let plan = analysis::reconcile(&life.observed);
            assert_eq!(analysis::audit(&life.observed, &plan), [], "{plan:?}");
            let wait = plan
                .wake
                .map(|wake| wake.duration_since(life.observed.now).as_secs());
            let done = format!("{:?}", plan.actions);
            assert_eq!((wait, done.as_str()), wanted, "at {now}, {hours} h");
        }
    }
}

/// What people kept an update waiting for is told in seconds that have really passed.
#[test]
fn a_wait_for_people_is_as_long_as_it_was_whatever_the_clock_is_set_to() {
    let plain = agent_fixture::observed(&cases("agent")["pause_promoted"]).unwrap();
    let then = plain.now.checked_sub(SignedDuration::from_secs(100));
    let then = Some(StatusTime::from(then.unwrap()));
    for hours in [-1, 0, 1] {
        let by = SignedDuration::from_hours(hours);
        let mut set = plain.clone();
        set.rollout.status.as_mut().unwrap().duration = Some(RolloutDuration {
            rollout_started_at: then,
            manual_pause_started_at: then,
            ..RolloutDuration::default()
        });
        set.now = plain.now.checked_add(by).unwrap();
        let times = of_rollout(set.rollout.status.as_ref(), &set.replica_sets);
        set.clock_set = all_set(times, by);
        let plan = reconcile(&set);
        let waited = plan.status.duration.unwrap();
        let waited = waited.total_manual_pause_duration_seconds;
        assert_eq!(waited, Some(100), "{hours} h");
    }
}
