//! One pass over one Rollout, whatever its strategy: what is known, and what has been decided so far.
//!
//! In: what is observed, what runs, what the gate decided. Out: the notebook that the files of this folder and of the
//! strategies' folders write into, in a fixed order. It must not decide.

pub mod autoscale;
pub mod background;
pub mod conditions;
pub mod current;
pub mod duration;
pub mod ended;
pub mod history;
mod honoured;
pub mod metadata;
pub mod phase;
pub mod progress;
pub mod refused;
pub mod restart;
pub mod rollback;
pub mod runs;
pub mod serving;
mod takeover;
pub mod verbs;
pub mod verdict;

use agent_api::names::pause_reason;
use agent_api::{
    BlueGreenStrategy, CanaryStep, CanaryStrategy, ContentDigest, PauseCondition, PodHash,
    ReplicaSet, RolloutStatus, RolloutStrategy,
};
use jiff::Timestamp;

use self::phase::GateView;
use crate::canary::replicas::Limits;
use crate::effective::Effective;
use crate::gate::decision::{Decision, Mode};
use crate::gate::facts::Facts;
use crate::observed::Observed;
use crate::plan::{Action, Event, EventKind};
use crate::planted::Bug;
use crate::reason::Reason;
use crate::sets::SetView;

/// Replicas of a Rollout that does not say.
const DEFAULT_REPLICAS: i32 = 1;

/// The strategy of what runs.
#[derive(Debug, Clone, Copy)]
pub enum Strategy<'a> {
    /// Step by step beside the stable version.
    Canary(&'a CanaryStrategy),
    /// All at once, after a preview.
    BlueGreen(&'a BlueGreenStrategy),
}

impl<'a> Strategy<'a> {
    /// The strategy that is given; `None` when none is (validation says so before).
    pub fn of(strategy: &'a RolloutStrategy) -> Option<Self> {
        let canary = strategy.canary.as_ref().map(Self::Canary);
        canary.or(strategy.blue_green.as_ref().map(Self::BlueGreen))
    }

    /// The canary's fields, if it is one.
    pub fn canary(self) -> Option<&'a CanaryStrategy> {
        match self {
            Self::Canary(canary) => Some(canary),
            Self::BlueGreen(_) => None,
        }
    }
}

/// What the record has to know of a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The content that ran.
    pub digest: ContentDigest,
    /// Its hash.
    pub pod_hash: PodHash,
    /// The step, from 0.
    pub step: i32,
    /// All weight and all pods are its, all steps and analyses are done.
    pub served: bool,
    /// It was aborted, and why.
    pub aborted: Option<String>,
    /// It is the stable version.
    pub stable: bool,
    /// A canary that has every step behind it: the share that it is at is the whole, and there is no step to stop at.
    pub past_steps: bool,
}

/// The notebook of one pass.
pub struct Pass<'a> {
    /// What is observed.
    pub observed: &'a Observed,
    /// What runs.
    pub effective: &'a Effective,
    /// Its strategy.
    pub strategy: Strategy<'a>,
    /// What the gate decided.
    pub decision: &'a Decision,
    /// What it decided from.
    pub facts: &'a Facts,
    /// The status as observed, without the gate's own pause.
    pub before: RolloutStatus,
    /// The status as planned.
    pub status: RolloutStatus,
    /// The version that is wanted.
    pub new: SetView,
    /// Its ReplicaSet, when it has to be made.
    pub creating: Option<Box<ReplicaSet>>,
    /// The stable version, when it is another one.
    pub stable: Option<SetView>,
    /// All others, oldest revision first.
    pub older: Vec<SetView>,
    /// Writes, in order.
    pub writes: Vec<Action>,
    /// Events, in order.
    pub events: Vec<Event>,
    /// Reasons, in order.
    pub reasons: Vec<Reason>,
    /// When to look again.
    pub wake: Option<Timestamp>,
    /// The step, from 0; the number of steps when all are done.
    pub index: i32,
    /// All weight at once: first deploy, full promotion, back to stable, rollback.
    pub at_once: Option<Reason>,
    /// Why the gate stops it at this step.
    pub gate_stop: Option<String>,
    /// What happened in this pass that conditions tell of.
    pub news: News,
    /// The bug of this pass.
    pub bug: Bug,
}

/// What happened in this pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// The current version is another one than before.
    pub changed: bool,
    /// An abort was lifted.
    pub retried: bool,
    /// The version was aborted in this pass, or is; why.
    pub aborted: Option<String>,
    /// The stable version is another one now.
    pub promoted: bool,
    /// What let it become so.
    pub promoted_by: Option<Reason>,
    /// Nothing has moved for too long: what is to be said of it.
    pub timed_out: Option<String>,
    /// A step that makes or takes away a route was passed.
    pub routes: bool,
}

impl<'a> Pass<'a> {
    /// The Rollout's replicas.
    pub fn replicas(&self) -> i32 {
        self.observed
            .rollout
            .spec
            .replicas
            .unwrap_or(DEFAULT_REPLICAS)
            .max(0)
    }

    /// The bounds of scaling.
    pub fn limits(&self) -> Limits {
        Limits::of(self.strategy, self.replicas())
    }

