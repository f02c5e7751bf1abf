//! What people and the gate ask of a canary under way: abort, retry, promote, full promotion.
//!
//! In: the status as clients patched it, the gate's decision. Out: the planned status with the request honoured or put
//! back, and an event that says so. It must not walk steps or scale.

use super::Pass;
use crate::gate::decision::AbortCause;
use crate::plan::EventKind;
use crate::planted::Planted;
use crate::reason::Reason;

impl Pass<'_> {
    /// Honours or refuses, in the order in which the requests outweigh each other.
    pub fn settle_verbs(&mut self) {
        self.refuse();
        self.retry();
        self.promote_full();
        match self.decision.abort_in_flight {
            Some(AbortCause::HubSilent { seconds }) => {
                self.abort(format!("the hub was silent for {seconds}s past the lease"));
            }
            Some(AbortCause::Recorded) => {
                let gate = self
                    .observed
                    .gate
                    .gate()
                    .and_then(|gate| gate.status.as_ref());
                let why = gate
                    .and_then(|record| record.outcome.as_ref())
                    .and_then(|outcome| outcome.message.clone());
                self.abort(String::new());
                self.news.aborted = why.or(self.news.aborted.take());
            }
            None => {}
        }
        self.latch();
    }

    /// Puts back what the gate refuses (G15).
    fn refuse(&mut self) {
        let Some(text) = self.decision.refuse_verb.clone() else {
            return;
        };
        if self.status.aborted_at.is_some() && self.status.abort != Some(true) {
            self.status.abort = Some(true);
        }
        self.status.promote_full = None;
        if let (Some(max), false) = (self.decision.max_step, self.at_stable()) {
            self.index = self.index.min(max.max(self.trusted_step()));
        }
        self.event(
            EventKind::Warning,
            "FleetGate",
            format!("refused: {text}"),
            "refused",
        );
        self.reasons.push(Reason::VerbRefused { text });
    }

    /// How far the agent itself has gone, as the record says.
    fn trusted_step(&self) -> i32 {
        self.facts
            .in_flight
            .as_ref()
            .map_or(0, |flight| flight.step)
    }

    /// An abort that was lifted: by a person, or by a newer permit for the same content.
    fn retry(&mut self) {
        if self.bug.is(Planted::AbortForgotten) {
            self.status.abort = None;
        }
        let lifted = self.status.abort != Some(true) && self.status.aborted_at.is_some();
        if !(lifted || self.decision.restart && self.aborted()) {
            return;
        }
        self.status.abort = None;
        self.status.aborted_at = None;
        self.clear_pauses();
        self.index = if self.at_stable() {
            self.step_count()
        } else {
            0
        };
        self.forget_runs();
        if let Some(state) = &mut self.status.blue_green {
            state.scale_up_preview_check_point = None;
        }
        if !self.at_stable() {
            self.news.retried = true;
            self.next_attempt();
            self.next_background();
            let message = format!("revision {} starts again", self.new.revision);
            self.event(EventKind::Normal, "RolloutRetry", message, "");
        }
    }

    fn promote_full(&mut self) {
        if self.status.promote_full != Some(true) {
            return;
        }
        // An abort that is newer than the promotion outweighs it.
        if self.at_stable() || self.aborted() && self.status.aborted_at.is_none() {
            self.status.promote_full = None;
            return;
        }
        self.status.abort = None;
        self.status.aborted_at = None;
        self.clear_pauses();
        self.at_once = Some(Reason::FullPromotion);
    }

    /// A latched abort, also one that a client has just set: back to the stable version, pauses off.
    fn latch(&mut self) {
        if !self.aborted() {
            return;
        }
        if self.at_stable() {
            self.status.abort = None;
            self.status.aborted_at = None;
            self.reasons.push(Reason::NothingToAbort);
            return;
        }
        if self.status.aborted_at.is_none() {
            self.abort(String::new());
        }
        self.clear_pauses();
        self.at_once = None;
        self.index = 0;
        let why = self
            .news
            .aborted
            .clone()
            .unwrap_or_else(|| self.abort_message());
        self.news.aborted = Some(why.clone());
        self.reasons.push(Reason::Aborted { why });
    }

    /// The message of an abort latched in an earlier pass.
    fn abort_message(&self) -> String {
        let condition = self
            .before
            .condition(agent_api::names::condition::PROGRESSING);
        let recorded =
            condition.filter(|condition| condition.reason.as_deref() == Some("RolloutAborted"));
        recorded
            .and_then(|condition| condition.message.clone())
            .unwrap_or_else(|| self.abort_text(""))
    }

    fn abort_text(&self, why: &str) -> String {
        let plain = format!("Rollout aborted update to revision {}", self.new.revision);
        if why.is_empty() {
            plain
        } else {
            format!("{plain}: {why}")
        }
    }

    /// Aborts what is on its way; `why` is empty for a person's abort.
    pub fn abort(&mut self, why: String) {
        if self.at_stable() {
            return;
        }
        self.status.abort = Some(true);
        self.status.aborted_at = Some(self.observed.now.into());
        self.status.promote_full = None;
        self.clear_pauses();
        let text = self.abort_text(&why);
        self.event(EventKind::Warning, "RolloutAborted", text.clone(), "");
        self.index = 0;
        self.at_once = None;
        self.news.aborted = Some(text);
    }
}
