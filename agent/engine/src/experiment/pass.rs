//! The notebook of one pass over an Experiment: what is observed, what has been decided so far.
//!
//! In: `Observed`. Out: the means by which the other files of this folder write their part. It must not decide, but for
//! the conditions, which follow from the phase.

use agent_api::names::condition;
use agent_api::{AnalysisPhase, ExperimentStatus, ReplicaSet, TemplatePhase, TemplateStatus};
use jiff::{SignedDuration, Timestamp};

use super::names::{name_of, template_of};
use super::{Action, Observed, Plan, Reason};
use crate::pass::conditions::{FALSE, TRUE, set_in};
use crate::plan::{Event, EventKind};

/// Condition and reason of what is over.
const COMPLETE: &str = "ExperimentComplete";
/// Reason of what runs.
const RUNS: &str = "ExperimentRunning";
/// Reason while pods are becoming available.
const MAKES_PODS: &str = "ReplicaSetUpdated";
/// Reason of a template whose time is over.
pub(super) const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// The notebook.
pub(super) struct Pass<'a> {
    pub observed: &'a Observed,
    pub status: ExperimentStatus,
    pub actions: Vec<Action>,
    pub events: Vec<Event>,
    pub reasons: Vec<Reason>,
    pub wake: Option<Timestamp>,
    /// A template's time was over in this pass.
    pub timed_out: bool,
}

impl<'a> Pass<'a> {
    pub fn new(observed: &'a Observed) -> Self {
        Self {
            observed,
            status: observed.experiment.status.clone().unwrap_or_default(),
            actions: Vec::new(),
            events: Vec::new(),
            reasons: Vec::new(),
            wake: None,
            timed_out: false,
        }
    }

    pub fn into_plan(self) -> Plan {
        let mut actions = self.actions;
        actions.extend(self.events.into_iter().map(Action::Event));
        Plan {
            actions,
            status: self.status,
            reasons: self.reasons,
            wake: self.wake,
        }
    }

