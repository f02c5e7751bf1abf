//! A faulty agent delays nobody else (faults.md L3). In: a hub's sessions, at each of its ticks. Out: the first one that has waited
//! too long for what is committed. It must not ask what the hub is busy with.

use crate::event::Ms;
use crate::world::World;

/// A set is on its way by then: three polls.
const SENT_WITHIN: Ms = 3_000;

impl World {
    /// L3: what is committed for a cluster is sent soon, whatever becomes of the other clusters.
    pub(crate) fn nobody_waits(&mut self, hub: usize) {
        let now = self.now;
        let mut late = None;
        for (connection, session) in &self.hubs[hub].sessions {
            let desired = self.store.rows.get(&session.cluster).map(|row| row.desired);
            // The first word waits for all that select the cluster; what is kept back on the way is no other's doing.
            let waits = session.sent.is_some() && session.sent < desired;
            if !waits || !self.store.up || session.back_until.is_some() {
                self.ghost.waits.remove(connection);
                continue;
            }
            let since = *self.ghost.waits.entry(*connection).or_insert(now);
            if now > since + SENT_WITHIN && self.somebody_is_deaf() {
                late = Some(format!(
                    "{} waits for {desired:?} since {since}",
                    session.cluster
                ));
            }
        }
        if let Some(late) = late {
            self.fail("L3", late);
        }
    }

    /// Whoever was stopped by its machine begins to count anew.
    pub(crate) fn counts_anew(&mut self, hub: usize) {
        for connection in self.hubs[hub].sessions.keys() {
            self.ghost.waits.remove(connection);
        }
    }
}
