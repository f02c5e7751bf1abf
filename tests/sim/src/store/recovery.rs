//! A restored database, as `hub_store::recovery` knows it (gate.md L5). In: what agents say at Hello and Ack, how many were
//! heard. Out: whether anything may be decided; a person's word that it may again. It must not know that it was restored.

use hub_engine::Fence;
use hub_store::session::CONNECTED_SECONDS;

use super::session::numbered;
use super::{Row, Store};
use crate::event::Ms;
use crate::planted::Planted;
use crate::world::stamp;

/// The second nearest to a moment, as PostgreSQL makes a whole number of it.
#[must_use]
pub fn second(at: Ms) -> u64 {
    let millis = stamp(at).as_millisecond().unsigned_abs();
    (millis + 500) / 1_000
}

/// What the database says of itself.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// Somebody knew more than it did: nothing is decided.
    pub held: bool,
    /// When its server started.
    pub started: Ms,
    /// When a person said that it may go on.
    pub recovered: Option<Ms>,
    /// Raised by every recovery.
    pub incarnation: u64,
}

impl Store {
    /// The newest row of the history and its hash, which agents are handed.
    #[must_use]
    pub fn head(&self) -> (usize, String) {
        self.chain.head()
    }

    /// Whether something is in the way of deciding: it knows that it was restored, too few were heard since it started, or,
    /// a moment after that, not every stream that goes on.
    #[must_use]
    pub fn waits(&self, now: Ms) -> bool {
        let Recovery {
            held,
            started,
            recovered,
            ..
        } = &self.recovery;
        if *held {
            return true;
        }
        if recovered.is_some_and(|at| at >= *started) {
            return false;
        }
        if self.bugs.has(Planted::QuorumUnheard) {
            return false;
        }
        let heard = |row: &Row| row.heard >= Some(*started);
        let rows = self.rows.values();
        let few = rows.clone().filter(|row| heard(row)).count() < rows.len().div_ceil(2);
        let soon = now < started + i64::from(CONNECTED_SECONDS) * 1_000;
        few || soon && rows.clone().any(|row| row.open && !heard(row))
    }

    /// Whether a person has to say that it may go on.
    #[must_use]
    pub fn restored(&self, now: Ms) -> bool {
        self.recovery.held && self.recovery.started <= now
    }

    /// An agent holds more than the database has, or was handed a row that is not in it.
    pub(super) fn compare(
        &mut self,
        fence: Fence,
        desired: Fence,
        handed: Option<(usize, String)>,
    ) {
        let other = handed
            .filter(|_| fence.incarnation >= desired.incarnation)
            .is_some_and(|(at, hash)| self.chain.lacks(at, &hash));
        let more = fence > desired || other;
        self.recovery.held |= more && !self.bugs.has(Planted::MoreHeldUnseen);
    }

    /// A person knows what was lost: every set is numbered above what any agent holds, by the second of now where that is above.
    pub fn recover(&mut self, now: Ms) -> u64 {
        let known = self.rows.values().map(|row| row.stored.incarnation).max();
        let next = 1 + self.recovery.incarnation.max(known.unwrap_or(0));
        let next = if self.bugs.has(Planted::IncarnationCounted) {
            next
        } else {
            next.max(second(now))
        };
        self.recovery.incarnation = next;
        self.recovery.held = false;
        self.recovery.recovered = Some(now);
        // What agents said since the copy is lost, whoever's session is in it: all say Hello again.
        for row in self.rows.values_mut() {
            row.session = numbered(row.session, now);
            row.reported = 0;
            row.desired.incarnation = next;
        }
        self.spread();
        self.touch(None);
        self.noted("DatabaseRecovered", "eve", now);
        next
    }

    /// Put back from a copy, under a server that starts now.
    pub fn put_back(&mut self, copy: Self, now: Ms) {
        let commits = self.commits.iter().map(|commits| commits + 1).collect();
        *self = copy;
        // Two transactions never have the same number, whatever was lost.
        self.commits = commits;
        self.up = true;
        self.holder = None;
        self.lease_until = 0;
        self.recovery.started = now;
    }
}
