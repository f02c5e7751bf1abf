//! What becomes of clusters that come, go, change or come back in the middle of a release. In: nothing. Out: the choices of
//! `spec.membership`. It must not decide: `reconcile::membership` does.

use serde::{Deserialize, Serialize};

/// A cluster that joins while a release runs, or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LateJoin {
    /// Takes part in its last wave, or gets what the newest release brought.
    #[default]
    CatchUp,
    /// Waits for the release after it.
    NextRelease,
}

/// A target whose cluster left the fleet, or was let go by a person (gate.md G9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Left {
    /// Does not count.
    #[default]
    Skip,
    /// Counts as failed.
    Fail,
}

/// A target whose cluster got labels by which it is not selected any more, before it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Relabelled {
    /// Has its turn all the same: the plan was fixed when the release opened.
    #[default]
    Keep,
    /// Does not count.
    Skip,
    /// Counts as failed.
    Fail,
}

/// A target whose name was bound to another cluster (another kube-system namespace) while its wave was not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Replaced {
    /// Begins from nothing: whatever the former cluster had reached counts no more.
    #[default]
    Restart,
    /// Does not count.
    Skip,
    /// Counts as failed.
    Fail,
}

/// A target whose cluster came back out of a backup (gate.md L4: the same identity with less than it had) while its wave was not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Restored {
    /// Counts again as soon as its agent says so again; its deadline counts from its return.
    #[default]
    Wait,
    /// Counts as failed.
    Fail,
}

/// Whether a value is the default; such a one is not written, so that plans keep their digests.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
