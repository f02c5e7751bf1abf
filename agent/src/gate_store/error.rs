//! Why a record of the fleet could not be written. In: what was tried. Out: one sentence with the next step; it goes to the hub
//! as a Gate's problem. It must not decide what is tried again.

use agent_api::Fence;

use super::TRIES;
use crate::{wire, writer};

/// Why a record could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The hub's words cannot be kept.
    #[error(transparent)]
    Wire(#[from] wire::Error),
    /// The write failed.
    #[error(transparent)]
    Write(#[from] writer::Error),
    /// The record could not be read.
    #[error("cannot read {what}: {source}")]
    Read {
        /// The record.
        what: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The record is there and is not understood.
    #[error("Gate {name} cannot be decoded ({why}): correct or delete it, and it is written again")]
    Undecodable {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// What is stored is newer than what the hub says now.
    #[error(
        "Gate {name} holds {holds}, more than the {offered} that the hub has for it, and is left alone: delete it, and it is \
         written again"
    )]
    Newer {
        /// Its name.
        name: String,
        /// What it holds.
        holds: Fence,
        /// What it was to hold.
        offered: Fence,
    },
    /// Others kept writing.
    #[error("{what} was changed {TRIES} times while it was written: look who else writes it")]
    Contended {
        /// The record.
        what: String,
    },
}
