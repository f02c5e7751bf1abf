//! What the record has to say of break-glass.
//!
//! In: the decision, what the pass did, the record so far. Out: the record with a word that was spent, and how one ended.
//! It must not decide whether a word counts.

use agent_api::{BreakGlassEnd, BreakGlassRecord, GateStatus};

use super::glass::{GlassUse, Word, overtaken};
use super::record::Recorder;

/// Words that are remembered, so that none counts twice. Each is an emergency in one Rollout; the hub has them all.
const REMEMBERED: usize = 16;

impl Recorder<'_> {
    /// A word that is spent, and the end of one that was acted on.
    pub(super) fn glass(&self, status: &mut GateStatus) {
        let (fresh, ended) = match &self.decision.glass {
            GlassUse::Breaks(word) => (Some(word), None),
            GlassUse::Spent(word) => (Some(word), Some(BreakGlassEnd::NotNeeded)),
            GlassUse::Untouched | GlassUse::GoesOn | GlassUse::Refused(_) => (None, None),
        };
        if let Some(end) = self.glass_end(fresh.is_some() && ended.is_none()) {
            for known in &mut status.break_glass {
                known.ended.get_or_insert(end);
            }
        }
        if let Some(word) = fresh {
            let record = self.glass_word(word, ended);
            status.break_glass.push(record);
        }
        let many = status.break_glass.len().saturating_sub(REMEMBERED);
        status.break_glass.drain(..many);
    }

    fn glass_word(&self, word: &Word, ended: Option<BreakGlassEnd>) -> BreakGlassRecord {
        let hub = self.observed.gate.gate().map(|gate| &gate.spec);
        let waiting = hub.and_then(|hub| hub.waiting.as_ref());
        let permit = self.facts.permit.as_ref().map(|permit| permit.fence);
        let consumed = self.facts.consumed;
        BreakGlassRecord {
            digest: word.content.clone(),
            by: word.by.clone(),
            reason: word.reason.clone(),
            over: permit.max(consumed).unwrap_or_default(),
            release: waiting
                .map(|waiting| waiting.release.clone())
                .filter(|release| !release.as_str().is_empty()),
            at: self.now(),
            ended,
            ..BreakGlassRecord::default()
        }
    }

    /// How what was started by a word ended, if it did.
    fn glass_end(&self, replaced: bool) -> Option<BreakGlassEnd> {
        let broken = self.facts.glass.broken.as_ref();
        let broken = broken.filter(|broken| !broken.ended)?;
        if replaced {
            return Some(BreakGlassEnd::Replaced);
        }
        let progress = self
            .progress
            .filter(|progress| progress.digest == broken.content);
        let flight = self.facts.in_flight.as_ref();
        let flight = flight.filter(|flight| flight.digest == broken.content);
        if self.facts.served.as_ref() == Some(&broken.content)
            || progress.is_some_and(|progress| progress.served)
        {
            return Some(BreakGlassEnd::Served);
        }
        if progress.is_some_and(|progress| progress.aborted.is_some())
            || flight.is_some_and(|flight| flight.aborted)
        {
            return Some(BreakGlassEnd::Failed);
        }
        let elsewhere = flight.is_none() && progress.is_none() && self.progress.is_some();
        (overtaken(self.facts, broken) || elsewhere).then_some(BreakGlassEnd::Replaced)
    }
}
