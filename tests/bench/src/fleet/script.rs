//! What a test says to one simulated agent, and what happened with it. In: versions that come to nothing there; calls of the
//! agent. Out: the same, in their order. The benchmark uses none: its agents tell the ledger.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::v1::{Fence, Outcome, Permit, Refusal};

/// Shared by a test and one agent.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pages: Arc<Mutex<Pages>>,
}

#[derive(Debug, Default)]
struct Pages {
    bad: BTreeSet<u64>,
    seen: Vec<Seen>,
}

/// One thing that happened with an agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// A session has begun.
    Session(u64),
    /// A set was stored.
    Stored(Fence),
    /// A set was refused: it is lower than what is stored.
    Stale(Fence),
    /// A permit was taken up.
    Permit(Permit),
    /// A permit has ended.
    Ended(Outcome),
    /// The hub has said that the end is committed.
    Committed(Outcome),
    /// Leases were renewed.
    Renewed,
    /// The hub ended the stream with a word.
    Refused(Refusal),
    /// The stream ended.
    Broken,
}

impl Script {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Each change is one insertion: a task that died inside has left them whole.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This version fails here.
    pub fn fails(&self, version: u64) {
        self.pages().bad.insert(version);
    }

    /// Whether it does.
    pub fn is_bad(&self, version: u64) -> bool {
        self.pages().bad.contains(&version)
    }

    pub(super) fn note(&self, seen: Seen) {
        self.pages().seen.push(seen);
    }

    /// Everything so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.pages().seen.clone()
    }

    /// How many such things there were.
    pub fn count(&self, is: impl Fn(&Seen) -> bool) -> usize {
        self.pages().seen.iter().filter(|seen| is(seen)).count()
    }
}
