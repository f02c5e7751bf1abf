//! What no plan for an AnalysisRun may do.
//!
//! In: what was observed and planned. Out: violations. It must not share code with the engine it checks.

use agent_api::{AnalysisPhase, Measurement, duration};

use super::{Action, Observed, Plan};
use crate::audit::Violation;

/// Checks a plan against the invariants.
pub fn audit(observed: &Observed, plan: &Plan) -> Vec<Violation> {
    let mut checks = Checks {
        observed,
        plan,
        started: Vec::new(),
        found: Vec::new(),
    };
    checks.verdict();
    for action in &plan.actions {
        checks.action(action);
    }
    if checks.over() {
        checks.rest();
    } else {
        checks.wakes();
    }
    checks.found
}

struct Checks<'a> {
    observed: &'a Observed,
    plan: &'a Plan,
    started: Vec<&'a str>,
    found: Vec<Violation>,
}

impl<'a> Checks<'a> {
    fn breaks(&mut self, rule: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        self.found.push(Violation { rule, detail });
    }

    fn over(&self) -> bool {
        let phase = self.plan.status.phase;
        phase.is_some_and(AnalysisPhase::is_completed)
    }

    fn verdict(&mut self) {
        let before = self.observed.run.status.as_ref();
        let before = before.and_then(|status| status.phase);
        let now = self.plan.status.phase;
        if before.is_some_and(AnalysisPhase::is_completed) && now != before {
            self.breaks("verdict-is-final", format!("{before:?} became {now:?}"));
        }
        if self.over() != self.plan.status.completed_at.is_some() {
            self.breaks("completed-at-with-the-verdict", format!("{now:?}"));
        }
        if now != Some(AnalysisPhase::Successful) {
            return;
        }
        for result in &self.plan.status.metric_results {
            let counts = result.dry_run != Some(true);
            let bad =
                |phase: AnalysisPhase| phase.is_completed() && phase != AnalysisPhase::Successful;
            if counts && result.phase.is_some_and(bad) {
                self.breaks("no-success-over-a-failure", result.name.clone());
            }
        }
    }

    fn action(&mut self, action: &'a Action) {
        match action {
            Action::Measure { resolved, .. } => self.starts(&resolved.name, None),
            Action::Resume {
                resolved,
                measurement,
                ..
            } => self.starts(&resolved.name, Some(measurement)),
            Action::Terminate { resolved, .. } => self.ends(&resolved.name),
            // What waits for its turn is given up as soon as the run is to end.
            Action::Cancel { metric } => {
                if self.observed.in_flight.get(metric) != Some(&None) {
                    self.ends(metric);
                }
            }
            Action::DeleteRun => {
                if !self.over() {
                    self.breaks("only-what-is-over-is-deleted", "");
                }
            }
        }
    }

    fn ends(&mut self, metric: &str) {
        if !self.over() {
            self.breaks("nothing-is-ended-before-the-end", metric);
        }
    }

    fn starts(&mut self, metric: &'a str, begun: Option<&Measurement>) {
        let mut actions = self.plan.actions.iter();
        if self.over() || actions.any(|action| matches!(action, Action::Cancel { .. })) {
            self.breaks("no-measurement-after-the-end", metric);
        }
        if self.observed.run.spec.terminate == Some(true) {
            self.breaks("no-measurement-after-a-request-to-end", metric);
        }
        if self.observed.in_flight.contains_key(metric) || self.started.contains(&metric) {
            self.breaks("one-measurement-at-a-time", metric);
        }
        let mut results = self.plan.status.metric_results.iter();
        let result = results.find(|result| result.name == metric);
        let last = result.and_then(|result| result.measurements.last());
        let open = last.filter(|last| last.finished_at.is_none());
        if open != begun {
            self.breaks("what-waits-is-gone-on-with", metric);
        }
        let resumes = open.and_then(|open| open.resume_at);
        let resumes = resumes.map(|at| self.observed.clock_set.shifted(at).timestamp());
        if resumes.is_some_and(|at| at > self.observed.now) {
            self.breaks("not-before-its-time", metric);
        }
        if begun.is_none() && self.comes_early(metric, last) {
            self.breaks("not-before-its-time", metric);
        }
        self.started.push(metric);
    }

    /// The interval since the last measurement, if that was none in error, is not over.
    fn comes_early(&self, metric: &str, last: Option<&Measurement>) -> bool {
        let spec = &self.observed.run.spec;
        let written = spec.metrics.iter().find(|one| one.name == metric);
        let interval = written.and_then(|one| duration::parse(one.interval.as_deref()?).ok());
        let last = last.filter(|last| last.phase != Some(AnalysisPhase::Error));
        let ended = last.and_then(|last| last.finished_at);
        let (Some(interval), Some(ended)) = (interval, ended) else {
            return false;
        };
        let since = self.observed.clock_set.shifted(ended);
        since.saturating_add(interval) > self.observed.now
    }

    /// Of a run that is over nothing goes on.
    fn rest(&mut self) {
        for result in &self.plan.status.metric_results {
            let mut measurements = result.measurements.iter();
            let open = measurements.any(|one| one.finished_at.is_none());
            if open || !result.phase.is_some_and(AnalysisPhase::is_completed) {
                self.breaks("all-is-over-with-the-run", result.name.clone());
            }
        }
    }

    fn wakes(&mut self) {
        let waits = self.plan.wake.is_some() || !self.observed.in_flight.is_empty();
        if !waits && self.started.is_empty() {
            self.breaks(
                "somebody-wakes-it",
                "nothing is under way and there is no wake",
            );
        }
    }
}
