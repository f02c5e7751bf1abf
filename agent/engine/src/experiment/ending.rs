//! The end of an Experiment: when it has come, as what, and what is left afterwards.
//!
//! In: states of templates and runs, the duration, `terminate`. Out: the verdict, which is given only when nothing measures
//! any more that could still speak against it; then pods and Services go after a while. It must not make anything.

use agent_api::{
    AnalysisPhase, ExperimentAnalysis, ExperimentRunStatus, StatusTime, TemplatePhase, duration,
};
use jiff::SignedDuration;

use super::pass::Pass;
use super::{Action, Reason};
use crate::claims::controller;
use crate::clock;
use crate::experiment::names::name_of;

impl Pass<'_> {
    /// When the duration is over, if it has one and runs.
    pub fn until(&self) -> Option<StatusTime> {
        let written = self.observed.experiment.spec.duration.as_deref()?;
        let length = duration::parse(written).ok()?;
        let begun = self.observed.clock_set.shifted(self.status.available_at?);
        Some(begun.saturating_add(length).into())
    }

    /// Ends it, if there is nothing left to wait for.
    pub fn settle_end(&mut self) {
        if let Some((phase, message)) = self.bad_template() {
            return self.conclude(phase, Some(message));
        }
        if let Some((phase, message)) = self.bad_run() {
            return self.conclude(phase, Some(message));
        }
        if self.terminated() {
            self.reasons.push(Reason::Terminated);
        } else if !self.is_done() {
            return;
        }
        // What still measures may yet speak against it: it is asked to end, and heard.
        self.end_runs();
        let open: Vec<String> = self.runs_under_way().map(ToOwned::to_owned).collect();
        if !open.is_empty() {
            let waits = open.into_iter().map(|run| Reason::WaitsForRun { run });
            return self.reasons.extend(waits);
        }
        if let Some(missing) = self.never_begun() {
            let message = format!("was ended by request before {missing}");
            return self.conclude(AnalysisPhase::Inconclusive, Some(message));
        }
        let message = self.terminated().then(|| "was ended by request".to_owned());
        self.conclude(AnalysisPhase::Successful, message);
    }

    fn bad_template(&self) -> Option<(AnalysisPhase, String)> {
        let all = self.status.template_statuses.iter();
        let bad = all.filter_map(|one| {
            let phase = match one.status? {
                TemplatePhase::Failed => AnalysisPhase::Failed,
                TemplatePhase::Error => AnalysisPhase::Error,
                TemplatePhase::Progressing | TemplatePhase::Running | TemplatePhase::Successful => {
                    return None;
                }
            };
            let why = one.message.as_deref().unwrap_or_default();
            Some((phase, format!("template {}: {why}", one.name)))
        });
        bad.max_by_key(|(phase, _)| *phase)
    }

    /// The worst run that is over and not good.
    fn bad_run(&self) -> Option<(AnalysisPhase, String)> {
        let all = self.status.analysis_runs.iter();
        let bad = all.filter_map(|one| {
            let phase = one.phase.filter(|phase| phase.is_completed())?;
            let detail = one.message.as_deref().map(|why| format!(": {why}"));
            let word = phase.as_str().to_lowercase();
            let message = format!("analysis {} {word}{}", one.name, detail.unwrap_or_default());
            (phase != AnalysisPhase::Successful).then_some((phase, message))
        });
        bad.max_by_key(|(phase, _)| *phase)
    }

    fn runs_under_way(&self) -> impl Iterator<Item = &str> {
        let all = self.status.analysis_runs.iter();
        all.filter(|one| !is_over(one))
            .map(|one| one.analysis_run.as_str())
    }

    /// What it cannot be successful without, and what has not begun: an analysis that it requires; else, when somebody has
    /// ended it, any analysis at all; and for an owner who waits for its word without any, its pods.
    fn never_begun(&self) -> Option<String> {
        let experiment = &self.observed.experiment;
        let analyses = &experiment.spec.analyses;
        let begun = |one: &&ExperimentAnalysis| self.run_status(&one.name).is_some();
        let mut required = analyses.iter().filter(|one| one.is_required());
        let required = required.find(|one| !begun(one));
        let none = self.terminated() && !analyses.iter().any(|one| begun(&one));
        let missing = required.or(analyses.first().filter(|_| none));
        if let Some(missing) = missing {
            return Some(format!("analysis {} began", missing.name));
        }
        let waited_for = controller(&experiment.metadata).is_some();
        let without_pods = self.status.available_at.is_none();
        let ended = self.terminated() && waited_for && without_pods;
        ended.then(|| "its pods were available".to_owned())
    }

    fn run_status(&self, analysis: &str) -> Option<&ExperimentRunStatus> {
        let mut all = self.status.analysis_runs.iter();
        all.find(|one| one.name == analysis)
    }

    /// The duration is over and so is every analysis that it waits for; without a duration, the analyses are.
    fn is_done(&mut self) -> bool {
        if self.status.available_at.is_none() {
            return false;
        }
        let spec = &self.observed.experiment.spec;
        let required = spec.analyses.iter().any(|one| one.is_required());
        let waits_for: Vec<&str> = spec
            .analyses
            .iter()
            .filter(|one| one.is_required() || !required && spec.duration.is_none())
            .map(|one| one.name.as_str())
            .collect();
        let open = waits_for.iter().find_map(|name| {
            let run = self.run_status(name);
            let over = run.is_some_and(is_over);
            let named = run.map_or(*name, |run| run.analysis_run.as_str());
            (!over).then(|| named.to_owned())
        });
        let mut done = true;
        match self.until() {
            Some(until) if until.timestamp() > self.observed.now => {
                let until = until.timestamp();
                self.wake_at(until);
                self.reasons.push(Reason::RunsUntil { until });
                done = false;
            }
            None if waits_for.is_empty() => {
                self.reasons.push(Reason::RunsUntilTerminated);
                done = false;
            }
            Some(_) | None => {}
        }
        if let Some(run) = open {
            self.reasons.push(Reason::WaitsForRun { run });
            done = false;
        }
        done
    }

    /// It is over: pods and Services go when their time has come, and runs that were asked to end are followed.
    pub fn rest(&mut self, phase: AnalysisPhase) {
        self.reasons.push(Reason::Over { phase });
        self.end_runs();
        for at in 0..self.status.analysis_runs.len() {
            self.follow_run(at);
        }
        let ended = clock::ended(&self.status.conditions);
        let ended = ended.map(|ended| self.observed.clock_set.shifted(ended));
        let delay = i64::from(self.observed.experiment.spec.delay_seconds());
        let until = ended.map(|ended| ended.saturating_add(SignedDuration::from_secs(delay)));
        let stays = until.filter(|until| *until > self.observed.now);
        let mut statuses = std::mem::take(&mut self.status.template_statuses);
        for set in &self.observed.replica_sets {
            let (name, desired) = (name_of(&set.metadata).to_owned(), set.desired());
            let template = super::names::template_of(set);
            let mut known = statuses.iter_mut();
            if let Some(at) = known.find(|one| Some(one.name.as_str()) == template) {
                self.count(set, at);
            }
            if desired == 0 {
                continue;
            }
            if let Some(until) = stays {
                self.wake_at(until);
                self.reasons.push(Reason::StaysUntil { name, until });
                continue;
            }
            self.actions.push(Action::ScaleReplicaSet {
                name,
                from: desired,
                to: 0,
            });
        }
        if stays.is_none() {
            for at in &statuses {
                self.delete_service(at);
            }
        }
        self.status.template_statuses = statuses;
    }
}

fn is_over(run: &ExperimentRunStatus) -> bool {
    run.phase.is_some_and(AnalysisPhase::is_completed)
}
