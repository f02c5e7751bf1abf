//! The status in numbers, one word and one sentence.
//!
//! In: the pass, the conditions. Out: counts, index, phase, message. It must not decide.

use agent_api::names::{ANNOTATION_RELEASE, condition, pause_reason};
use agent_api::{AnalysisPhase, PauseCondition, Phase, RollbackPhase};

use super::serving::Serving;
use super::{Pass, Strategy};
use crate::gate::decision::Mode;
use crate::observed::Governance;
use crate::plan::EventKind;
use crate::planted::Planted;
use crate::reason::Reason;

/// What the gate makes the status say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateView {
    /// Nothing.
    Silent,
    /// Paused, and for what.
    Paused(String),
    /// As after an abort, and why.
    Degraded(String),
}

impl Pass<'_> {
    /// What the gate makes the status say, once the pass knows what it does.
    pub fn gate_view(&self) -> GateView {
        if let (
            Mode::Rollback {
                release,
                why,
                phase,
                ..
            },
            Some(_),
        ) = (&self.decision.mode, &self.decision.held)
        {
            let text = format!("fleet rollback of release {release}: {why}");
            return match phase {
                RollbackPhase::Degraded => GateView::Degraded(format!("RolloutAborted: {text}")),
                RollbackPhase::Paused => GateView::Paused(text),
            };
        }
        if let Some(why) = &self.gate_stop {
            return GateView::Paused(why.clone());
        }
        match (&self.decision.held, &self.decision.message) {
            (Some(_), Some(message)) if self.at_stable() => GateView::Paused(message.clone()),
            (Some(_) | None, _) => GateView::Silent,
        }
    }

    /// The pause that the gate makes; its beginning is the observed one, so that a client that clears pauses moves nothing.
    pub fn settle_gate_pause(&mut self, view: &GateView) {
        if !matches!(view, GateView::Paused(_)) {
            return;
        }
        let observed = self.observed.rollout.status.as_ref();
        let known = observed
            .and_then(|status| status.pause_condition(pause_reason::FLEET_GATE))
            .map(|pause| pause.start_time);
        let gate = self
            .observed
            .gate
            .gate()
            .and_then(|gate| gate.status.as_ref());
        let held = gate
            .and_then(|record| record.held.as_ref())
            .filter(|held| Some(&held.digest) == self.decision.held.as_ref());
        let start_time = known
            .or(held.map(|held| held.since))
            .unwrap_or_else(|| self.observed.now.into());
        let reason = pause_reason::FLEET_GATE.to_owned();
        self.status.pause_conditions.push(PauseCondition {
            reason,
            start_time,
            ..PauseCondition::default()
        });
    }

    /// Numbers, index, generations, selector.
    pub fn settle_counts(&mut self) {
        let all = Serving::all(self.sets()).current;
        let serving = self.serving();
        let updated = if self.creating.is_some() {
            0
        } else {
            self.new.current
        };
        let status = &mut self.status;
        status.replicas = Some(all);
        status.ready_replicas = Some(serving.ready);
        status.available_replicas = Some(serving.available);
        status.updated_replicas = Some(updated);
        self.settle_autoscaling(all);
        self.status.observed_generation = Some(self.generation().to_string());
        self.status.current_step_index = self.shown_index();
        if self.bug.is(Planted::StatusNeverSettles) {
            self.status.message = Some(self.observed.now.to_string());
            self.status.restarted_at = Some(self.observed.now.into());
        }
    }

    /// One word and one sentence.
    pub fn settle_phase(&mut self, view: &GateView) {
        let (phase, message) = match view {
            GateView::Paused(message) => (Phase::Paused, message.clone()),
            GateView::Degraded(message) => (Phase::Degraded, message.clone()),
            GateView::Silent => self.own_phase(),
        };
        self.status.phase = Some(phase);
        self.status.message = (!message.is_empty()).then_some(message);
    }

    fn own_phase(&self) -> (Phase, String) {
        if let Some(invalid) = self.status.condition(condition::INVALID_SPEC) {
            let text = invalid.message.as_deref().unwrap_or_default();
            return (Phase::Degraded, format!("InvalidSpec: {text}"));
        }
        let progressing = self.status.condition(condition::PROGRESSING);
        let reason = progressing
            .and_then(|known| known.reason.as_deref())
            .unwrap_or_default();
        if matches!(reason, "RolloutAborted" | "ProgressDeadlineExceeded") {
            let text = progressing
                .and_then(|known| known.message.as_deref())
                .unwrap_or_default();
            return (Phase::Degraded, format!("{reason}: {text}"));
        }
        if self.observed.rollout.spec.paused == Some(true) {
            return (Phase::Paused, "manually paused".to_owned());
        }
        if let Some(pause) = self.status.pause_conditions.first() {
            return (Phase::Paused, pause.reason.clone());
        }
        let status = &self.status;
        let updated = status.updated_replicas.unwrap_or(0);
        let text = if self.restarting() {
            "rollout is restarting"
        } else if updated < self.replicas() {
            "more replicas need to be updated"
        } else if status.available_replicas.unwrap_or(0) < updated {
            "updated replicas are still becoming available"
        } else if let Strategy::BlueGreen(_) = self.strategy {
            if self.active().map(|set| &set.hash) != Some(&self.new.hash) {
                "active service cutover pending"
            } else if !self.at_stable() {
                self.waits_after_switch()
            } else {
                return (Phase::Healthy, String::new());
            }
        } else if status.replicas.unwrap_or(0) > updated && self.routed().is_none()
            || self.at_stable() && !self.has_settled_traffic()
        {
            "old replicas are pending termination"
        } else if !self.at_stable() {
            "waiting for all steps to complete"
        } else {
            return (Phase::Healthy, String::new());
        };
        (Phase::Progressing, text.to_owned())
    }

    /// The new version is active and not yet stable.
    fn waits_after_switch(&self) -> &'static str {
        let analysed = match self.strategy {
            Strategy::BlueGreen(strategy) => strategy.post_promotion_analysis.is_some(),
            Strategy::Canary(_) => false,
        };
        let state = self.status.blue_green.as_ref();
        let run = state.and_then(|state| state.post_promotion_analysis_run_status.as_ref());
        let over = run
            .and_then(|run| run.status)
            .is_some_and(AnalysisPhase::is_completed);
        if analysed && !over {
            "waiting for analysis to complete"
        } else {
            "waiting for post-promotion verification to complete"
        }
    }

    /// The annotation that names the release taken back, for alerts; it goes when Git has caught up (G22).
    pub fn settle_release(&mut self) {
        let annotations = self.observed.rollout.metadata.annotations.as_ref();
        let shown = annotations
            .and_then(|all| all.get(ANNOTATION_RELEASE))
            .cloned();
        let wanted = match &self.decision.mode {
            Mode::Rollback { release, .. } if self.decision.held.is_some() => Some(release.clone()),
            Mode::Rollback { .. } | Mode::Open | Mode::Forward { .. } | Mode::Held => None,
        };
        // In a cluster that no fleet governs the annotation is none of ours.
        if shown == wanted || self.observed.gate.governance != Governance::Governed {
            return;
        }
        if let (Some(_), Mode::Rollback { release, why, .. }) = (&wanted, &self.decision.mode) {
            let text = format!("fleet rollback of release {release}: {why}");
            self.event(EventKind::Warning, "RolloutAborted", text, "fleet");
        }
        self.annotate_rollout(ANNOTATION_RELEASE, wanted);
    }

    /// What the fleet has to do with it, for people.
    pub fn explain_gate(&mut self) {
        let decision = self.decision;
        match &decision.mode {
            Mode::Forward { release } if !self.aborted() => self.reasons.push(Reason::Permitted {
                release: release.clone(),
            }),
            Mode::Rollback { release, why, .. } => {
                self.reasons.push(Reason::FleetRollback {
                    release: release.clone(),
                    why: why.clone(),
                });
            }
            Mode::Open => {
                if let Some(message) = &decision.message {
                    self.reasons.push(Reason::WouldHold {
                        message: message.clone(),
                    });
                }
            }
            Mode::Forward { .. } | Mode::Held => {}
        }
        if let (Some(digest), Some(message)) = (&decision.held, &decision.message) {
            self.reasons.push(Reason::Held {
                digest: digest.clone(),
                message: message.clone(),
            });
        }
        if let crate::gate::decision::PermitUse::Ignored(why) = &decision.permit {
            self.reasons
                .push(Reason::PermitIgnored { why: why.clone() });
        }
        if decision.adopt {
            self.reasons.push(Reason::Adopted {
                digest: self.effective.digest.clone(),
            });
        }
        self.reasons.extend(
            decision
                .glass
                .text(&self.facts.glass)
                .map(|text| Reason::BreakGlass { text }),
        );
        self.tell_honoured();
        if self.complete() {
            self.reasons.push(Reason::Complete {
                revision: self.new.revision,
            });
        }
    }
}
