//! Releases with their waves, targets, permits and approvals. In: what deciding transactions wrote. Out: the engine's
//! values. It must not change them.

use hub_engine::release::Release;
use hub_engine::{ClusterName, FleetRolloutName, Reason, ReleaseId};

use crate::Store;
use crate::error::Error;

/// A release as shown.
#[derive(Debug, Clone)]
pub struct ReleaseRow {
    /// Itself, with waves, targets and approvals.
    pub release: Release,
    /// Of the newest plan, this release's only; the engine's `Reason` says which wave and cluster each is about.
    pub reasons: Vec<Reason>,
    /// Clusters that are connected now.
    pub connected: Vec<ClusterName>,
    /// (cluster, step, steps, phase, message) by its agents' last word.
    pub steps: Vec<TargetStep>,
}

/// Where a target's Rollout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStep {
    /// Which cluster.
    pub cluster: ClusterName,
    /// At this step …
    pub step: u32,
    /// … of so many.
    pub steps: u32,
    /// The Rollout's phase.
    pub phase: String,
    /// The Rollout's message.
    pub message: String,
}

impl Store {
    /// The releases of one FleetRollout or of all, newest first, at most `limit`.
    ///
    /// # Errors
    /// `NotFound` for an unknown FleetRollout; `Unavailable`.
    pub async fn release_list(&self, _fleet_rollout: Option<&FleetRolloutName>, _limit: u32) -> Result<Vec<ReleaseRow>, Error> {
        Err(crate::store::later())
    }

    /// One release.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    pub async fn release_get(&self, _release: &ReleaseId) -> Result<ReleaseRow, Error> {
        Err(crate::store::later())
    }
}
