//! The pods that users get: those of the active version under blue-green, else all.
//!
//! In: the ReplicaSets, the planned status. Out: numbers. It must not decide.

use agent_api::RolloutStatus;

use super::Pass;
use crate::bluegreen;
use crate::sets::SetView;

/// Pods that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Serving {
    /// Pods there.
    pub current: i32,
    /// Ready ones.
    pub ready: i32,
    /// Available ones.
    pub available: i32,
}

impl Serving {
    /// Of all these.
    pub fn all<'a>(sets: impl Iterator<Item = &'a SetView>) -> Self {
        sets.fold(Self::default(), |sum, set| Self {
            current: sum.current.saturating_add(set.current),
            ready: sum.ready.saturating_add(set.ready),
            available: sum.available.saturating_add(set.available),
        })
    }

    /// Of the version that the status says is active, or of all when it says none.
    pub fn of(status: &RolloutStatus, sets: &[SetView]) -> Self {
        match bluegreen::active(status, sets.iter()) {
            Some(active) => Self::all(std::iter::once(active)),
            None => Self::all(sets.iter()),
        }
    }
}

impl Pass<'_> {
    /// The version that the active Service selects after this pass; none under another strategy.
    pub fn active(&self) -> Option<&SetView> {
        bluegreen::active(&self.status, self.sets())
    }

    /// The pods that users get.
    pub fn serving(&self) -> Serving {
        match self.active() {
            Some(active) => Serving::all(std::iter::once(active)),
            None => Serving::all(self.sets()),
        }
    }
}
