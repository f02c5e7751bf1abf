//! What each cluster should hold. In: nothing but what deciding transactions wrote. Out: the committed set with its fence.
//! It must not show a part of a transaction.

use hub_engine::observed::{Terms, Waiting};
use hub_engine::release::Permit;
use hub_engine::{ClusterName, Fence, FleetRolloutName, RolloutName};

use crate::Store;
use crate::error::Error;

/// A cluster's whole set at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredSet {
    /// Of the set.
    pub fence: Fence,
    /// Every entry, by namespace and name.
    pub entries: Vec<Entry>,
}

/// One Rollout's entry. A delta is the entries whose version is above its base: entries never go away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which Rollout.
    pub rollout: RolloutName,
    /// Who governs it.
    pub fleet_rollout: FleetRolloutName,
    /// Version of the set in which it last changed.
    pub version: u64,
    /// Governed, or let go.
    pub governance: Governance,
}

/// Governed, or let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Governance {
    /// As long as nothing else is said.
    Governed {
        /// The lasting part.
        terms: Terms,
        /// What held content waits for.
        waiting: Option<Waiting>,
        /// The newest permit.
        permit: Option<SignedPermit>,
    },
    /// Explicitly let go (gate.md G9): held content starts or not.
    Ungovern {
        /// Whether held content is released.
        release_held: bool,
    },
}

/// A permit as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPermit {
    /// What it allows.
    pub permit: Permit,
    /// Lease length at its grant.
    pub lease_seconds: u32,
    /// Rollback as a canary backwards.
    pub steps_backwards: bool,
    /// Of kube-system.
    pub cluster_uid: String,
    /// Of the Rollout.
    pub rollout_uid: String,
    /// As `PermitSigner::sign` gave it.
    pub signature: String,
    /// W3C traceparent, or empty.
    pub traceparent: String,
}

impl Store {
    /// The committed set of a cluster.
    ///
    /// # Errors
    /// `NotFound` for an unknown cluster; `Unavailable`.
    pub async fn desired_set(&self, _cluster: &ClusterName) -> Result<DesiredSet, Error> {
        Err(crate::store::later())
    }

    /// The fence of every cluster's committed set: the poll beside the hint.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn desired_fences(&self) -> Result<Vec<(ClusterName, Fence)>, Error> {
        Err(crate::store::later())
    }
}
