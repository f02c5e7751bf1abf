//! Refused attempts (S22). In: who tried what and why not. Out: rows for people. It must not refuse anything itself.

use jiff::Timestamp;

use crate::Store;
use crate::error::Error;

/// One refused attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When, by the database's clock.
    pub at: Timestamp,
    /// Join, Hello, Approve, …
    pub kind: String,
    /// The cluster or person, as far as known.
    pub who: String,
    /// Why not.
    pub message: String,
}

impl Store {
    /// Records one.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn refusal_add(&self, _kind: &str, _who: &str, _message: &str) -> Result<(), Error> {
        Err(crate::store::later())
    }

    /// The newest ones first.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn refusal_list(&self, _limit: u32) -> Result<Vec<Refusal>, Error> {
        Err(crate::store::later())
    }
}
