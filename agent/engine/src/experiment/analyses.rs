//! The analyses of an Experiment: made when its pods are available, followed, ended.
//!
//! In: the pass, the runs observed. Out: create and terminate actions, states of the runs. It must not judge measurements:
//! the analysis engine does.

use std::collections::{BTreeMap, BTreeSet};

use agent_api::analysis::TemplateRef;
use agent_api::names::LABEL_INSTANCE_ID;
use agent_api::validate::Problem;
use agent_api::validate_experiment::placeholders;
use agent_api::{
    AnalysisPhase, AnalysisRun, ExperimentAnalysis, ExperimentRunStatus, ExperimentSpec,
    ObjectMeta, PodHash, Rollout, StepAnalysis,
};

use super::names::{ANNOTATION_AVAILABLE_AT, name_of, owner, run_name};
use super::pass::Pass;
use super::{Action, Observed};
use crate::analysis::conditions::{of_analyses, problem};
use crate::analysis::news::news;
use crate::analysis::template::{Error, check_background, check_step, run_spec, strict_annotation};
use crate::claims::NamedKind;

/// An analysis in the form in which a Rollout names its own.
pub(crate) fn step_analysis(analysis: &ExperimentAnalysis, spec: &ExperimentSpec) -> StepAnalysis {
    StepAnalysis {
        templates: vec![TemplateRef {
            template_name: analysis.template_name.clone(),
            cluster_scope: analysis.cluster_scope,
            ..TemplateRef::default()
        }],
        args: analysis.args.clone(),
        dry_run: spec.dry_run.clone(),
        measurement_retention: spec.measurement_retention.clone(),
        analysis_run_metadata: spec.analysis_run_metadata.clone(),
        ..StepAnalysis::default()
    }
}

/// What is wrong with the templates that the analyses name.
pub(super) fn problems(observed: &Observed) -> Vec<Problem> {
    let spec = &observed.experiment.spec;
    let known = fields_of(observed);
    let wrong = spec.analyses.iter().enumerate().filter_map(|(index, one)| {
        let analysis = step_analysis(one, spec);
        let found = if one.is_required() {
            check_step(&analysis, &observed.templates, &known)
        } else {
            check_background(&analysis, &observed.templates, &known)
        };
        let bad = &observed.bad_conditions;
        let message = match found {
            Err(error) => error.to_string(),
            Ok(()) => problem(&analysis, &observed.templates, &known, bad)?,
        };
        let path = format!("spec.analyses[{index}]");
        Some(Problem { path, message })
    });
    wrong.collect()
}

/// The conditions that it will be judged by, as far as their arguments are known; none any more once it measures.
pub fn conditions(observed: &Observed) -> BTreeSet<String> {
    if is_available(observed) {
        return BTreeSet::new();
    }
    let spec = &observed.experiment.spec;
    let analyses = spec.analyses.iter();
    let analyses: Vec<_> = analyses.map(|one| step_analysis(one, spec)).collect();
    of_analyses(&analyses, &observed.templates, &fields_of(observed))
}

/// Its pods were there: from then on what is measured is its runs' own.
pub(super) fn is_available(observed: &Observed) -> bool {
    let status = observed.experiment.status.as_ref();
    status.is_some_and(|status| status.available_at.is_some())
}

/// The object whose fields an argument may name: the Experiment's metadata stands where a Rollout's would.
fn fields_of(observed: &Observed) -> Rollout {
    Rollout {
        metadata: observed.experiment.metadata.clone(),
        ..Rollout::default()
    }
}

