//! Which events were told not long ago.
//!
//! In: marks of events, the time. Out: whether one is new. It must not grow: the oldest go first, and none stays longer than
//! the API server keeps the event.

use std::collections::{HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

/// The hash in an event's name.
pub(super) type Mark = [u8; 8];

/// So many are remembered: eight for each of a thousand Rollouts, some 300 kB. One that is forgotten is sent again and
/// answered with 409.
const MOST: usize = 8192;
/// So long the API server keeps events (`--event-ttl`); what goes on is told anew when its event is gone.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

/// The marks.
#[derive(Debug, Default)]
pub(super) struct Recent {
    known: HashSet<Mark>,
    /// In order of time.
    order: VecDeque<(Mark, Timestamp)>,
}

impl Recent {
    /// Remembers a mark; `false` when it is known.
    pub(super) fn add(&mut self, mark: Mark, now: Timestamp) -> bool {
        let over = |at: Timestamp| now.duration_since(at) >= KEPT;
        while let Some((old, _)) = self.order.pop_front_if(|(_, at)| over(*at)) {
            self.known.remove(&old);
        }
        if !self.known.insert(mark) {
            return false;
        }
        if self.order.len() >= MOST
            && let Some((oldest, _)) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back((mark, now));
        true
    }

    /// It was not told after all.
    pub(super) fn forget(&mut self, mark: Mark) {
        if self.known.remove(&mark) {
            self.order.retain(|(known, _)| *known != mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: usize) -> Mark {
        u64::try_from(number).unwrap().to_be_bytes()
    }

    #[test]
    fn a_mark_is_known_until_its_event_is_gone_and_the_oldest_go_first() {
        let at = Timestamp::UNIX_EPOCH;
        let mut recent = Recent::default();
        assert!(recent.add(mark(0), at));
        assert!(!recent.add(mark(0), at + KEPT - SignedDuration::from_secs(1)));
        assert!(recent.add(mark(0), at + KEPT));
        recent.forget(mark(0));
        assert!(recent.add(mark(0), at + KEPT));
        for number in 1..=MOST {
            assert!(recent.add(mark(number), at + KEPT));
        }
        assert!(recent.add(mark(0), at + KEPT), "the oldest has gone");
        assert!(!recent.add(mark(2), at + KEPT));
        assert_eq!((recent.known.len(), recent.order.len()), (MOST, MOST));
    }
}
