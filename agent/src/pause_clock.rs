//! Pauses while the wall clock is set (S12).
//!
//! In: the pause that each Rollout is in, and both clocks, at every look. Out: how far the wall clock was set since the look
//! that began the pause. It must not read a clock. Of what was before a restart, or under another agent, the wall clock alone
//! tells.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_api::names::pause_reason::{BLUE_GREEN_PAUSE, CANARY_PAUSE_STEP};
use agent_api::{RolloutStatus, StatusTime};
use jiff::{SignedDuration, Unit};

use crate::key::ObjectKey;
use crate::lease_clock::Moment;

/// What the looks at a Rollout have shown.
#[derive(Debug, Clone, Copy)]
struct Seen {
    begun: Option<StatusTime>,
    /// The look that began it, or the first that showed it.
    since: Moment,
    last: Moment,
}

/// The pauses that time ends, by the Rollout's name.
#[derive(Debug, Clone, Default)]
pub struct PauseClock(BTreeMap<ObjectKey, Seen>);

impl PauseClock {
    /// A look at a Rollout: how far the clock was set since its pause began, in whole seconds, for no clock is exact.
    pub fn look(
        &mut self,
        rollout: &ObjectKey,
        status: Option<&RolloutStatus>,
        at: Moment,
    ) -> SignedDuration {
        let pause = status.and_then(|status| {
            let of = |reason| status.pause_condition(reason);
            of(CANARY_PAUSE_STEP).or_else(|| of(BLUE_GREEN_PAUSE))
        });
        let begun = pause.map(|pause| pause.start_time);
        let seen = self.0.entry(rollout.clone()).or_insert(Seen {
            begun,
            since: at,
            last: at,
        });
        if seen.begun != begun {
            seen.begun = begun;
            // A pause begins at the time of the look that decides it.
            let ours = begun == Some(StatusTime::from(seen.last.now));
            seen.since = if ours { seen.last } else { at };
        }
        seen.last = at;
        let set = at.set_since(seen.since);
        match begun {
            Some(_) => set.round(Unit::Second).unwrap_or(set),
            None => SignedDuration::ZERO,
        }
    }

    /// The Rollout is gone.
    pub fn forget(&mut self, rollout: &ObjectKey) {
        self.0.remove(rollout);
    }
}

/// The same for all who look.
#[derive(Debug, Default)]
pub struct Pauses(Mutex<PauseClock>);

impl Pauses {
    /// A look; see `PauseClock`.
    pub fn look(
        &self,
        rollout: &ObjectKey,
        status: Option<&RolloutStatus>,
        at: Moment,
    ) -> SignedDuration {
        self.lock().look(rollout, status, at)
    }

    /// The Rollout is gone.
    pub fn forget(&self, rollout: &ObjectKey) {
        self.lock().forget(rollout);
    }

    fn lock(&self) -> MutexGuard<'_, PauseClock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use agent_api::PauseCondition;
    use jiff::Timestamp;

    use super::*;

    fn status(reason: &str, begun: i64) -> RolloutStatus {
        RolloutStatus {
            pause_conditions: vec![PauseCondition {
                reason: reason.to_owned(),
                start_time: Timestamp::from_second(begun).unwrap().into(),
                ..PauseCondition::default()
            }],
            ..RolloutStatus::default()
        }
    }

    #[test]
    fn a_pause_counts_what_the_clock_was_set_by_since_it_began() {
        let (pauses, key) = (Pauses::default(), ObjectKey::new("shop", "checkout"));
        let mono = Instant::now();
        // The wall clock so far ahead of the monotonic one, after so many seconds.
        let set = |status: Option<&RolloutStatus>, after: u64, ahead_ms: i64| {
            let wall = 1_000_000 + after as i64 * 1_000 + ahead_ms;
            let at = Moment {
                now: Timestamp::from_millisecond(wall).unwrap(),
                mono: mono + Duration::from_secs(after),
            };
            pauses.look(&key, status, at).as_secs()
        };
        let first = status(CANARY_PAUSE_STEP, 1_000);
        for (after, ahead_ms, wanted) in [
            (0, 0, 0),
            (1, 400, 0),
            (2, 3_599_999, 3_600),
            (3, -3_600_400, -3_600),
            (4, 0, 0),
            (5, 3_600_000, 3_600),
        ] {
            assert_eq!(set(Some(&first), after, ahead_ms), wanted, "{after}");
        }
        // Another one began by the clock as it was at the look before.
        let second = status(BLUE_GREEN_PAUSE, 4_605);
        assert_eq!(set(Some(&second), 6, 3_600_000), 0);
        assert_eq!(set(Some(&second), 7, 0), -3_600);
        assert_eq!(set(None, 8, 0), 0);
        let third = status(CANARY_PAUSE_STEP, 1_008);
        let soon = set(Some(&third), 9, 60_000);
        assert_eq!(soon, 60, "set as soon as it had begun");
        let other = status(CANARY_PAUSE_STEP, 1_050);
        assert_eq!(set(Some(&other), 10, 0), 0, "another agent began it");
        pauses.forget(&key);
        assert_eq!(set(Some(&second), 11, 60_000), 0);
        let person = status("InconclusiveAnalysisRun", 1_000);
        assert_eq!(set(Some(&person), 12, 0), 0, "a person ends it");
    }
}
