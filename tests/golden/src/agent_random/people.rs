//! What persons say past the hub or through it: break-glass, a stop.
//!
//! In: dice. Out: a changed cluster. It must not plan.

use agent_api::names::{ANNOTATION_BREAK_GLASS, ANNOTATION_BREAK_GLASS_BY};
use agent_engine::effective;

use super::Life;
use crate::agent_fixture::{VERSIONS, digest};

impl Life {
    /// Somebody with the right lets content start, as a rule what Git wants; or the word is taken out again. The policy may
    /// be missing.
    pub(super) fn glass(&mut self) {
        let spec = effective::of_spec(&self.cluster.observed).digest;
        let other = self.dice.one_in(3);
        let picked = self.dice.pick(&VERSIONS).map(|version| digest(version));
        let content = picked.filter(|_| other).unwrap_or(spec);
        let reason = self.dice.below(3);
        let gone = self.dice.one_in(6);
        let observed = &mut self.cluster.observed;
        observed.gate.break_glass_admitted = !self.dice.one_in(5);
        let metadata = &mut observed.rollout.metadata;
        let all = metadata.annotations.get_or_insert_default();
        if gone {
            all.remove(ANNOTATION_BREAK_GLASS);
            all.remove(ANNOTATION_BREAK_GLASS_BY);
        } else {
            let word = format!("{content} reason {reason}");
            all.insert(ANNOTATION_BREAK_GLASS.to_owned(), word);
            all.insert(ANNOTATION_BREAK_GLASS_BY.to_owned(), "ann".to_owned());
        }
        self.note(&format!(
            "break-glass for {content} ({reason}), gone {gone}"
        ));
    }

    /// A person stops the fleet, or lifts the stop (gate.md G30).
    pub(super) fn stop(&mut self) {
        let stopped = &mut self.cluster.observed.gate.stopped;
        *stopped = match stopped.take() {
            Some(_) => None,
            None => Some("stopped by ann: alarm".to_owned()),
        };
        let what = if stopped.is_some() {
            "stop"
        } else {
            "the stop is lifted"
        };
        self.note(what);
    }
}
