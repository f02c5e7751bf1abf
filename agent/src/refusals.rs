//! What the API server refused, so that the next pass knows.
//!
//! In: refusals of the Eviction API, of ReplicaSets, and of changes of their owners. Out: those that still count, by Rollout. It must not keep anything
//! for long, and an agent that starts anew may well ask again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_api::Uid;
use agent_engine::{Refusal, RefusedClaim, RefusedSet};
use jiff::{SignedDuration, Timestamp};

/// A ReplicaSet that is not tried again for so long after its time belongs to a Rollout that is gone or wants another one.
const TRIED_AGAIN_BY: SignedDuration = SignedDuration::from_mins(10);

/// What was refused, by the Rollout's UID.
#[derive(Debug, Default)]
pub struct Refusals {
    evictions: Mutex<HashMap<Uid, Vec<Refusal>>>,
    sets: Mutex<HashMap<Uid, RefusedSet>>,
    claims: Mutex<HashMap<Uid, Vec<RefusedClaim>>>,
}

impl Refusals {
    /// Notes one.
    pub fn add(&self, rollout: &Uid, refusal: Refusal) {
        let mut all = self
            .evictions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.entry(rollout.clone()).or_default().push(refusal);
    }

    /// Those that still count for a Rollout.
    #[must_use]
    pub fn of(&self, rollout: &Uid, now: Timestamp) -> Vec<Refusal> {
        let mut all = self
            .evictions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, refusals| {
            for refusal in refusals.iter_mut() {
                refusal.at = noted(refusal.at, now);
            }
            refusals.retain(|refusal| refusal.until() > now);
            !refusals.is_empty()
        });
        all.get(rollout).cloned().unwrap_or_default()
    }

    /// Notes that a ReplicaSet was refused, once more if it was before.
    pub fn add_set(&self, rollout: &Uid, mut refused: RefusedSet) {
        let mut all = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.get(rollout).filter(|one| one.digest == refused.digest);
        refused.times = before.map_or(1, |one| one.times.saturating_add(1));
        all.insert(rollout.clone(), refused);
    }

    /// A ReplicaSet was made.
    pub fn forget_set(&self, rollout: &Uid) {
        let mut all = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(rollout);
    }

    /// The refused ReplicaSet of a Rollout.
    #[must_use]
    pub fn set_of(&self, rollout: &Uid, now: Timestamp) -> Option<RefusedSet> {
        let mut all = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, one| {
            one.at = noted(one.at, now);
            one.until()
                .saturating_add(TRIED_AGAIN_BY)
                .is_ok_and(|end| end > now)
        });
        all.get(rollout).cloned()
    }

    /// Notes that the owner of a ReplicaSet could not be changed, once more if it was so before.
    pub fn add_claim(&self, rollout: &Uid, mut refused: RefusedClaim) {
        let mut all = self.claims();
        let claims = all.entry(rollout.clone()).or_default();
        let before = claims.iter().find(|one| one.uid == refused.uid);
        refused.times = before.map_or(1, |one| one.times.saturating_add(1));
        claims.retain(|one| one.uid != refused.uid);
        claims.push(refused);
    }

    /// The owner of a ReplicaSet was changed.
    pub fn forget_claim(&self, rollout: &Uid, set: &Uid) {
        let mut all = self.claims();
        if let Some(claims) = all.get_mut(rollout) {
            claims.retain(|one| one.uid != *set);
        }
    }

    /// The ReplicaSets of a Rollout whose owner could not be changed.
    #[must_use]
    pub fn claims_of(&self, rollout: &Uid, now: Timestamp) -> Vec<RefusedClaim> {
        let mut all = self.claims();
        all.retain(|_, claims| {
            for one in claims.iter_mut() {
                one.at = noted(one.at, now);
            }
            claims.retain(|one| {
                let end = one.until().saturating_add(TRIED_AGAIN_BY);
                end.is_ok_and(|end| end > now)
            });
            !claims.is_empty()
        });
        all.get(rollout).cloned().unwrap_or_default()
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<Uid, Vec<RefusedClaim>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When it was: what would still be to come was noted before the clock was set back, and counts from now. A clock that was
/// set forward is no matter: it is tried again a little sooner.
fn noted(at: Timestamp, now: Timestamp) -> Timestamp {
    at.min(now)
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
        assert!(refusals.evictions.lock().unwrap().is_empty());
    }

    #[test]
    fn a_refused_set_is_tried_again_ever_more_seldom_and_not_kept_for_ever() {
        let one = Uid("one".into());
        let mut at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let refused = |digest: &str, at| RefusedSet {
            digest: digest.into(),
            message: "exceeded quota".into(),
            invalid: false,
            at,
            times: 0,
        };
        let refusals = Refusals::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            refusals.add_set(&one, refused("v1:a", at));
            let known = refusals.set_of(&one, at).unwrap();
            waits.push(known.until().duration_since(at).as_secs());
            at = known.until();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        refusals.add_set(&one, refused("v1:b", at));
        assert_eq!(refusals.set_of(&one, at).unwrap().times, 1, "other content");
        let later = at + SignedDuration::from_hours(1);
        assert_eq!(refusals.set_of(&one, later), None);
        assert!(refusals.sets.lock().unwrap().is_empty());
    }

    #[test]
    fn nothing_is_put_off_for_long_by_a_clock_that_was_set_back() {
        let rollout = Uid("one".into());
        let at: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let refusals = Refusals::default();
        refusals.add(
            &rollout,
            Refusal {
                pod: "web-1".into(),
                uid: Uid("u".into()),
                message: "no".into(),
                at,
            },
        );
        refusals.add_set(
            &rollout,
            RefusedSet {
                digest: "v1:a".into(),
                message: "exceeded quota".into(),
                invalid: false,
                at,
                times: 0,
            },
        );
        refusals.add_claim(
            &rollout,
            RefusedClaim {
                name: "a".into(),
                uid: Uid("a".into()),
                message: "no".into(),
                at,
                times: 0,
            },
        );
        let back = at - SignedDuration::from_hours(1);
        let evictions = refusals.of(&rollout, back);
        let eviction = evictions.first().map(Refusal::until);
        let set = refusals.set_of(&rollout, back).map(|one| one.until());
        let claims = refusals.claims_of(&rollout, back);
        let claim = claims.first().map(RefusedClaim::until);
        for until in [eviction, set, claim] {
            let wait = until.unwrap().duration_since(back);
            assert!(wait <= SignedDuration::from_mins(1), "{wait:#}");
        }
    }

    #[test]
    fn claims_are_refused_one_by_one_and_forgotten_one_by_one() {
        let rollout = Uid("one".into());
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let refused = |set: &str| RefusedClaim {
            name: set.into(),
            uid: Uid(set.into()),
            message: "no".into(),
            at,
            times: 0,
        };
        let refusals = Refusals::default();
        for set in ["a", "b", "a"] {
            refusals.add_claim(&rollout, refused(set));
        }
        let times = |now| {
            let all = refusals.claims_of(&rollout, now).into_iter();
            all.map(|one| (one.name, one.times)).collect::<Vec<_>>()
        };
        assert_eq!(times(at), [("b".to_owned(), 1), ("a".to_owned(), 2)]);
        refusals.forget_claim(&rollout, &Uid("b".into()));
        assert_eq!(times(at), [("a".to_owned(), 2)]);
        assert_eq!(times(at + SignedDuration::from_hours(1)), []);
        assert!(refusals.claims().is_empty());
    }
}
