//! The AnalysisRuns of a canary: made under names that a restart repeats, ended when they are not needed any more.
//!
//! In: the runs observed, the present step. Out: create, terminate and delete actions, and the run's part of the status.
//! It must not judge measurements: the analysis engine does.

use std::collections::BTreeMap;

use agent_api::names::{
    ANNOTATION_REVISION, LABEL_INSTANCE_ID, LABEL_POD_HASH, LABEL_ROLLOUT_TYPE, LABEL_STEP_INDEX,
    ROLLOUT_TYPE_BACKGROUND, ROLLOUT_TYPE_POST_PROMOTION, ROLLOUT_TYPE_PRE_PROMOTION,
    ROLLOUT_TYPE_STEP, pause_reason,
};
use agent_api::object::ObjectMeta;
use agent_api::rollout_status::AnalysisRunRef;
use agent_api::{AnalysisPhase, AnalysisRun, CanaryStep, RolloutStatus, StepAnalysis, StepKind};

use super::current::owner;
use super::{Pass, Strategy};
use crate::analysis::news::news;
use crate::analysis::template::{run_spec, strict_annotation};
use crate::claims::{self, NamedKind};
use crate::plan::{Action, EventKind};
use crate::planted::Planted;
use crate::reason::Reason;

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// A step of a canary.
    Step,
    /// The whole update of a canary, in the background.
    Background,
    /// Blue-green, before the active Service is switched.
    PrePromotion,
    /// Blue-green, after it.
    PostPromotion,
}

