//! Evictions that the API server refused, so that the next pass knows.
//!
//! In: refusals of the Eviction API. Out: those that are not over, by Rollout. It must not keep anything for long, and an
//! agent that starts anew may well ask again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use agent_api::Uid;
use agent_engine::Refusal;
use jiff::Timestamp;

/// What was refused, by the Rollout's UID.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<Uid, Vec<Refusal>>>);

impl Refusals {
    /// Notes one.
    pub fn add(&self, rollout: &Uid, refusal: Refusal) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(rollout.clone()).or_default().push(refusal);
    }

    /// Those that still count for a Rollout.
    #[must_use]
    pub fn of(&self, rollout: &Uid, now: Timestamp) -> Vec<Refusal> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, refusals| {
            refusals.retain(|refusal| refusal.until() > now);
            !refusals.is_empty()
        });
        all.get(rollout).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_for_its_rollout_and_not_for_ever() {
        let (one, other) = (Uid("one".into()), Uid("other".into()));
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let refusal = Refusal {
            pod: "web-1".into(),
            uid: Uid("u".into()),
            message: "no".into(),
            at,
        };
        let refusals = Refusals::default();
        refusals.add(&one, refusal.clone());
        assert_eq!(refusals.of(&one, at).len(), 1);
        assert_eq!(refusals.of(&other, at), []);
        assert_eq!(refusals.of(&one, refusal.until()), []);
        assert!(refusals.0.lock().unwrap().is_empty());
    }
}
