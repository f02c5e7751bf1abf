//! When this agent wrote the status of each Rollout last.
//!
//! In: every such write. Out: its time, for the engine. It must not outlive the Rollouts, nor a restart: an agent that
//! starts anew writes what it finds.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::key::ObjectKey;

/// The times, by the Rollout's name.
#[derive(Debug, Default)]
pub struct StatusTimes(Mutex<HashMap<ObjectKey, Timestamp>>);

impl StatusTimes {
    /// Notes a write.
    pub fn wrote(&self, rollout: &ObjectKey, now: Timestamp) {
        self.all().insert(rollout.clone(), now);
    }

    /// The last write.
    #[must_use]
    pub fn of(&self, rollout: &ObjectKey) -> Option<Timestamp> {
        self.all().get(rollout).copied()
    }

    /// The Rollout is gone.
    pub fn forget(&self, rollout: &ObjectKey) {
        self.all().remove(rollout);
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectKey, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
