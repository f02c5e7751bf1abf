//! FleetRollouts. In: checked documents. Out: stored ones. It must not store one document of a file that has a problem.

use hub_engine::name::Person;
use hub_engine::plan::FleetRolloutStatus;
use hub_engine::{Document, FleetRollout, FleetRolloutName, Problem, Reason};

use crate::Store;
use crate::error::Error;

/// One FleetRollout as stored.
#[derive(Debug, Clone)]
pub struct FleetRolloutRow {
    /// The checked values.
    pub fleet_rollout: FleetRollout,
    /// The text, as it was applied.
    pub text: String,
    /// Raised by every change.
    pub version: u64,
    /// Of the newest plan.
    pub status: FleetRolloutStatus,
    /// Of the newest plan: of the FleetRollout and of all of its releases.
    pub reasons: Vec<Reason>,
}

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its name.
    pub name: FleetRolloutName,
    /// What happened.
    pub change: Change,
    /// Sentences that the person should read.
    pub notes: Vec<String>,
}

/// What happened to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was new.
    Created,
    /// It replaced another version.
    Configured,
    /// It was there, equal in everything but its writing.
    Unchanged,
}

/// How applying a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Apply {
    /// Stored, or with `dry_run` storable.
    Done(Vec<Applied>),
    /// Nothing was stored.
    Problems(Vec<Problem>),
}

impl Store {
    /// Stores every document of a file, or none. Checks them against clusters and other FleetRollouts in the same
    /// transaction (gate.md G9, G12).
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn fleet_rollout_apply(&self, _documents: &[Document], _person: &Person, _dry_run: bool) -> Result<Apply, Error> {
        Err(crate::store::later())
    }

    /// Every FleetRollout, by name.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn fleet_rollout_list(&self) -> Result<Vec<FleetRolloutRow>, Error> {
        Err(crate::store::later())
    }

    /// The names alone: what the deciding loop goes through.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn fleet_rollout_names(&self) -> Result<Vec<FleetRolloutName>, Error> {
        Err(crate::store::later())
    }
}
