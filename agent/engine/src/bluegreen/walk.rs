//! How far a new version is: previewed, analysed, paused, switched to, analysed again, stable.
//!
//! In: the planned status, the ReplicaSets' numbers, the Services, the runs. Out: the stage, pauses, an abort, the new
//! stable version. It must not scale and must not touch a Service.

use agent_api::names::pause_reason;
use agent_api::{BlueGreenStrategy, PodHash, StatusTime, StepAnalysis};
use jiff::SignedDuration;

use super::{DEFAULT_DELAY, SWITCHED, Stage};
use crate::gate::decision::Mode;
use crate::pass::Pass;
use crate::pass::runs::RunKind;
use crate::pass::verdict::Heard;
use crate::plan::EventKind;
use crate::planted::Planted;
use crate::reason::Reason;
use crate::services;

impl Pass<'_> {
    /// Walks as far as it goes in this pass.
    pub(super) fn walk_blue_green(&mut self, strategy: &BlueGreenStrategy) -> Stage {
        let switched = self.selected(strategy).as_ref() == Some(&self.new.hash);
        self.index = if switched || self.at_stable() {
            SWITCHED
        } else {
            0
        };
        if self.at_stable() {
            return Stage::Done;
        }
        if self.aborted() || self.refused().is_some() {
            return Stage::Waits;
        }
        if self.has_no_steps() {
            let digest = self.effective.digest.clone();
            self.reasons.push(Reason::TemplateLost { digest });
            self.gate_stop = self.decision.message.clone();
            return Stage::Waits;
        }
        self.at_once = self.fleet_rollback().or(self.at_once.take());
        if self.initial() {
            self.at_once = Some(Reason::InitialDeploy);
        } else if self.at_once.is_none() && self.returns_in_time() {
            self.at_once = Some(Reason::FastRollback);
            if self.news.changed {
                let message = "back to a version that still has its pods".to_owned();
                self.event(EventKind::Normal, "SkipSteps", message, "");
            }
        }
        self.take_rollback_window();
        if self.at_once == Some(Reason::RollbackWindow) && self.news.changed {
            let message = format!(
                "revision {} is within the rollback window",
                self.new.revision
            );
            self.event(EventKind::Normal, "SkipSteps", message, "");
        }
        if self.at_once.is_some() {
            self.clear_pauses();
        } else if self.observed.rollout.spec.paused == Some(true) {
            self.reasons.push(Reason::PausedByPerson);
            let (kind, analysis) = if switched {
                (RunKind::PostPromotion, &strategy.post_promotion_analysis)
            } else {
                (RunKind::PrePromotion, &strategy.pre_promotion_analysis)
            };
            if analysis.is_some() {
                self.hear_in_pause(kind);
            }
            return Stage::Waits;
        }
        if switched {
            self.verify(strategy)
        } else {
            self.preview(strategy)
        }
    }

    /// The version that the active Service selects.
    pub(super) fn selected(&self, strategy: &BlueGreenStrategy) -> Option<PodHash> {
        let name = strategy.active_service.as_deref()?;
        services::selects(services::find(self.observed, name)?)
    }

    /// There are no steps to walk backwards: the fleet's rollback is always at once.
    fn fleet_rollback(&self) -> Option<Reason> {
        match &self.decision.mode {
            Mode::Rollback { release, why, .. } => Some(Reason::FleetRollback {
                release: release.clone(),
                why: why.clone(),
            }),
            Mode::Open | Mode::Forward { .. } | Mode::Held => None,
        }
    }

    /// It was the stable version a moment ago and still has its pods. One that was aborted has them too, and proves nothing.
    fn returns_in_time(&self) -> bool {
        let waiting = self.new.scale_down_at.is_some() && self.new.desired > 0;
        waiting && !self.new.taken_back && !self.news.retried
    }

    /// Everything before the switch.
    fn preview(&mut self, strategy: &BlueGreenStrategy) -> Stage {
        let mut why = self
            .at_once
            .as_ref()
            .map(Reason::to_string)
            .unwrap_or_default();
        if self.at_once.is_none() {
            let there = self.has_pods(self.preview_count(strategy));
            if !self.analysed(
                RunKind::PrePromotion,
                strategy.pre_promotion_analysis.as_ref(),
                there,
            ) {
                return Stage::Waits;
            }
            let began = self.pause(pause_reason::BLUE_GREEN_PAUSE).is_some()
                || self.status.controller_pause == Some(true)
                || self.passed_check_point();
            if !there && !began {
                return Stage::Waits;
            }
            match self.pause_over(strategy) {
                Some(over) => why = over.to_owned(),
                None => return Stage::Waits,
            }
        }
        if self.at_once != Some(Reason::InitialDeploy) && self.bounded_before_switch() {
            return Stage::Waits;
        }
        if strategy.preview_replica_count.is_some() {
            self.pass_check_point();
        }
        let early = self.bug.is(Planted::SwitchTooEarly) && self.creating.is_none();
        if !self.has_pods(self.replicas()) && !early {
            return Stage::Waits;
        }
        self.clear_pauses();
        self.index = SWITCHED;
        self.reasons.push(Reason::Switches { why });
        Stage::CutsOver
    }

    /// Everything after the switch.
    fn verify(&mut self, strategy: &BlueGreenStrategy) -> Stage {
        let there = self.has_pods(self.replicas());
        let analysis = strategy.post_promotion_analysis.as_ref();
        if self.at_once.is_some() || self.analysed(RunKind::PostPromotion, analysis, there) {
            Stage::Done
        } else {
            Stage::Waits
        }
    }

    /// The new version has so many pods, and they are available.
    pub(super) fn has_pods(&self, count: i32) -> bool {
        self.creating.is_none() && self.new.desired >= count && self.new.available >= count
    }

    /// Pods of the new version before it is promoted.
    pub(super) fn preview_count(&self, strategy: &BlueGreenStrategy) -> i32 {
        let count = strategy.preview_replica_count;
        let count = count.filter(|_| !self.passed_check_point());
        count.map_or(self.replicas(), |count| count.clamp(0, self.replicas()))
    }

    /// It is promoted, and waits for its pods alone.
    fn passed_check_point(&self) -> bool {
        let state = self.status.blue_green.as_ref();
        state.is_some_and(|state| state.scale_up_preview_check_point == Some(true))
    }

    fn pass_check_point(&mut self) {
        let state = self.status.blue_green.get_or_insert_default();
        state.scale_up_preview_check_point = Some(true);
    }

    /// What is left is the sign that it was here: it does not begin again while pods come up. A controller's pause without
    /// a condition would be that sign too, and clients read it as a pause that is about to be lifted.
    fn leave_pause(&mut self) {
        self.clear_pauses();
        self.pass_check_point();
    }

    fn bounded_before_switch(&mut self) -> bool {
        let Some(max) = self.decision.max_step.filter(|max| *max < SWITCHED) else {
            return false;
        };
        let why = self.decision.message.clone();
        let why = why.unwrap_or_else(|| "the permit ends before the switch".to_owned());
        self.reasons.push(Reason::StepBoundary {
            step: max.saturating_add(1),
            why: why.clone(),
        });
        self.gate_stop = Some(why);
        true
    }

    /// Why the pause before the switch is over; `None` while it is not.
    fn pause_over(&mut self, strategy: &BlueGreenStrategy) -> Option<&'static str> {
        let automatic = strategy.auto_promotion_enabled != Some(false);
        let seconds = strategy.auto_promotion_seconds.unwrap_or(0).max(0);
        if automatic && seconds == 0 {
            return Some("promotion is automatic");
        }
        if self.passed_check_point() {
            self.clear_pauses();
            return Some("the pause is over");
        }
        let running = self
            .pause(pause_reason::BLUE_GREEN_PAUSE)
            .map(|pause| self.observed.begun(pause));
        let Some(start) = running else {
            // It was here and somebody took it away.
            if self.status.controller_pause == Some(true) {
                self.leave_pause();
                return Some("the pause is over");
            }
            self.add_pause(pause_reason::BLUE_GREEN_PAUSE);
            let message = "paused before the active service is switched".to_owned();
            self.event(EventKind::Normal, "RolloutPaused", message, "");
            return self.pause_goes_on(automatic.then_some(seconds), self.observed.now.into());
        };
        self.pause_goes_on(automatic.then_some(seconds), start)
    }

    fn pause_goes_on(&mut self, seconds: Option<i32>, start: StatusTime) -> Option<&'static str> {
        let Some(seconds) = seconds.map(i64::from) else {
            self.reasons.push(Reason::PromotionForPerson);
            return None;
        };
        let until = start.saturating_add(SignedDuration::from_secs(seconds));
        if until <= self.observed.now {
            self.leave_pause();
            return Some("the seconds of the pause are over");
        }
        self.wake_at(until);
        let begun = start.timestamp();
        let elapsed = self.observed.now.duration_since(begun).as_secs();
        self.reasons.push(Reason::PromotionUntil {
            seconds,
            elapsed,
            until,
        });
        None
    }

    /// An analysis beside the switch is over and good, or there is none. It starts when the pods are there, and once
    /// started it goes on whatever becomes of them.
    fn analysed(&mut self, kind: RunKind, analysis: Option<&StepAnalysis>, there: bool) -> bool {
        let Some(analysis) = analysis else {
            return true;
        };
        self.resume_run(kind);
        if !there && !self.has_run(kind) {
            return false;
        }
        self.follow_run(kind, analysis) == Heard::Good
    }

    /// The new version is active and verified: it is the stable one from now on.
    pub(super) fn finish(&mut self, stage: Stage, strategy: &BlueGreenStrategy) {
        let whole = self.has_pods(self.replicas());
        if stage != Stage::Done || self.at_stable() || !whole || self.gate_stop.is_some() {
            return;
        }
        let why = self.at_once.take().unwrap_or(Reason::Verified);
        self.news.promoted_by = Some(why.clone());
        self.reasons.push(why.clone());
        self.status.stable_rs = Some(self.new.hash.clone());
        self.status.promote_full = None;
        self.clear_pauses();
        if let Some(state) = &mut self.status.blue_green {
            state.scale_up_preview_check_point = None;
        }
        self.news.promoted = true;
        if let Some(mut old) = self.stable.take() {
            if old.desired > 0 {
                let seconds = strategy.scale_down_delay_seconds.unwrap_or(DEFAULT_DELAY);
                self.delay(&mut old, seconds);
            }
            self.older.push(old);
            self.older.sort_by_key(|set| set.revision);
        }
        let message = format!(
            "completed update to revision {} ({}): {why}",
            self.new.revision, self.new.hash
        );
        self.event(EventKind::Normal, "RolloutCompleted", message, "");
    }
}
