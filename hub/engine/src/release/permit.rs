//! Permits as the database holds them, and where each leads. In: rows. Out: their types. It must not decide.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{Digest, Fence, ReleaseId};

/// What a cluster served before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Content digest.
    pub digest: Digest,
    /// Delivery digest.
    #[serde(default)]
    pub delivery: Digest,
}

/// A permit as stored. What it says about time and steps is the hub's word; the signature is added where it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permit {
    /// The release that gave it.
    pub release: ReleaseId,
    /// Forward or back.
    pub direction: Direction,
    /// Version of the cluster's set in which it was granted.
    pub fence: Fence,
    /// Content digest.
    pub digest: Digest,
    /// Delivery digest.
    #[serde(default)]
    pub delivery: Digest,
    /// It must have started by then; none: no end, as for every rollback.
    #[serde(default)]
    pub start_by: Option<Timestamp>,
    /// The last step it may reach; none: all.
    #[serde(default)]
    pub max_step: Option<u32>,
    /// One sentence for the Rollout's status.
    #[serde(default)]
    pub why: String,
    /// When it was granted, by the database's clock.
    pub granted_at: Timestamp,
}

/// Where a permit leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// To the release's content.
    Forward,
    /// To what the cluster served before it.
    Rollback,
}
