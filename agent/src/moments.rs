//! Stored times while the wall clock is set (S12).
//!
//! In: the times that an object's status tells of, and both clocks, at every look. Out: how far the wall clock was set since
//! each was stored. It must not read a clock. Of what was before a restart, or under another agent, the wall clock alone
//! tells; two things of an object that began in the same second by a clock that was set back are taken for one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_api::StatusTime;
use agent_engine::clock::ClockSet;
use jiff::{SignedDuration, Timestamp, Unit};

use crate::key::ObjectKey;
use crate::lease_clock::Moment;

/// What the looks at an object have shown.
#[derive(Debug, Clone)]
struct Seen {
    last: Moment,
    /// Each time that is stored, with the look that stored it or the first that showed it.
    times: Vec<(StatusTime, Moment)>,
}

/// The stored times of the objects of one kind, by the object's name.
#[derive(Debug, Clone, Default)]
pub struct Moments(BTreeMap<ObjectKey, Seen>);

impl Moments {
    /// A look at an object: how far the clock was set since each of its times.
    pub fn look(
        &mut self,
        object: &ObjectKey,
        times: impl IntoIterator<Item = StatusTime>,
        at: Moment,
    ) -> ClockSet {
        let before = self.0.get(object);
        let mut known: Vec<(StatusTime, Moment)> = Vec::new();
        for time in times {
            if known.iter().any(|(one, _)| *one == time) {
                continue;
            }
            let since = before.map_or(at, |before| {
                let mut all = before.times.iter();
                let seen = all.find(|(one, _)| *one == time).map(|(_, since)| *since);
                // What a look decides is stored with the time of that look.
                let ours = time == StatusTime::from(before.last.now);
                seen.unwrap_or(if ours { before.last } else { at })
            });
            known.push((time, since));
        }
        let set = known.iter().map(|(time, since)| (*time, set(*since, at)));
        let set = ClockSet::since(set);
        if known.is_empty() {
            self.0.remove(object);
        } else {
            let seen = Seen {
                last: at,
                times: known,
            };
            self.0.insert(object.clone(), seen);
        }
        set
    }

    /// The object is gone.
    pub fn forget(&mut self, object: &ObjectKey) {
        self.0.remove(object);
    }
}

/// How far the clock was set between two moments, in whole seconds, for no clock is exact.
fn set(since: Moment, at: Moment) -> SignedDuration {
    let set = at.set_since(since);
    set.round(Unit::Second).unwrap_or(set)
}

/// A moment by the clock as it is set at another one.
pub fn by_clock_of(then: Moment, at: Moment) -> Timestamp {
    then.now.checked_add(set(then, at)).unwrap_or(then.now)
}

/// The same for all who look.
#[derive(Debug, Default)]
pub struct SharedMoments(Mutex<Moments>);

impl SharedMoments {
    /// A look; see `Moments`.
    pub fn look(
        &self,
        object: &ObjectKey,
        times: impl IntoIterator<Item = StatusTime>,
        at: Moment,
    ) -> ClockSet {
        self.lock().look(object, times, at)
    }

    /// The object is gone.
    pub fn forget(&self, object: &ObjectKey) {
        self.lock().forget(object);
    }

    fn lock(&self) -> MutexGuard<'_, Moments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn time(seconds: i64) -> StatusTime {
        Timestamp::from_second(seconds).unwrap().into()
    }

    #[test]
    fn what_the_clock_was_set_by_since_each_time_was_stored_is_known() {
        let (moments, key) = (SharedMoments::default(), ObjectKey::new("shop", "checkout"));
        let mono = Instant::now();
        // The wall clock so far ahead of the monotonic one, after so many seconds.
        let set = |times: &[i64], after: u64, ahead_ms: i64| -> Vec<i64> {
            let wall = 1_000_000 + after as i64 * 1_000 + ahead_ms;
            let at = Moment {
                now: Timestamp::from_millisecond(wall).unwrap(),
                mono: mono + Duration::from_secs(after),
            };
            let found = moments.look(&key, times.iter().map(|one| time(*one)), at);
            let by = |one: &i64| found.shifted(time(*one)).as_second() - *one;
            times.iter().map(by).collect()
        };
        for (after, ahead_ms, wanted) in [
            (0, 0, 0),
            (1, 400, 0),
            (2, 3_599_999, 3_600),
            (3, -3_600_400, -3_600),
            (4, 0, 0),
            (5, 3_600_000, 3_600),
        ] {
            assert_eq!(set(&[1_000], after, ahead_ms), [wanted], "{after}");
        }
        // Another one was stored by the clock as it was at the look before, and the first is still there.
        assert_eq!(set(&[1_000, 4_605], 6, 3_600_000), [3_600, 0]);
        assert_eq!(set(&[4_605, 1_000, 1_000], 7, 0), [-3_600, 0, 0]);
        assert_eq!(set(&[1_000], 8, 0), [0]);
        assert_eq!(set(&[1_000, 1_008], 9, 60_000), [60, 60], "set at once");
        assert_eq!(set(&[1_000, 1_050], 10, 0), [0, 0], "another agent's");
        assert_eq!(set(&[], 11, 0), [0; 0]);
        assert!(moments.lock().0.is_empty(), "nothing is kept of nothing");
        assert_eq!(set(&[1_000], 12, 60_000), [0], "what is new is of now");
        moments.forget(&key);
        assert_eq!(set(&[1_000], 13, 0), [0]);
    }

    #[test]
    fn a_moment_of_this_process_is_told_by_the_clock_as_it_is_set() {
        let (now, mono) = (Timestamp::from_second(5_000).unwrap(), Instant::now());
        let then = Moment { now, mono };
        for set in [-3_600, 0, 3_600] {
            let at = Moment {
                now: Timestamp::from_millisecond((5_010 + set) * 1_000 + 3).unwrap(),
                mono: mono + Duration::from_secs(10),
            };
            assert_eq!(by_clock_of(then, at).as_second(), 5_000 + set);
        }
    }
}