    /// The Experiment's name.
    pub fn name(&self) -> &'a str {
        name_of(&self.observed.experiment.metadata)
    }

    /// The verdict, if there is one.
    pub fn over(&self) -> Option<AnalysisPhase> {
        self.status.phase.filter(|phase| phase.is_completed())
    }

    /// Somebody asked for its end.
    pub fn terminated(&self) -> bool {
        self.observed.experiment.spec.terminate == Some(true)
    }

    /// The ReplicaSet of a template; one that is being deleted is none.
    pub fn set_of(&self, template: &str) -> Option<&'a ReplicaSet> {
        let mut all = self.observed.replica_sets.iter();
        all.find(|set| {
            template_of(set) == Some(template) && set.metadata.deletion_timestamp.is_none()
        })
    }

    /// The state of a template, if it has one.
    pub fn template_status(&self, name: &str) -> Option<&TemplateStatus> {
        let mut all = self.status.template_statuses.iter();
        all.find(|one| one.name == name)
    }

    pub fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    pub fn later(&self, seconds: i32) -> Timestamp {
        let span = SignedDuration::from_secs(i64::from(seconds));
        let at = self.observed.now.checked_add(span);
        at.unwrap_or(Timestamp::MAX)
    }

    pub fn event(&mut self, kind: EventKind, reason: &'static str, message: String, key: String) {
        self.events.push(Event {
            kind,
            reason,
            message,
            key,
        });
    }

    /// It begins: no phase is known yet, or somebody cleared the status.
    pub fn begin(&mut self) {
        if self.status.phase.is_none() {
            self.status.phase = Some(AnalysisPhase::Pending);
        }
        // What it waited for before it began.
        self.status.message = None;
    }

    /// Nothing is made of what is wrong; of what was made before, the pods go.
    pub fn invalid(&mut self, message: String) {
        let now = self.observed.now;
        let conditions = &mut self.status.conditions;
        let kind = condition::INVALID_SPEC;
        set_in(conditions, now, kind, TRUE, kind, message.clone());
        self.reasons.push(Reason::InvalidSpec {
            message: message.clone(),
        });
        self.conclude(AnalysisPhase::Error, Some(message));
        self.settle_conditions();
    }

    /// The verdict: it is final.
    pub fn conclude(&mut self, phase: AnalysisPhase, message: Option<String>) {
        let now = self.observed.now;
        // Nothing is begun in the pass that ends it.
        self.actions.retain(|action| match action {
            Action::CreateReplicaSet { .. }
            | Action::CreateService { .. }
            | Action::CreateAnalysisRun { .. } => false,
            Action::ScaleReplicaSet { .. }
            | Action::DeleteService { .. }
            | Action::TerminateAnalysisRun { .. }
            | Action::Event(_) => true,
        });
        self.status.phase = Some(phase);
        self.status.message.clone_from(&message);
        for one in &mut self.status.template_statuses {
            if !one.status.is_some_and(TemplatePhase::is_completed) {
                one.status = Some(TemplatePhase::Successful);
                one.last_transition_time = Some(now.into());
            }
        }
        self.reasons.push(Reason::Over { phase });
        self.tell_phase(phase, message);
        self.end_runs();
        let delay = self.observed.experiment.spec.delay_seconds();
        let until = self.later(delay);
        self.wake_at(until);
    }

    /// An event when the phase is another one than the status says.
    pub fn tell_phase(&mut self, phase: AnalysisPhase, message: Option<String>) {
        if super::phase(&self.observed.experiment) == phase {
            return;
        }
        let (kind, reason) = match phase {
            AnalysisPhase::Pending => return,
            AnalysisPhase::Running => (EventKind::Normal, "ExperimentRunning"),
            AnalysisPhase::Successful => (EventKind::Normal, "ExperimentSuccessful"),
            AnalysisPhase::Inconclusive => (EventKind::Normal, "ExperimentInconclusive"),
            AnalysisPhase::Error => (EventKind::Warning, "ExperimentError"),
            AnalysisPhase::Failed => (EventKind::Warning, "ExperimentFailed"),
        };
        let detail = message.map(|why| format!(": {why}")).unwrap_or_default();
        let text = format!("experiment is {}{detail}", phase.as_str().to_lowercase());
        self.event(kind, reason, text, phase.to_string());
    }

    /// Conditions, which follow from phase and templates.
    pub fn settle_conditions(&mut self) {
        let now = self.observed.now;
        let phase = self.status.phase.unwrap_or_default();
        let over = phase.is_completed();
        let running = phase == AnalysisPhase::Running;
        let failure = self.observed.replica_sets.iter().find_map(|set| {
            let found = set.failure().filter(|_| set.desired() > 0)?;
            let (reason, message) = (found.reason.clone(), found.message.clone());
            Some((reason.unwrap_or_default(), message.unwrap_or_default()))
        });
        let word = |yes: bool| if yes { TRUE } else { FALSE };
        let text = format!("experiment is {}", phase.as_str().to_lowercase());
        let (moves, why) = match (over, running) {
            (true, _) if self.timed_out => (false, TIMED_OUT),
            (true, _) => (false, COMPLETE),
            (false, true) => (true, RUNS),
            (false, false) => (true, MAKES_PODS),
        };
        let conditions = &mut self.status.conditions;
        if !over {
            conditions.retain(|known| known.r#type != condition::INVALID_SPEC);
        }
        let (moving, runs) = (condition::PROGRESSING, condition::RUNNING);
        set_in(conditions, now, moving, word(moves), why, text.clone());
        set_in(conditions, now, runs, word(running), RUNS, text.clone());
        let done = condition::COMPLETED;
        set_in(conditions, now, done, word(over), COMPLETE, text);
        let kind = condition::REPLICA_FAILURE;
        match failure.filter(|_| !over) {
            Some((reason, message)) => set_in(conditions, now, kind, TRUE, &reason, message),
            None => conditions.retain(|known| known.r#type != kind),
        }
    }
}
