//! What becomes of an AnalysisRun, as a table: `verdicts.txt`. In: limits and outcomes, one row a line. Out: a failure where
//! the verdict, the counts, the number of measurements or their times are others. Each life is audited at every pass.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeMap;

use agent_api::{AnalysisPhase, AnalysisRun, MetricResult};
use agent_engine::analysis::{Action, Finished, Observed, Plan, audit, reconcile};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

const ROWS: &str = include_str!("../../fixtures/verdicts.txt");
/// Rows that there are at least.
const LEAST: usize = 150;
/// No life takes more passes.
const MOST_PASSES: usize = 200;
/// What a provider that needs time asks for, in seconds.
const NEEDED: i64 = 7;

fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start
        .checked_add(SignedDuration::from_secs(seconds))
        .unwrap()
}

/// A metric from `count=3 interval=10s`, and whether it is a dry run.
fn metric(name: &str, words: &str) -> (Value, bool) {
    let mut metric = json!({"name": name, "provider": {"prometheus": {"query": "q"}}});
    let mut dry = false;
    for word in words.split(' ').filter(|word| !matches!(*word, "" | "-")) {
        let (field, value) = word.split_once('=').unwrap();
        if field == "dry" {
            dry = true;
        } else {
            // Texts are what arguments become; times are texts anyway.
            metric[field] = json!(value);
        }
    }
    (metric, dry)
}

fn run(metrics: &str) -> AnalysisRun {
    let (mut all, mut dry) = (Vec::new(), Vec::new());
    for (index, words) in metrics.split('&').enumerate() {
        let name = format!("m{index}");
        let (metric, is_dry) = metric(&name, words.trim());
        all.push(metric);
        if is_dry {
            dry.push(json!({"metricName": format!("^{name}$")}));
        }
    }
    let spec = json!({"metrics": all, "dryRun": dry});
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": "run", "namespace": "shop"}, "spec": spec,
    }))
    .unwrap()
}

/// A run with its metrics' outcomes still to come, by name.
struct Life {
    observed: Observed,
    outcomes: BTreeMap<String, Vec<char>>,
    /// Measurements that are asked and not answered.
    asked: Vec<(String, Timestamp, char)>,
    taken: usize,
    terminate: Option<usize>,
}

impl Life {
    fn new(metrics: &str, outcomes: &str, terminate: Option<usize>) -> Self {
        let letters = |text: &str| text.chars().filter(|one| *one != '-').rev().collect();
        let outcomes = outcomes.split('&').enumerate();
        Self {
            observed: Observed {
                now: at(0),
                clock_set: <_>::default(),
                run: run(metrics),
                finished: Vec::new(),
                in_flight: BTreeMap::new(),
                bad_conditions: BTreeMap::new(),
                told: agent_engine::analysis::Told::NoOwner,
            },
            outcomes: outcomes
                .map(|(index, text)| (format!("m{index}"), letters(text.trim())))
                .collect(),
            asked: Vec::new(),
            taken: 0,
            terminate,
        }
    }

    /// One pass, audited; what it asks is on its way afterwards.
    fn pass(&mut self) -> Plan {
        if self.terminate.is_some_and(|after| self.taken >= after) {
            self.observed.run.spec.terminate = Some(true);
        }
        let plan = reconcile(&self.observed);
        assert_eq!(audit(&self.observed, &plan), Vec::new(), "{plan:?}");
        self.observed.run.status = Some(plan.status.clone());
        self.observed.finished.clear();
        for action in &plan.actions {
            let (name, begun) = match action {
                Action::Measure { resolved, .. } => (&resolved.name, self.observed.now),
                Action::Resume {
                    resolved,
                    measurement,
                    ..
                } => (&resolved.name, measurement.started_at.unwrap().timestamp()),
                _ => continue,
            };
            let now = self.observed.now;
            self.observed.in_flight.insert(name.clone(), Some(now));
            // With no outcome left it is never answered.
            if let Some(letter) = self.outcomes.get_mut(name).and_then(Vec::pop) {
                self.asked.push((name.clone(), begun, letter));
            }
        }
        plan
    }

    fn answer(&mut self, place: usize) {
        let (metric, started_at, letter) = self.asked.remove(place);
        self.observed.in_flight.remove(&metric);
        let phase = match letter {
            'S' => AnalysisPhase::Successful,
            'F' => AnalysisPhase::Failed,
            'I' => AnalysisPhase::Inconclusive,
            'E' => AnalysisPhase::Error,
            'R' => AnalysisPhase::Running,
            other => panic!("{other:?} is no outcome"),
        };
        self.taken += usize::from(letter != 'R');
        let later = self
            .observed
            .now
            .checked_add(SignedDuration::from_secs(NEEDED));
        self.observed.finished.push(Finished {
            metric,
            started_at,
            finished_at: self.observed.now,
            resume_at: later.ok().filter(|_| letter == 'R'),
            phase,
            value: Some(letter.to_string()),
            message: None,
            metadata: BTreeMap::new(),
        });
    }

