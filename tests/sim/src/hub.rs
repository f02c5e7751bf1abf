//! One hub process. In: nothing. Out: its sessions and its leadership. What it does with them is `world::hubs`. It must not
//! hold what the database does not have.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hub_engine::observed::{Observed, told};
use hub_engine::planted::Bug;
use hub_engine::{ClusterName, Fence, Plan, reconcile_with};
use hub_store::older::Committed;

use crate::event::{Ms, Up};
use crate::planted::Planted;
use crate::store::{Error, Store};
use crate::world::stamp;

/// An agent's stream.
#[derive(Debug)]
pub struct Session {
    /// Whose, by its certificate.
    pub cluster: ClusterName,
    /// Given by the database.
    pub number: u64,
    /// The set that was sent last.
    pub sent: Option<Fence>,
    /// What the database has committed of it.
    pub committed: Committed,
    /// It came back with less than it had.
    pub regressed: bool,
    /// The next set is kept back until then.
    pub back_until: Option<Ms>,
    /// Heard, and not yet done: the database is away.
    pub inbox: VecDeque<Up>,
}

/// The process.
#[derive(Debug, Default)]
pub struct Hub {
    /// Whether it runs.
    pub alive: bool,
    /// Rises with every start.
    pub life: u64,
    /// Stopped by its machine until then; everything that concerns it waits.
    pub frozen_until: Ms,
    /// The epoch that it may decide in, and until when.
    pub held: Option<(i64, Ms)>,
    /// When it last asked for the lease.
    pub asked: Ms,
    /// FleetRollouts of which a decision is on its way to the commit.
    pub deciding: BTreeSet<usize>,
    /// FleetRollouts for which something has changed.
    pub hinted: BTreeSet<usize>,
    /// By connection.
    pub sessions: BTreeMap<u64, Session>,
    /// What came while it was stopped, in its order.
    pub kept: VecDeque<(u64, Up)>,
    /// Its clock against the database's.
    pub skew: Ms,
}

impl Hub {
    /// It starts with nothing.
    pub fn start(&mut self) {
        *self = Self {
            alive: true,
            life: self.life + 1,
            skew: self.skew,
            ..Self::default()
        };
    }
}

/// As the deciding transaction's beginning: what it sees, and what it makes of it by this time.
///
/// # Errors
/// `Away`.
pub fn decide(
    store: &Store,
    fleet: usize,
    now: Ms,
    clock: Ms,
    bug: Bug,
) -> Result<(Observed, Plan), Error> {
    let mut observed = store.observe(fleet, now)?;
    let name = observed.fleet_rollout.name.clone();
    if !store.bugs.has(Planted::NumberGivenAgain) {
        observed.told = told(&name, &observed.clusters, observed.newest_number());
    }
    observed.now = stamp(clock);
    let plan = reconcile_with(&observed, bug);
    Ok((observed, plan))
}
