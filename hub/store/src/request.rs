//! Requests by persons to open a release. In: who and why. Out: what the deciding hub made of it. It must not open one.

use hub_engine::name::Person;
use hub_engine::{FleetRolloutName, ReleaseId};

use crate::Store;
use crate::error::Error;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requested {
    /// Not decided yet.
    Undecided,
    /// It opened this release.
    Opened(ReleaseId),
    /// It opened none.
    Refused(String),
}

impl Store {
    /// Stores a request.
    ///
    /// # Errors
    /// `NotFound` for an unknown FleetRollout; `Refused` without a reason; `Unavailable`.
    pub async fn request_add(&self, _fleet_rollout: &FleetRolloutName, _person: &Person, _reason: &str) -> Result<u64, Error> {
        Err(crate::store::later())
    }

    /// What became of it.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    pub async fn request_get(&self, _request: u64) -> Result<Requested, Error> {
        Err(crate::store::later())
    }
}