impl RunKind {
    /// When it runs, for sentences.
    pub fn what(self) -> &'static str {
        match self {
            Self::Step => "of the step",
            Self::Background => "in the background",
            Self::PrePromotion => "before the switch",
            Self::PostPromotion => "after the switch",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Step => ROLLOUT_TYPE_STEP,
            Self::Background => ROLLOUT_TYPE_BACKGROUND,
            Self::PrePromotion => ROLLOUT_TYPE_PRE_PROMOTION,
            Self::PostPromotion => ROLLOUT_TYPE_POST_PROMOTION,
        }
    }

    /// What the status knows of the run of this kind.
    pub(super) fn known(self, status: &RolloutStatus) -> Option<&AnalysisRunRef> {
        let (canary, blue_green) = (status.canary.as_ref(), status.blue_green.as_ref());
        match self {
            Self::Step => canary?.current_step_analysis_run_status.as_ref(),
            Self::Background => canary?.current_background_analysis_run_status.as_ref(),
            Self::PrePromotion => blue_green?.pre_promotion_analysis_run_status.as_ref(),
            Self::PostPromotion => blue_green?.post_promotion_analysis_run_status.as_ref(),
        }
    }

    fn note(self, status: &mut RolloutStatus, run: AnalysisRunRef) {
        let place = match self {
            Self::Step => {
                &mut status
                    .canary
                    .get_or_insert_default()
                    .current_step_analysis_run_status
            }
            Self::Background => {
                let canary = status.canary.get_or_insert_default();
                &mut canary.current_background_analysis_run_status
            }
            Self::PrePromotion => {
                let blue_green = status.blue_green.get_or_insert_default();
                &mut blue_green.pre_promotion_analysis_run_status
            }
            Self::PostPromotion => {
                let blue_green = status.blue_green.get_or_insert_default();
                &mut blue_green.post_promotion_analysis_run_status
            }
        };
        *place = Some(run);
    }
}

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
    /// `<rollout>-<hash>-<revision>`, with `-<step, pre or post>` for all but the one in the background, and the attempt at
    /// the end from the second one on.
    pub(super) fn run_name(&self, kind: RunKind) -> String {
        let base = format!("{}-{}-{}", self.name(), self.new.hash, self.new.revision);
        let (base, attempt) = match kind {
            RunKind::Step => (format!("{base}-{}", self.index), self.new.attempt),
            RunKind::Background => (base, self.new.background_attempt),
            RunKind::PrePromotion => (format!("{base}-pre"), self.new.attempt),
            RunKind::PostPromotion => (format!("{base}-post"), self.new.attempt),
        };
        if self.bug.is(Planted::RunNamesDrift) {
            return format!("{base}.{}", self.observed.analysis_runs.len());
        }
        if attempt == 0 {
            base
        } else {
            format!("{base}.{attempt}")
        }
    }

    pub(super) fn find_run(&self, name: &str) -> Option<&AnalysisRun> {
        let mut all = self.observed.analysis_runs.iter();
        all.find(|run| run.metadata.name.as_deref() == Some(name))
    }

    /// What the status knows of exactly this run, once it is over: history may have deleted it since.
    fn remembered(&self, kind: RunKind, name: &str) -> Option<RunView> {
        let known = kind
            .known(&self.before)
            .filter(|known| known.name == name)?;
        let phase = known.status.filter(|phase| phase.is_completed())?;
        Some(RunView {
            name: known.name.clone(),
            phase,
            message: known.message.clone().unwrap_or_default(),
        })
    }

    /// The run was begun.
    pub fn has_run(&self, kind: RunKind) -> bool {
        let name = self.run_name(kind);
        self.find_run(&name).is_some() || self.remembered(kind, &name).is_some()
    }

    /// The run of this kind, made if it was not yet.
    pub fn run_of(&mut self, kind: RunKind, analysis: &StepAnalysis) -> RunView {
        let name = self.run_name(kind);
        let found = self.find_run(&name).map(view);
        let found = found.or_else(|| match kind {
            RunKind::Step | RunKind::Background => None,
            RunKind::PrePromotion | RunKind::PostPromotion => self.remembered(kind, &name),
        });
        let view = match found {
            Some(view) => view,
            None => self.make_run(kind, name, analysis),
        };
        self.note_run(kind, &view);
        view
    }

    fn note_run(&mut self, kind: RunKind, view: &RunView) {
        self.tell_phase(kind, view);
        let known = AnalysisRunRef {
            name: view.name.clone(),
            status: Some(view.phase),
            message: (!view.message.is_empty()).then(|| view.message.clone()),
            ..AnalysisRunRef::default()
        };
        kind.note(&mut self.status, known);
    }

    /// While a person has paused no run is begun, but one that failed takes the version back all the same.
    pub fn hear_in_pause(&mut self, kind: RunKind) {
        let name = self.run_name(kind);
        let Some(run) = self.find_run(&name).map(view) else {
            return;
        };
        if self.was_ended(kind) {
            return;
        }
        self.note_run(kind, &run);
        match run.phase {
            AnalysisPhase::Failed | AnalysisPhase::Error => {
                let what = self.what_run(kind);
                self.abort_for(&what, &run);
            }
            AnalysisPhase::Successful
            | AnalysisPhase::Running
            | AnalysisPhase::Pending
            | AnalysisPhase::Inconclusive => {}
        }
    }

    /// Somebody cleared the pause that an inconclusive run had made.
    pub fn resumed_after_inconclusive(&self, kind: RunKind) -> bool {
        let known = kind.known(&self.before);
        let of_this_attempt = known.is_some_and(|known| known.name == self.run_name(kind));
        let was = known.is_some_and(|known| known.status == Some(AnalysisPhase::Inconclusive));
        let cleared = self
            .pause(pause_reason::INCONCLUSIVE_ANALYSIS_RUN)
            .is_none();
        of_this_attempt && was && cleared && self.status.controller_pause == Some(true)
    }

    /// A run of somebody else's may have the name: then it is the next attempt's.
    fn free_name(&mut self, kind: RunKind, mut name: String) -> String {
        let observed = self.observed;
        for _ in &observed.taken {
            let Some(taken) = claims::taken(observed, NamedKind::AnalysisRun, &name) else {
                break;
            };
            match kind {
                RunKind::Background => self.next_background(),
                RunKind::Step | RunKind::PrePromotion | RunKind::PostPromotion => {
                    self.next_attempt();
                }
            }
            name = self.run_name(kind);
            self.say_taken(taken, &name);
        }
        name
    }

    fn make_run(&mut self, kind: RunKind, name: String, analysis: &StepAnalysis) -> RunView {
        let name = self.free_name(kind, name);
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
        labels.insert(LABEL_ROLLOUT_TYPE.to_owned(), kind.label().to_owned());
        if kind == RunKind::Step {
            labels.insert(LABEL_STEP_INDEX.to_owned(), self.index.to_string());
        }
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
                            ANNOTATION_REVISION.to_owned(),
                            self.new.revision.to_string(),
                        )])
                        .chain(strict_annotation(analysis, &self.effective.templates))
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
    fn tell_phase(&mut self, told: RunKind, run: &RunView) {
        let known = told
            .known(&self.before)
            .filter(|known| known.name == run.name)
            .and_then(|known| known.status);
        if known == Some(run.phase) {
            return;
        }
        let Some((kind, reason, message)) = news(&run.name, run.phase, &run.message) else {
            return;
        };
        let what = match told {
            RunKind::Background => "background",
            RunKind::Step | RunKind::PrePromotion | RunKind::PostPromotion => "",
        };
        self.event(kind, reason, message, what);
    }

    /// Ends what runs and is neither the present step's nor the background's. A client may have moved the index away from an analysis.
    pub fn end_other_runs(&mut self) {
        let analysing = matches!(
            self.step(self.index).map(CanaryStep::kind),
            Some(StepKind::Analysis(_))
        ) && !self.at_stable()
            && self.at_once.is_none();
        let background = self.background_run();
        // What an abort came from stays to be seen.
        if self.news.aborted.is_none()
            && let Some(canary) = &mut self.status.canary
        {
            if !analysing {
                canary.current_step_analysis_run_status = None;
            }
            if background.is_none() {
                canary.current_background_analysis_run_status = None;
            }
        }
        let current = self.wanted_run().map(|run| run.name.clone());
        for run in &self.observed.analysis_runs {
            let name = run.metadata.name.clone().unwrap_or_default();
            let over = view(run).phase.is_completed() || run.spec.terminate == Some(true);
            let mut wanted = [&current, &background].into_iter().flatten();
            if !over && wanted.all(|wanted| *wanted != name) {
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

impl Pass<'_> {
    /// The run that is waited for now.
    fn wanted_run(&self) -> Option<&AnalysisRunRef> {
        if self.aborted() {
            return None;
        }
        let kind = match self.strategy {
            Strategy::Canary(_) => RunKind::Step,
            Strategy::BlueGreen(_) if self.at_stable() || self.at_once.is_some() => return None,
            Strategy::BlueGreen(_) if self.index == 0 => RunKind::PrePromotion,
            Strategy::BlueGreen(_) => RunKind::PostPromotion,
        };
        kind.known(&self.status)
    }

    /// A run is under way, and nothing else is waited for.
    pub(super) fn analyses(&self) -> bool {
        let phase = self.wanted_run().and_then(|run| run.status);
        phase.is_some_and(|phase| !phase.is_completed())
    }

    /// A run that the status names.
    pub(super) fn is_named(&self, name: &str) -> bool {
        let all = [
            RunKind::Step,
            RunKind::Background,
            RunKind::PrePromotion,
            RunKind::PostPromotion,
        ];
        let named = |kind: RunKind| kind.known(&self.status).map(|run| run.name.as_str());
        all.into_iter().any(|kind| named(kind) == Some(name))
    }

    /// A run that failed, or could not measure, takes the version back; `what` says which run of it that is.
    pub fn abort_for(&mut self, what: &str, run: &RunView) {
        let word = run.phase.as_str().to_lowercase();
        let detail = if run.message.is_empty() {
            String::new()
        } else {
            format!(": {}", run.message)
        };
        self.abort(format!("analysis {} {what} {word}{detail}", run.name));
        let why = self.news.aborted.clone().unwrap_or_default();
        self.reasons.push(Reason::Aborted { why });
    }

    /// The runs of an earlier version or attempt are over.
    pub(super) fn forget_runs(&mut self) {
        if let Some(canary) = &mut self.status.canary {
            canary.current_step_analysis_run_status = None;
            canary.current_background_analysis_run_status = None;
            canary.current_experiment = None;
        }
        if let Some(blue_green) = &mut self.status.blue_green {
            blue_green.pre_promotion_analysis_run_status = None;
            blue_green.post_promotion_analysis_run_status = None;
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
