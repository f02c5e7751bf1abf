//! Approvals. In: a person's word, with the certificate's name and groups. Out: a stored approval. It must not decide
//! whether a wave starts.

use hub_engine::ReleaseId;
use hub_engine::name::Person;

use crate::Store;
use crate::error::Error;

/// A person's word on one wave.
#[derive(Debug, Clone)]
pub struct NewApproval {
    /// Which release.
    pub release: ReleaseId,
    /// Which wave; none: the one wave that waits for approval.
    pub wave: Option<String>,
    /// The plan that the person saw.
    pub plan_digest: String,
    /// By certificate.
    pub person: Person,
    /// By certificate.
    pub groups: Vec<String>,
    /// What they wrote.
    pub comment: String,
}

/// A stored approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// The wave's number.
    pub wave: u32,
    /// The wave's name.
    pub wave_name: String,
    /// How many count now.
    pub have: u32,
    /// How many are needed.
    pub required: u32,
    /// The same person had approved this wave already: nothing was added.
    pub repeated: bool,
}

impl Store {
    /// Stores an approval. Refusals (no such wave, another plan, none of the groups, nothing to approve) are recorded.
    ///
    /// # Errors
    /// `NotFound`, `Refused` with what to do instead; `Unavailable`.
    pub async fn approval_add(&self, _approval: &NewApproval) -> Result<Approved, Error> {
        Err(crate::store::later())
    }
}
