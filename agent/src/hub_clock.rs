//! The hub's time, which is its database's (S12).
//!
//! In: what the hub says that it is, and both clocks as arguments. Out: what it is there by now at least, and how far this
//! cluster's wall clock is ahead of it. It must not read a clock. A word that was long on its way makes the time too early,
//! never too late.

use std::time::Instant;

use agent_engine::HubTime;
use jiff::{SignedDuration, Timestamp};

use crate::lease_clock::Moment;

/// A word so much behind what is known already was kept back on its way: words are some seconds apart, and no two clocks run
/// at quite the same speed.
const LATE: SignedDuration = SignedDuration::from_secs(10);
/// No news: a word is under way longer or shorter.
const STEADY: SignedDuration = SignedDuration::from_secs(5);

/// The last word that counts.
#[derive(Debug, Clone, Copy)]
struct Word {
    said: Timestamp,
    heard: Instant,
}

impl Word {
    fn now(self, mono: Instant) -> Timestamp {
        let since = mono.saturating_duration_since(self.heard);
        let since = SignedDuration::try_from(since).unwrap_or(SignedDuration::MAX);
        self.said.checked_add(since).unwrap_or(self.said)
    }
}

/// What the hub's time is.
#[derive(Debug, Clone, Copy, Default)]
pub struct HubClock {
    word: Option<Word>,
    ahead: SignedDuration,
}

impl HubClock {
    /// In answer to a Hello of just now: whatever was known before, this is so. Returns whether it is news how this cluster's
    /// clock stands.
    pub fn welcome(&mut self, said: Timestamp, at: Moment) -> bool {
        let heard = at.mono;
        self.word = Some(Word { said, heard });
        let ahead = said.duration_until(at.now);
        let news = ahead.saturating_sub(self.ahead).unsigned_abs() > STEADY.unsigned_abs();
        if news {
            self.ahead = round(ahead);
        }
        news
    }

    /// With a renewal. One that was kept back on its way, as by a process that was stopped, tells nothing; but one that says
    /// less than the one before does: the database's clock was set back.
    pub fn say(&mut self, said: Timestamp, at: Moment) -> bool {
        let kept_back = self
            .word
            .is_some_and(|last| said >= last.said && said.duration_until(last.now(at.mono)) > LATE);
        !kept_back && self.welcome(said, at)
    }

    /// By now; none: no hub has said any.
    #[must_use]
    pub fn time(&self, mono: Instant) -> Option<HubTime> {
        let word = self.word?;
        Some(HubTime {
            now: word.now(mono),
            ahead: self.ahead,
        })
    }
}

/// Whole seconds: what is shown must not change with every word.
fn round(ahead: SignedDuration) -> SignedDuration {
    ahead.round(jiff::Unit::Second).unwrap_or(ahead)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: i64 = 3_600;

    fn moment(base: Instant, wall: i64, mono: u64) -> Moment {
        Moment {
            now: stamp(wall),
            mono: base + Duration::from_secs(mono),
        }
    }

    fn stamp(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    /// What it is there `mono` seconds on, and how far this clock is ahead.
    fn known(clock: &HubClock, base: Instant, mono: u64) -> (i64, i64) {
        let time = clock.time(base + Duration::from_secs(mono)).unwrap();
        (time.now.as_second() - 1_000_000, time.ahead.as_secs())
    }

    #[test]
    fn it_goes_on_by_the_monotonic_clock_however_the_wall_clock_is_set() {
        let (mut clock, base) = (HubClock::default(), Instant::now());
        assert!(clock.time(base).is_none(), "nobody has said any");
        assert!(clock.welcome(stamp(0), moment(base, -HOUR, 0)));
        assert_eq!(known(&clock, base, 0), (0, -HOUR));
        assert_eq!(known(&clock, base, 90), (90, -HOUR));
        assert!(!clock.say(stamp(95), moment(base, 97 - HOUR, 95)));
        assert!(clock.say(stamp(100), moment(base, 100, 100)), "set right");
        assert_eq!(known(&clock, base, 101), (101, 0));
    }

    #[test]
    fn a_word_that_was_kept_back_takes_nothing_back() {
        let (mut clock, base) = (HubClock::default(), Instant::now());
        clock.welcome(stamp(0), moment(base, -HOUR, 0));
        // Stopped for an hour; what was sent meanwhile is read now.
        for said in [5, 10, 15] {
            assert!(!clock.say(stamp(said), moment(base, 0, 3_600)));
            assert_eq!(known(&clock, base, 3_600).0, HOUR);
        }
        clock.say(stamp(HOUR + 3), moment(base, 4, 3_604));
        assert_eq!(known(&clock, base, 3_604).0, HOUR + 3, "near enough");
        clock.say(stamp(2 * HOUR), moment(base, 9, 3_609));
        assert_eq!(known(&clock, base, 3_609).0, 2 * HOUR, "this machine slept");
    }

    #[test]
    fn a_database_whose_clock_is_set_back_is_believed() {
        let (mut clock, base) = (HubClock::default(), Instant::now());
        clock.welcome(stamp(HOUR), moment(base, 0, 0));
        assert_eq!(known(&clock, base, 0), (HOUR, -HOUR));
        assert!(clock.say(stamp(5), moment(base, 5, 5)));
        assert_eq!(known(&clock, base, 5), (5, 0));
        clock.say(stamp(10), moment(base, 10, 10));
        // After a gap the set back clock may be past the last word: the next session tells.
        clock.welcome(stamp(20), moment(base, 20, 200));
        assert_eq!(known(&clock, base, 200), (20, 0));
    }
}
