//! What somebody in the cluster asked for and got (G15).
//!
//! In: the status as clients patched it, what the pass made of it. Out: reasons, which the shell reports to the hub. Each is
//! told in the one pass whose writes show that it is done, so that a restart repeats none. It must not honour anything.

use agent_api::author::{Asked, author};

use super::Pass;
use crate::gate::decision::PermitUse;
use crate::gate::facts::Verb;
use crate::observed::Governance;
use crate::reason::Reason;

/// Who it was when managed fields do not say it.
const UNKNOWN: &str = "unknown";

impl Pass<'_> {
    /// Tells what was asked for and is done now. Outside a fleet there is nobody to tell.
    pub fn tell_honoured(&mut self) {
        if self.observed.gate.governance != Governance::Governed {
            return;
        }
        let refused = self.decision.refuse_verb.is_some();
        let told = [
            self.aborted_by_hand()
                .then_some(("abort", Some(Asked::Abort))),
            (self.news.retried && self.facts.verb == Some(Verb::Retry) && !refused)
                .then_some(("retry", Some(Asked::Abort))),
            (self.promoted_in_full() && !refused)
                .then_some(("promote --full", Some(Asked::PromoteFull))),
            self.resumed().then_some(("promote", None)),
            (self.skipped() && !refused).then_some(("skip", Some(Asked::Step))),
            self.paused_by_hand(),
        ];
        let metadata = &self.observed.rollout.metadata;
        let at = self.before.current_step_index.unwrap_or(0);
        let step = at.saturating_add(1).min(self.step_count());
        for (verb, field) in told.into_iter().flatten() {
            let by = field
                .and_then(|field| author(metadata, field))
                .unwrap_or(UNKNOWN);
            let text = match self.step_count() {
                0 => format!("by {by}"),
                steps => format!("at step {step} of {steps}, by {by}"),
            };
            self.reasons.push(Reason::VerbHonoured { verb, text });
        }
    }

    fn aborted_by_hand(&self) -> bool {
        self.before.abort == Some(true)
            && self.before.aborted_at.is_none()
            && self.status.aborted_at.is_some()
    }

    /// The index jumps to the end in the first of the passes that carry it out.
    fn promoted_in_full(&self) -> bool {
        self.before.promote_full == Some(true)
            && self.at_once == Some(Reason::FullPromotion)
            && self
                .before
                .current_step_index
                .is_some_and(|index| index < self.step_count())
    }

    /// A pause was cleared, and the canary goes on from it.
    fn resumed(&self) -> bool {
        let cleared =
            self.before.controller_pause == Some(true) && self.before.pause_conditions.is_empty();
        let before = self.before.current_step_index.unwrap_or(0);
        let goes_on = self.index > before || self.status.controller_pause != Some(true);
        let skipped = matches!(self.facts.verb, Some(Verb::StepTo(_)));
        let undisturbed = !self.aborted() && self.at_once.is_none() && !self.news.changed;
        cleared && goes_on && undisturbed && !skipped
    }

    fn skipped(&self) -> bool {
        let Some(Verb::StepTo(step)) = self.facts.verb else {
            return false;
        };
        self.decision.permit == PermitUse::Used
            && self.index >= step
            && !self.aborted()
            && self.at_once.is_none()
            && !self.news.changed
    }

    /// Under a permit the record remembers whether it was paused.
    fn paused_by_hand(&self) -> Option<(&'static str, Option<Asked>)> {
        let gate = self.observed.gate.gate()?;
        let permit = gate.spec.permit.as_ref()?;
        let known = gate.status.as_ref()?.effective.as_ref()?;
        let live = self.decision.permit == PermitUse::Used
            && known.fence == permit.fence
            && permit.digest == self.effective.digest
            && !self.aborted();
        let paused = self.observed.rollout.spec.paused == Some(true);
        let verb = if paused { "pause" } else { "resume" };
        (live && paused != known.paused.is_some()).then_some((verb, Some(Asked::Paused)))
    }
}