impl Pass<'_> {
    /// Makes the runs and takes over their states.
    pub fn settle_analyses(&mut self) {
        // What is not written yet is not there: a pass that was cut off would take the runs for those of another try.
        let written = self.observed.experiment.status.as_ref();
        let available = written.and_then(|status| status.available_at);
        let analyses = self.observed.experiment.spec.analyses.clone();
        for analysis in &analyses {
            let mut all = self.status.analysis_runs.iter();
            let known = all.position(|one| one.name == analysis.name);
            let Some(at) = known else {
                if let (Some(available), false) = (available, self.terminated()) {
                    self.make_run(analysis, &available.to_string());
                }
                continue;
            };
            self.follow_run(at);
        }
    }

    fn find_run(&self, name: &str) -> Option<&AnalysisRun> {
        let mut all = self.observed.analysis_runs.iter();
        all.find(|run| name_of(&run.metadata) == name)
    }

    /// Takes over the state of a run.
    pub fn follow_run(&mut self, at: usize) {
        let Some(mut one) = self.status.analysis_runs.get(at).cloned() else {
            return;
        };
        let before = one.phase;
        match self.find_run(&one.analysis_run) {
            // What it was said to have ended as is final.
            Some(_) if before.is_some_and(AnalysisPhase::is_completed) => {}
            Some(run) => {
                let status = run.status.as_ref();
                one.phase = status
                    .and_then(|status| status.phase)
                    .or(Some(AnalysisPhase::Pending));
                one.message = status.and_then(|status| status.message.clone());
            }
            None if before.is_some_and(AnalysisPhase::is_completed) => {}
            None if self.observed.unread_runs.contains_key(&one.analysis_run) => {
                self.follow_unread(&mut one);
            }
            // Nobody knows any more what it would have said.
            None => {
                one.phase = Some(AnalysisPhase::Error);
                one.message = Some("the run was deleted before its end".to_owned());
            }
        }
        self.tell_run(before, &one);
        if let Some(place) = self.status.analysis_runs.get_mut(at) {
            *place = one;
        }
    }

    /// A run that cannot be read is waited for until somebody corrects or deletes it, but not beyond the end of the
    /// Experiment: what it would have said is not known then, and is no success.
    fn follow_unread(&self, one: &mut ExperimentRunStatus) {
        let why = self.observed.unread_runs.get(&one.analysis_run);
        let why = why.map(String::as_str).unwrap_or_default();
        one.message = Some(format!("the run cannot be read: {why}"));
        if self.terminated() || self.over().is_some() {
            one.phase = Some(AnalysisPhase::Error);
        }
    }

    /// The run of an analysis that the status does not name: made under the first name that is free. One that is there of
    /// this try was made by a pass that was cut off.
    fn make_run(&mut self, analysis: &ExperimentAnalysis, available: &str) {
        let mut attempt = 0_usize;
        let (name, found) = loop {
            let name = run_name(self.name(), &analysis.name, attempt);
            let next = run_name(self.name(), &analysis.name, attempt.saturating_add(1));
            attempt = attempt.saturating_add(1);
            let mut all = self.observed.taken.iter();
            let taken = all.find(|one| one.kind == NamedKind::AnalysisRun && one.name == name);
            if let Some(taken) = taken.cloned() {
                self.say_taken(&taken, next);
                continue;
            }
            match self.find_run(&name) {
                Some(run) if is_of(run, available) => break (name, true),
                Some(_) => {}
                None => break (name, false),
            }
        };
        let mut entry = ExperimentRunStatus {
            name: analysis.name.clone(),
            analysis_run: name.clone(),
            phase: Some(AnalysisPhase::Pending),
            ..ExperimentRunStatus::default()
        };
        if !found {
            match self.run(analysis, &name, available) {
                Ok(run) => self
                    .actions
                    .push(Action::CreateAnalysisRun { run: Box::new(run) }),
                Err(error) => {
                    entry.phase = Some(AnalysisPhase::Error);
                    entry.message = Some(error.to_string());
                    self.tell_run(None, &entry);
                }
            }
        }
        self.status.analysis_runs.push(entry);
        if found {
            let last = self.status.analysis_runs.len().saturating_sub(1);
            self.follow_run(last);
        }
    }

    fn run(
        &self,
        analysis: &ExperimentAnalysis,
        name: &str,
        available: &str,
    ) -> Result<AnalysisRun, Error> {
        let experiment = &self.observed.experiment;
        let mut wanted = step_analysis(analysis, &experiment.spec);
        for argument in &mut wanted.args {
            argument.value = argument.value.take().map(|text| self.filled(&text));
        }
        let hash = PodHash::default();
        let fields = fields_of(self.observed);
        let spec = run_spec(&wanted, &self.observed.templates, &fields, &hash, &hash)?;
        let strict = strict_annotation(&wanted, &self.observed.templates);
        let extra = wanted.analysis_run_metadata.unwrap_or_default();
        let mut labels: BTreeMap<String, String> = extra.labels;
        let own = experiment.metadata.labels.as_ref();
        if let Some(id) = own.and_then(|labels| labels.get(LABEL_INSTANCE_ID)) {
            labels.insert(LABEL_INSTANCE_ID.to_owned(), id.clone());
        }
        let mut annotations = extra.annotations;
        annotations.insert(ANNOTATION_AVAILABLE_AT.to_owned(), available.to_owned());
        annotations.extend(strict);
        Ok(AnalysisRun {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: experiment.metadata.namespace.clone(),
                labels: (!labels.is_empty()).then_some(labels),
                annotations: Some(annotations),
                owner_references: Some(vec![owner(experiment)]),
                ..ObjectMeta::default()
            },
            spec,
            ..AnalysisRun::default()
        })
    }

    /// An argument with what the Experiment knows in it; other double braces belong to somebody else's language and stay.
    fn filled(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for word in placeholders(text) {
            let Some(value) = self.value_of(word) else {
                continue;
            };
            for written in [format!("{{{{{word}}}}}"), format!("{{{{ {word} }}}}")] {
                out = out.replace(&written, &value);
            }
        }
        out
    }

    fn value_of(&self, word: &str) -> Option<String> {
        match word {
            "experiment.availableAt" => return Some(self.status.available_at?.to_string()),
            "experiment.finishedAt" => return Some(self.until()?.to_string()),
            _ => {}
        }
        let (name, field) = word.strip_prefix("templates.")?.split_once('.')?;
        let status = self.template_status(name)?;
        match field {
            "podTemplateHash" => status.pod_template_hash.as_ref().map(ToString::to_string),
            "service.name" => status.service_name.clone(),
            "replicaset.name" => Some(name_of(&self.set_of(name)?.metadata).to_owned()),
            _ => None,
        }
    }

    /// Asks every run that is under way to end; also one that could not be read when the Experiment ended, and can be now.
    pub fn end_runs(&mut self) {
        let over = |run: &&AnalysisRun| {
            let phase = run.status.as_ref().and_then(|status| status.phase);
            phase.is_some_and(AnalysisPhase::is_completed)
        };
        let named = self.status.analysis_runs.iter();
        let names: Vec<String> = named
            .filter_map(|one| self.find_run(&one.analysis_run))
            .filter(|run| !over(run) && run.spec.terminate != Some(true))
            .map(|run| name_of(&run.metadata).to_owned())
            .collect();
        for name in names {
            let already = Action::TerminateAnalysisRun { name };
            if !self.actions.contains(&already) {
                self.actions.push(already);
            }
        }
    }

    fn tell_run(&mut self, before: Option<AnalysisPhase>, run: &ExperimentRunStatus) {
        let phase = run.phase.unwrap_or_default();
        if before == Some(phase) {
            return;
        }
        let message = run.message.as_deref().unwrap_or_default();
        let Some((kind, reason, text)) = news(&run.name, phase, message) else {
            return;
        };
        self.event(kind, reason, text, format!("{}.{phase}", run.analysis_run));
    }
}

/// The run is of this try.
fn is_of(run: &AnalysisRun, available: &str) -> bool {
    let annotations = run.metadata.annotations.as_ref();
    let known = annotations.and_then(|all| all.get(ANNOTATION_AVAILABLE_AT));
    known.map(String::as_str) == Some(available)
}