    /// Lives on until the verdict, or until there is no answer to wait for. `order` picks the answer that comes next; all
    /// at once without it.
    fn live(&mut self, mut order: Option<&mut dyn FnMut(usize) -> usize>) -> AnalysisPhase {
        for _ in 0..MOST_PASSES {
            let plan = self.pass();
            let phase = plan.status.phase.unwrap();
            if phase.is_completed() {
                return phase;
            }
            if self.asked.is_empty() {
                let Some(wake) = plan.wake else { return phase };
                self.observed.now = wake;
                continue;
            }
            match &mut order {
                Some(order) => {
                    let place = order(self.asked.len());
                    self.answer(place);
                }
                None => {
                    while !self.asked.is_empty() {
                        self.answer(0);
                    }
                }
            }
        }
        panic!("it never ends: {:?}", self.observed.run.status);
    }

    fn counts(&self) -> String {
        let status = self.observed.run.status.clone().unwrap();
        let text = |result: &MetricResult| {
            let numbers = [
                ("s", result.successful),
                ("f", result.failed),
                ("i", result.inconclusive),
                ("e", result.error),
            ];
            let some = numbers
                .into_iter()
                .filter_map(|(letter, number)| Some(format!("{letter}{}", number?)));
            some.collect::<Vec<_>>().join(" ")
        };
        let of = |name: &String| {
            let mut results = status.metric_results.iter();
            let found = results.find(|result| result.name == *name).map(text);
            found
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| "-".to_owned())
        };
        self.outcomes.keys().map(of).collect::<Vec<_>>().join(" & ")
    }
}

/// What a row's life comes to, as the row has it.
fn lived(row: &str) -> String {
    let columns: Vec<&str> = row.split('|').map(str::trim).collect();
    let [metrics, outcomes, ..] = columns.as_slice() else {
        panic!("{row:?} is no row");
    };
    let (words, terminate) = match metrics.split_once(" ! terminate=") {
        Some((words, after)) => (words, Some(after.trim().parse().unwrap())),
        None => (*metrics, None),
    };
    let mut life = Life::new(words, outcomes, terminate);
    let phase = life.live(None);
    let seconds = life.observed.now.duration_since(at(0)).as_secs();
    let counts = life.counts();
    format!(
        "{metrics} | {outcomes} | {phase} | {counts} | {} | {seconds}",
        life.taken
    )
}

#[test]
fn every_sequence_of_outcomes_has_its_verdict() {
    let rows = ROWS
        .lines()
        .filter(|row| !row.is_empty() && !row.starts_with('#'));
    let mut wrong = Vec::new();
    let mut count = 0;
    for row in rows {
        count += 1;
        let found = lived(row);
        if found != row {
            wrong.push(format!("row   {row}\nfound {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= LEAST, "{count} rows");
}

#[test]
fn a_flapping_provider_has_its_rows() {
    let mut lines = ROWS.lines();
    assert!(lines.any(|line| line.starts_with("# F49")));
    let rows = lines.take_while(|line| !line.is_empty());
    assert!(rows.count() >= 9);
}

const LIMITS: [&str; 6] = [
    "count=3 interval=10s",
    "count=3 interval=10s failureLimit=1 inconclusiveLimit=1 consecutiveErrorLimit=1",
    "interval=10s consecutiveErrorLimit=0",
    "count=2 interval=10s consecutiveErrorLimit=0 failureLimit=-1",
    "interval=10s consecutiveSuccessLimit=2 failureLimit=1",
    "count=4 interval=10s inconclusiveLimit=2 consecutiveErrorLimit=2",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    /// Whichever of two metrics answers first, the verdict is the same: that of all answers at once.
    #[test]
    fn the_verdict_does_not_depend_on_who_answers_first(
        limits in (0..LIMITS.len(), 0..LIMITS.len()),
        first in "[SFIER]{0,6}", second in "[SFIER]{0,6}", picks in proptest::collection::vec(0..2_usize, 40),
        terminate in proptest::option::of(0..6_usize),
    ) {
        let metrics = format!("{} & {}", LIMITS[limits.0], LIMITS[limits.1]);
        let outcomes = format!("{first} & {second}");
        let verdict = |order: Option<&mut dyn FnMut(usize) -> usize>| {
            // A request by the number of answers would itself depend on their order: it is there from the start or never.
            let mut life = Life::new(&metrics, &outcomes, terminate.filter(|after| *after == 0));
            life.live(order)
        };
        let together = verdict(None);
        let mut left = picks.iter().cycle();
        let mut any = |count: usize| left.next().unwrap() % count;
        prop_assert_eq!(verdict(Some(&mut |_| 0)), together);
        prop_assert_eq!(verdict(Some(&mut |count| count - 1)), together);
        prop_assert_eq!(verdict(Some(&mut any)), together);
    }
}
