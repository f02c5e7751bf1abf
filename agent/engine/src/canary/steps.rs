//! The walk through the steps.
//!
//! In: the planned status, the ReplicaSets' numbers, the runs. Out: the step index, pauses, an abort. It must not scale.

use agent_api::duration::from_int_or_string;
use agent_api::names::pause_reason;
use agent_api::{CanaryStep, PauseStep, StepAnalysis, StepKind};
use jiff::SignedDuration;

use super::replicas::{FULL_WEIGHT, Want, threshold};
use crate::pass::Pass;
use crate::pass::background::Background;
use crate::pass::runs::RunKind;
use crate::pass::verdict::Heard;
use crate::plan::EventKind;
use crate::planted::Planted;
use crate::reason::Reason;

/// Whether a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Yes,
    No,
}

fn done(yes: bool) -> Done {
    if yes { Done::Yes } else { Done::No }
}

impl Pass<'_> {
    /// Walks as far as it goes in this pass.
    pub fn walk(&mut self) {
        if self.at_stable() || self.aborted() || self.refused().is_some() {
            return;
        }
        self.at_once = self.rolls_back_at_once().or(self.at_once.take());
        if self.initial() {
            self.at_once = Some(Reason::InitialDeploy);
            self.index = 0;
        }
        let paused = self.observed.rollout.spec.paused == Some(true);
        if self.at_once.is_some() && self.halted() && paused {
            self.reasons.push(Reason::PausedByPerson);
        }
        if self.initial() {
            return;
        }
        self.take_rollback_window();
        if self.at_once.is_some() {
            self.clear_pauses();
            self.index = self.step_count();
            return;
        }
        if self.has_no_steps() {
            let digest = self.effective.digest.clone();
            self.reasons.push(Reason::TemplateLost { digest });
            self.gate_stop = self.decision.message.clone();
            return;
        }
        let stops = self.watch_background() == Background::Stops;
        if paused && !self.aborted() {
            self.reasons.push(Reason::PausedByPerson);
            match self.step(self.index).map(CanaryStep::kind) {
                Some(StepKind::Analysis(_)) => self.hear_in_pause(RunKind::Step),
                Some(StepKind::Experiment(_)) => self.hear_experiment_in_pause(),
                Some(_) | None => {}
            }
            return;
        }
        if stops {
            return;
        }
        while let Some(step) = self.step(self.index) {
            let may_pause = matches!(
                step.kind(),
                StepKind::Pause(_) | StepKind::Analysis(_) | StepKind::Experiment(_)
            );
            if !may_pause {
                self.clear_pauses();
            }
            let done = match step.kind() {
                StepKind::SetWeight(weight) => self.weight_step(weight),
                StepKind::Pause(pause) => self.pause_step(pause),
                StepKind::Analysis(analysis) => self.analysis_step(analysis),
                StepKind::Experiment(step) => self.experiment_step(step),
                StepKind::CanaryScale(_) => self.scale_step(),
                StepKind::HeaderRoute(_) | StepKind::MirrorRoute(_) => {
                    self.route_step();
                    Done::Yes
                }
                // The spec was checked before the pass began.
                StepKind::Unsupported(_) | StepKind::Invalid(_) => Done::No,
            };
            if done == Done::No || self.aborted() || self.bounded() {
                return;
            }
            self.complete_step(&describe(&step.kind()));
        }
        self.clear_pauses();
    }

    /// The gate lets it go no further than this step.
    fn bounded(&mut self) -> bool {
        let Some(max) = self.decision.max_step else {
            return false;
        };
        if self.index < max {
            return false;
        }
        let shown = self.index.saturating_add(1);
        let why = self
            .decision
            .message
            .clone()
            .unwrap_or_else(|| format!("the permit ends at step {shown}"));
        self.reasons.push(Reason::StepBoundary {
            step: shown,
            why: why.clone(),
        });
        self.gate_stop = Some(why);
        true
    }

    fn complete_step(&mut self, what: &str) {
        self.clear_pauses();
        if let Some(canary) = &mut self.status.canary {
            canary.current_step_analysis_run_status = None;
            canary.current_experiment = None;
        }
        let message = format!(
            "step {} of {} done ({what})",
            self.index.saturating_add(1),
            self.step_count()
        );
        self.event(EventKind::Normal, "RolloutStepCompleted", message, "");
        self.index = self.index.saturating_add(1);
    }

    /// The whole: 100, unless a router has its own.
    pub fn full_weight(&self) -> i32 {
        self.routed().map_or(FULL_WEIGHT, |routed| routed.most)
    }

    /// The share that the steps up to the present one ask for.
    pub fn weight(&self) -> i32 {
        // A first version that was aborted has nothing to go back to: its pods stay.
        if self.at_once.is_some() || self.at_stable() || self.initial() {
            return self.full_weight();
        }
        if self.aborted() {
            return 0;
        }
        if self.index >= self.step_count() {
            return self.full_weight();
        }
        let upto = usize::try_from(self.index).unwrap_or(0).saturating_add(1);
        self.steps()
            .iter()
            .take(upto)
            .rev()
            .find_map(|step| step.set_weight)
            .unwrap_or(0)
    }

    /// How many of so many pods have to be available for the next step and for promotion.
    pub fn enough_of(&self, wanted: i32) -> i32 {
        let canary = self.strategy.canary();
        threshold(
            canary.and_then(|canary| canary.replica_progress_threshold.as_ref()),
            wanted,
        )
    }

    fn weight_step(&self, weight: i32) -> Done {
        if self.bug.is(Planted::StepUnseen) && self.creating.is_none() {
            return Done::Yes;
        }
        let Some(routed) = self.routed() else {
            let others = self
                .older
                .iter()
                .all(|set| set.desired == 0 && set.available == 0);
            return done(others && self.has(self.parts(self.limits(), weight)));
        };
        let share = self.share(routed);
        let there = self.has(self.want_routed(routed));
        done(there && share.weight == share.target && self.confirmed(share.target))
    }

    fn scale_step(&self) -> Done {
        // Validation refuses it without a router.
        done(
            self.routed()
                .is_some_and(|routed| self.has(self.want_routed(routed))),
        )
    }

    /// The new version has the pods that are wanted, and so has the stable one where it does not follow its traffic.
    fn has(&self, want: Want) -> bool {
        let new = self.creating.is_none()
            && self.new.desired == want.new
            && self.new.available >= self.enough_of(want.new);
        let follows = self.routed().is_some_and(|routed| routed.dynamic);
        let stable = self.stable.as_ref().map_or(want.stable, |set| set.desired);
        new && (follows || stable == want.stable)
    }

    fn pause_step(&mut self, pause: &PauseStep) -> Done {
        let shown = self.index.saturating_add(1);
        let running = self
            .pause(pause_reason::CANARY_PAUSE_STEP)
            .map(|pause| self.observed.begun(pause));
        let resumed = running.is_none() && self.status.controller_pause == Some(true);
        if resumed {
            return Done::Yes;
        }
        let length = pause
            .duration
            .as_ref()
            .and_then(|duration| from_int_or_string(duration).ok());
        let start = running.unwrap_or_else(|| self.observed.now.into());
        let Some(length) = length else {
            self.begin_pause(running.is_some());
            self.reasons.push(Reason::PauseForPerson { step: shown });
            return Done::No;
        };
        let until = start.saturating_add(length);
        if until <= self.observed.now || length <= SignedDuration::ZERO {
            return Done::Yes;
        }
        self.begin_pause(running.is_some());
        self.wake_at(until);
        let elapsed = self
            .observed
            .now
            .duration_since(start.timestamp())
            .as_secs();
        self.reasons.push(Reason::PauseUntil {
            step: shown,
            seconds: length.as_secs(),
            elapsed,
            until,
        });
        Done::No
    }

    fn begin_pause(&mut self, already: bool) {
        if already {
            self.status.controller_pause = Some(true);
            return;
        }
        self.add_pause(pause_reason::CANARY_PAUSE_STEP);
        self.event(
            EventKind::Normal,
            "RolloutPaused",
            format!("paused at step {}", self.index.saturating_add(1)),
            "",
        );
    }

    fn analysis_step(&mut self, analysis: &StepAnalysis) -> Done {
        self.resume_run(RunKind::Step);
        match self.follow_run(RunKind::Step, analysis) {
            Heard::Good => Done::Yes,
            Heard::Runs | Heard::Stops => Done::No,
        }
    }
}

fn describe(kind: &StepKind<'_>) -> String {
    match kind {
        StepKind::SetWeight(weight) => format!("setWeight {weight}"),
        StepKind::Pause(_) => "pause".to_owned(),
        StepKind::Analysis(_) => "analysis".to_owned(),
        StepKind::Experiment(_) => "experiment".to_owned(),
        StepKind::CanaryScale(_) => "setCanaryScale".to_owned(),
        StepKind::HeaderRoute(route) => format!("setHeaderRoute {}", route.name),
        StepKind::MirrorRoute(route) => format!("setMirrorRoute {}", route.name),
        StepKind::Unsupported(key) => key.clone(),
        StepKind::Invalid(text) => text.clone(),
    }
}
