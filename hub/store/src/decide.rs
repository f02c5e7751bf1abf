//! The deciding transaction. In: an epoch, a FleetRollout's name, a signer. Out: the plan, committed whole or not at all.
//! It must not write for an epoch that is over, nor anything that the plan does not say.

use hub_engine::release::Direction;
use hub_engine::{ClusterName, Digest, Fence, FleetRolloutName, Observed, Plan, ReleaseId};
use jiff::Timestamp;

use crate::Store;
use crate::epoch::Epoch;
use crate::error::Error;

/// Gives permits their signature; the hub holds the key.
pub trait PermitSigner: Send + Sync {
    /// The lease length of permits granted now.
    fn lease_seconds(&self) -> u32;
    /// Base64 signature over the permit's fields.
    fn sign(&self, permit: &UnsignedPermit) -> String;
}

/// Every signed field of a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the wire's Permit")]
pub struct UnsignedPermit {
    pub release: ReleaseId,
    pub direction: Direction,
    pub fence: Fence,
    pub digest: Digest,
    pub delivery: Digest,
    pub start_by: Option<Timestamp>,
    pub max_step: Option<u32>,
    pub lease_seconds: u32,
    pub why: String,
    pub steps_backwards: bool,
    pub cluster_uid: String,
    pub rollout_uid: String,
}

/// What a deciding transaction did.
#[derive(Debug, Clone)]
pub struct Decided {
    /// As committed. No action: nothing was written.
    pub plan: Plan,
    /// Clusters whose set changed.
    pub clusters: Vec<ClusterName>,
}

impl Store {
    /// One round for one FleetRollout: guard, observe, reconcile, audit, write, commit; repeated a few times when other
    /// transactions are in the way. None: the FleetRollout is gone.
    ///
    /// # Errors
    /// `Fenced`: stop deciding. `Audit`: a bug. `Unavailable`, `Busy`: try again later.
    pub async fn decide(
        &self,
        _epoch: Epoch,
        _fleet_rollout: &FleetRolloutName,
        _signer: &dyn PermitSigner,
    ) -> Result<Option<Decided>, Error> {
        Err(crate::store::later())
    }

    /// What `decide` would see now, in one snapshot; for people. None: there is no such FleetRollout.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn observe(&self, _fleet_rollout: &FleetRolloutName) -> Result<Option<Observed>, Error> {
        Err(crate::store::later())
    }
}
