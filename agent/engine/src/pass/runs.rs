//! The AnalysisRuns of a canary: made under names that a restart repeats, ended when they are not needed any more.
//!
//! In: the runs observed, the present step. Out: create, terminate and delete actions, and the run's part of the status.
//! It must not judge measurements: the analysis engine does.

use std::collections::BTreeMap;

use agent_api::names::{
    LABEL_INSTANCE_ID, LABEL_POD_HASH, LABEL_ROLLOUT_TYPE, LABEL_STEP_INDEX, ROLLOUT_TYPE_STEP,
};
use agent_api::object::ObjectMeta;
use agent_api::rollout_status::AnalysisRunRef;
use agent_api::{AnalysisPhase, AnalysisRun, CanaryStep, StepAnalysis, StepKind};

use super::Pass;
use super::current::owner;
use crate::analysis::template::run_spec;
use crate::plan::{Action, EventKind};
use crate::planted::Planted;

/// A run as the steps look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunView {
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: AnalysisPhase,
    /// Its message.
    pub message: String,
}

impl Pass<'_> {
    /// `<rollout>-<hash>-<revision>-<step>`, with the attempt at the end from the second one on.
    pub fn step_run_name(&self) -> String {
        let base = format!(
            "{}-{}-{}-{}",
            self.name(),
            self.new.hash,
            self.new.revision,
            self.index
        );
        if self.bug.is(Planted::RunNamesDrift) {
            return format!("{base}.{}", self.observed.analysis_runs.len());
        }
        if self.new.attempt == 0 {
            base
        } else {
            format!("{base}.{}", self.new.attempt)
        }
    }

    /// The run of the present step, made if it is not there.
    pub fn step_run(&mut self, analysis: &StepAnalysis) -> RunView {
        let name = self.step_run_name();
        let found = self
            .observed
            .analysis_runs
            .iter()
            .find(|run| run.metadata.name.as_ref() == Some(&name));
        let view = match found {
            Some(run) => view(run),
            None => self.make_run(name, analysis),
        };
        self.tell_phase(&view);
        let known = AnalysisRunRef {
            name: view.name.clone(),
            status: Some(view.phase),
            message: (!view.message.is_empty()).then(|| view.message.clone()),
            ..AnalysisRunRef::default()
        };
        self.status
            .canary
            .get_or_insert_default()
            .current_step_analysis_run_status = Some(known);
        view
    }

    fn make_run(&mut self, name: String, analysis: &StepAnalysis) -> RunView {
        let stable = self.status.stable_rs.clone().unwrap_or_default();
        let spec = run_spec(
            analysis,
            &self.effective.templates,
            &self.observed.rollout,
            &stable,
            &self.new.hash,
        );
        let spec = match spec {
            Ok(spec) => spec,
            // The spec was checked before the pass began; what is left is a run that says so itself.
            Err(error) => {
                return RunView {
                    name,
                    phase: AnalysisPhase::Error,
                    message: error.to_string(),
                };
            }
        };
        let extra = analysis.analysis_run_metadata.clone().unwrap_or_default();
        let mut labels: BTreeMap<String, String> = extra.labels;
        labels.insert(LABEL_POD_HASH.to_owned(), self.new.hash.to_string());
        labels.insert(LABEL_ROLLOUT_TYPE.to_owned(), ROLLOUT_TYPE_STEP.to_owned());
        labels.insert(LABEL_STEP_INDEX.to_owned(), self.index.to_string());
        // Without it the controller of this instance would not see its own run.
        let own = self.observed.rollout.metadata.labels.as_ref();
        if let Some(id) = own.and_then(|labels| labels.get(LABEL_INSTANCE_ID)) {
            labels.insert(LABEL_INSTANCE_ID.to_owned(), id.clone());
        }
        let run = AnalysisRun {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: self.observed.rollout.metadata.namespace.clone(),
                labels: Some(labels),
                annotations: Some(
                    extra
                        .annotations
                        .into_iter()
                        .chain([(
                            agent_api::names::ANNOTATION_REVISION.to_owned(),
                            self.new.revision.to_string(),
                        )])
                        .collect(),
                ),
                owner_references: Some(vec![owner(self.observed)]),
                ..ObjectMeta::default()
            },
            spec,
            ..AnalysisRun::default()
        };
        self.writes
            .push(Action::CreateAnalysisRun { run: Box::new(run) });
        RunView {
            name,
            phase: AnalysisPhase::Pending,
            message: String::new(),
        }
    }

    /// An event when the run's phase is another one than the status says.
    fn tell_phase(&mut self, run: &RunView) {
        let known = self
            .before
            .canary
            .as_ref()
            .and_then(|canary| canary.current_step_analysis_run_status.as_ref());
        let known = known
            .filter(|known| known.name == run.name)
            .and_then(|known| known.status);
        if known == Some(run.phase) {
            return;
        }
        let (kind, reason) = match run.phase {
            AnalysisPhase::Pending => return,
            AnalysisPhase::Running => (EventKind::Normal, "AnalysisRunRunning"),
            AnalysisPhase::Successful => (EventKind::Normal, "AnalysisRunSuccessful"),
            AnalysisPhase::Inconclusive => (EventKind::Warning, "AnalysisRunInconclusive"),
            AnalysisPhase::Error => (EventKind::Warning, "AnalysisRunError"),
            AnalysisPhase::Failed => (EventKind::Warning, "AnalysisRunFailed"),
        };
        let detail = if run.message.is_empty() {
            String::new()
        } else {
            format!(": {}", run.message)
        };
        let message = format!(
            "analysis {} is {}{detail}",
            run.name,
            run.phase.as_str().to_lowercase()
        );
        self.event(kind, reason, message, "");
    }

    /// Ends what runs and is not the present step's. A client may have moved the index away from an analysis.
    pub fn end_other_runs(&mut self) {
        let analysing = matches!(
            self.step(self.index).map(CanaryStep::kind),
            Some(StepKind::Analysis(_))
        ) && !self.at_stable()
            && self.at_once.is_none();
        if let Some(canary) = self
            .status
            .canary
            .as_mut()
            .filter(|_| !analysing && self.news.aborted.is_none())
        {
            canary.current_step_analysis_run_status = None;
        }
        let canary = self.status.canary.as_ref();
        let current = canary.and_then(|canary| canary.current_step_analysis_run_status.as_ref());
        let current = current
            .filter(|_| !self.aborted())
            .map(|run| run.name.clone());
        for run in &self.observed.analysis_runs {
            let name = run.metadata.name.clone().unwrap_or_default();
            let over = view(run).phase.is_completed() || run.spec.terminate == Some(true);
            if !over && Some(&name) != current.as_ref() {
                self.event(
                    EventKind::Normal,
                    "AnalysisRunTerminating",
                    format!("ending analysis {name}"),
                    &name,
                );
                self.writes.push(Action::TerminateAnalysisRun { name });
            }
        }
    }
}

fn view(run: &AnalysisRun) -> RunView {
    let status = run.status.as_ref();
    RunView {
        name: run.metadata.name.clone().unwrap_or_default(),
        phase: status
            .and_then(|status| status.phase)
            .unwrap_or(AnalysisPhase::Pending),
        message: status
            .and_then(|status| status.message.clone())
            .unwrap_or_default(),
    }
}
