//! Frames that come once more (F18, F19): a proxy that repeats them holds a batch of reports back and delivers it again on its
//! stream, behind what was said later. In: what is sent. Out: the same again, later. It must not know what was said.

use super::World;
use crate::event::{Event, Ms, Up};

/// So many of a hundred batches, so many milliseconds later at most.
const AGAIN: usize = 4;
const AGAIN_WITHIN: usize = 6_000;

impl World {
    /// Drawn aside, so that every other life stays what it was.
    pub(super) fn comes_again(&mut self, connection: u64, at: Ms, message: &Up) {
        let mut aside = self.random.aside(139);
        if !matches!(message, Up::Reports(_)) || !self.chaos || !aside.percent(AGAIN) {
            return;
        }
        self.meets("ReportsAgain");
        let after = Ms::try_from(aside.below(AGAIN_WITHIN)).unwrap_or(0);
        let message = message.clone();
        let event = Event::Up {
            connection,
            message,
        };
        self.queue.put(at + after, event);
    }
}
