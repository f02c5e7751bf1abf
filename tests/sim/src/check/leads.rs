//! Somebody leads (faults.md L6). In: after every event, which hubs run, which of them holds the lease. Out: the first time that
//! is too long without one. It must not ask the database whose the lease is: what counts is that a hub believes it may decide.

use crate::event::Ms;
use crate::world::World;

/// The lease's time, and the time in which somebody asks for it: every 2 s, on ticks a second apart; and a second more.
const LEADS_WITHIN: Ms = 6_000 + 2_000 + 1_000 + 1_000;

impl World {
    /// L6: whatever died, so soon after it somebody leads who can: a hub that runs, and a database that answers.
    pub(super) fn somebody_leads(&mut self) {
        let now = self.now;
        for (hub, own) in self.hubs.iter().enumerate() {
            let able = self.store.up && own.alive && own.frozen_until <= now;
            if able {
                self.ghost.able.entry(hub).or_insert(now);
            } else {
                self.ghost.able.remove(&hub);
            }
        }
        let mut hubs = self.hubs.iter().filter(|hub| hub.alive);
        if hubs.any(|hub| hub.held.is_some_and(|(_, until)| until >= now)) {
            self.ghost.led = now;
            return;
        }
        let able = self.ghost.able.values().min().copied();
        let since = able.map(|able| able.max(self.ghost.led));
        if let Some(since) = since.filter(|since| now > since + LEADS_WITHIN) {
            self.ghost.led = now;
            self.fail("L6", format!("nobody leads since {since}"));
        }
    }
}