    /// The steps.
    pub fn steps(&self) -> &'a [CanaryStep] {
        self.strategy.canary().map_or(&[], |canary| &canary.steps)
    }

    /// How many steps there are.
    pub fn step_count(&self) -> i32 {
        i32::try_from(self.steps().len()).unwrap_or(i32::MAX)
    }

    /// The step at an index.
    pub fn step(&self, index: i32) -> Option<&'a CanaryStep> {
        self.steps().get(usize::try_from(index).ok()?)
    }

    /// The wanted version is the stable one.
    pub fn at_stable(&self) -> bool {
        self.status.stable_rs.as_ref() == Some(&self.new.hash)
    }

    /// There is no stable version yet, or its pods are gone.
    pub fn initial(&self) -> bool {
        !self.at_stable() && self.stable.is_none()
    }

    /// The abort is latched.
    pub fn aborted(&self) -> bool {
        self.status.abort == Some(true)
    }

    /// What the record has to know of it.
    pub fn progress_made(&self) -> Progress {
        Progress {
            digest: self.effective.digest.clone(),
            pod_hash: self.new.hash.clone(),
            step: self.index,
            served: self.complete(),
            aborted: self
                .aborted()
                .then(|| self.news.aborted.clone().unwrap_or_default()),
            stable: self.at_stable(),
            past_steps: self.strategy.canary().is_some()
                && self.index >= self.step_count()
                && self.gate_stop.is_none(),
        }
    }

    /// The number of steps when everything is at rest, else the index.
    pub fn shown_index(&self) -> Option<i32> {
        (self.step_count() > 0).then_some(self.index)
    }

    /// Generation of the Rollout.
    pub fn generation(&self) -> i64 {
        self.observed.rollout.metadata.generation.unwrap_or(0)
    }

    /// The name of the Rollout.
    pub fn name(&self) -> &'a str {
        self.observed
            .rollout
            .metadata
            .name
            .as_deref()
            .unwrap_or_default()
    }

    /// Adds an event; `what` tells apart those of one step.
    pub fn event(&mut self, kind: EventKind, reason: &'static str, message: String, what: &str) {
        let mut key = format!(
            "{}.{}.{}.{}",
            self.generation(),
            self.new.revision,
            self.new.attempt,
            self.index
        );
        if !what.is_empty() {
            key.push('.');
            key.push_str(what);
        }
        self.events.push(Event {
            kind,
            reason,
            message,
            key,
        });
    }

    /// Asks to be looked at again, if nothing earlier did.
    pub fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// A pause condition of the planned status.
    pub fn pause(&self, reason: &str) -> Option<&PauseCondition> {
        self.status.pause_condition(reason)
    }

    /// Adds a pause that the controller makes.
    pub fn add_pause(&mut self, reason: &str) {
        if self.pause(reason).is_none() {
            let start_time = self.observed.now.into();
            let pause = PauseCondition {
                reason: reason.to_owned(),
                start_time,
                ..PauseCondition::default()
            };
            self.status.pause_conditions.push(pause);
        }
        self.status.controller_pause = Some(true);
    }

    /// Takes all pauses of the controller away.
    pub fn clear_pauses(&mut self) {
        self.status.pause_conditions.clear();
        self.status.controller_pause = None;
    }

    /// The fleet takes the version back without walking through steps: why.
    pub fn rolls_back_at_once(&self) -> Option<Reason> {
        match &self.decision.mode {
            Mode::Rollback {
                release,
                why,
                steps_backwards: false,
                ..
            } => Some(Reason::FleetRollback {
                release: release.clone(),
                why: why.clone(),
            }),
            Mode::Rollback { .. } | Mode::Open | Mode::Forward { .. } | Mode::Held => None,
        }
    }

    /// Sets or removes annotations of the Rollout, in one write.
    pub fn annotate_rollout(&mut self, key: &str, value: Option<String>) {
        annotate_rollout(&mut self.writes, key, value);
    }

    /// What follows the scaling, whatever the strategy.
    pub fn close(&mut self, view: &GateView) -> Progress {
        self.restart();
        self.release_services();
        self.end_other_runs();
        self.end_other_experiments();
        self.trim_history();
        self.settle_conditions();
        self.settle_counts();
        self.settle_phase(view);
        self.settle_release();
        self.explain_gate();
        self.progress_made()
    }
}

/// Sets or removes an annotation of the Rollout; all of a plan are one write.
pub fn annotate_rollout(actions: &mut Vec<Action>, key: &str, value: Option<String>) {
    let known = actions.iter_mut().find_map(|action| {
        let Action::PatchRollout { annotations } = action else {
            return None;
        };
        Some(annotations)
    });
    match known {
        Some(annotations) => {
            annotations.insert(key.to_owned(), value);
        }
        None => actions.push(Action::PatchRollout {
            annotations: [(key.to_owned(), value)].into(),
        }),
    }
}

/// The status without the gate's own pause, which is put on again at the end where it belongs.
pub fn without_gate_pause(status: &RolloutStatus) -> RolloutStatus {
    let mut status = status.clone();
    status
        .pause_conditions
        .retain(|pause| pause.reason != pause_reason::FLEET_GATE);
    status
}
