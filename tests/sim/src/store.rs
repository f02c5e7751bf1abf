//! A model of the hub's database: one value, every method one transaction. In: what hubs, agents and people write. Out: what
//! they read. It follows `hub_store` method by method, so that both can be driven by the same commands and compared: sessions,
//! sets and their fences are a cluster's, gates and what agents say a Rollout's in a cluster, releases a FleetRollout's. It
//! must not decide: `hub_engine::reconcile` does, and `advance` says what a plan writes.

mod decide;
mod gate;
mod history;
mod join;
mod people;
mod recovery;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;

use hub_engine::observed::{self, Observed, Predecessor, Rollout};
use hub_engine::release::Content;
use hub_engine::{ClusterName, Fence, FleetRolloutName, RolloutName};
use hub_store::session::CONNECTED_SECONDS;

use crate::event::Ms;
use crate::planted::{Bugs, Planted};
use crate::world::stamp;

pub use decide::LEASE_SECONDS;
pub use gate::GateRow;
pub use history::{History, Refused};
pub use join::{Certificate, Join, Members};
pub use people::{By, StopRow};
pub use recovery::{Recovery, second};
pub use session::{Opened, Said};

/// Why a transaction did not commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Postgres does not answer; nothing was written.
    #[error("the database is away")]
    Away,
    /// Another hub has the epoch.
    #[error("another hub decides")]
    Fenced,
    /// Another transaction was first.
    #[error("another transaction was first")]
    Busy,
    /// The database may have been restored.
    #[error("nothing is decided before it is known what was lost")]
    Held,
}

/// What the database holds of one cluster.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Bound at join.
    pub uid: String,
    /// Raised by every Hello.
    pub session: u64,
    /// The stream was not seen to end.
    pub open: bool,
    /// Said Hello or more.
    pub heard: Option<Ms>,
    /// By the database's clock.
    pub last_seen: Option<Ms>,
    /// What the agent has stored, by its word.
    pub stored: Fence,
    /// It came back with less than it had.
    pub regressed: bool,
    /// When it did so last: what it said before that is of another past.
    pub restored: Option<Ms>,
    /// Reports of this session that are stored.
    pub reported: u64,
    /// What it should hold.
    pub desired: Fence,
    /// The set: one entry a Rollout.
    pub gates: BTreeMap<RolloutName, GateRow>,
    /// What its agent said last of each Rollout.
    pub rollouts: BTreeMap<RolloutName, Latest>,
    /// The newest change of each, as it was told: what was there, and what is.
    pub told: BTreeMap<RolloutName, (Option<Content>, Content)>,
}

/// What an agent said last of a Rollout.
#[derive(Debug, Clone, Default)]
pub struct Latest {
    /// Session and sequence of it.
    pub key: (u64, u64),
    /// The newest state.
    pub state: Option<Rollout>,
}

impl Row {
    /// The newest state of a Rollout.
    #[must_use]
    pub fn state(&self, rollout: &RolloutName) -> Option<&Rollout> {
        self.rollouts.get(rollout)?.state.as_ref()
    }
}

/// One row of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Of the hub that wrote it.
    pub epoch: i64,
    /// Of which FleetRollout.
    pub fleet: usize,
    /// The action.
    pub action: hub_engine::Action,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    /// Whether it answers.
    pub up: bool,
    /// Who decides.
    pub epoch: i64,
    pub(crate) holder: Option<usize>,
    pub(crate) lease_until: Ms,
    /// Since when a hub listens without a gap.
    pub(crate) listening: Option<Ms>,
    /// By FleetRollout: transactions that a decision of it must not have missed.
    pub commits: Vec<u64>,
    /// By FleetRollout: its tables, every release of it.
    pub fleets: Vec<Observed>,
    /// By FleetRollout, or of the whole fleet.
    pub stops: BTreeMap<Option<usize>, StopRow>,
    /// The clusters' tables.
    pub rows: BTreeMap<ClusterName, Row>,
    /// In the order of commits.
    pub history: Vec<Fact>,
    /// The same as rows, and what else was done.
    pub chain: History,
    /// Tokens.
    pub members: Members,
    /// Whether it was restored.
    pub recovery: Recovery,
    pub(crate) serial: u64,
    /// The planted bug of this life.
    pub(crate) bugs: Bugs,
}

impl Store {
    /// A database with FleetRollouts and their clusters, which have joined.
    #[must_use]
    pub fn new(fleets: Vec<Observed>, rows: BTreeMap<ClusterName, Row>) -> Self {
        let mut store = Self {
            up: true,
            epoch: 0,
            holder: None,
            lease_until: 0,
            listening: None,
            commits: vec![0; fleets.len()],
            fleets,
            stops: BTreeMap::new(),
            rows,
            history: Vec::new(),
            chain: History::default(),
            members: Members::default(),
            recovery: Recovery {
                incarnation: 1,
                ..Recovery::default()
            },
            serial: 0,
            bugs: Bugs::default(),
        };
        for fleet in 0..store.fleets.len() {
            store.applied(fleet, stamp(0));
        }
        store
    }

    fn answers(&self) -> Result<(), Error> {
        if self.up { Ok(()) } else { Err(Error::Away) }
    }

    /// The lease, if nobody has it; a new epoch with it.
    ///
    /// # Errors
    /// `Away`.
    pub fn epoch_take(&mut self, holder: usize, now: Ms, ttl: Ms) -> Result<Option<i64>, Error> {
        self.answers()?;
        if self.lease_until >= now && self.holder != Some(holder) {
            return Ok(None);
        }
        self.holder = Some(holder);
        self.listen(now);
        self.lease_until = now + ttl;
        self.epoch += 1;
        Ok(Some(self.epoch))
    }

    /// Before the lease is lengthened: whether there was a gap in which agents could have fallen silent.
    fn listen(&mut self, now: Ms) {
        let gap = self.lease_until < now - i64::from(CONNECTED_SECONDS) * 1_000;
        let since = self.listening.filter(|_| !gap);
        self.listening = Some(since.unwrap_or(now).min(now));
    }

    /// Whether the lease is still this holder's.
    ///
    /// # Errors
    /// `Away`.
    pub fn lease_renew(
        &mut self,
        holder: usize,
        epoch: i64,
        now: Ms,
        ttl: Ms,
    ) -> Result<bool, Error> {
        self.answers()?;
        let mine = self.holder == Some(holder) && self.epoch == epoch;
        if mine {
            self.listen(now);
            self.lease_until = now + ttl;
        }
        Ok(mine)
    }

    /// A cluster joins, or joins again: its certificate is known from now on, and nothing else of it.
    pub fn join(&mut self, cluster: &observed::Cluster, uid: &str) {
        let row = Row {
            uid: uid.to_owned(),
            desired: cluster.desired,
            ..Row::default()
        };
        self.joined(&cluster.name);
        self.rows.insert(cluster.name.clone(), row);
        for tables in &mut self.fleets {
            if tables.fleet_rollout.clusters.selects(&cluster.labels) {
                tables.clusters.push(Arc::new(cluster.clone()));
            }
        }
    }

    /// The FleetRollouts that name a Rollout.
    pub(crate) fn over(&self, rollout: &RolloutName) -> impl Iterator<Item = usize> + use<> {
        let names = |tables: &Observed| tables.fleet_rollout.rollout == *rollout;
        let fleets = self.fleets.iter().enumerate();
        let over: Vec<usize> = fleets
            .filter(|(_, tables)| names(tables))
            .map(|(fleet, _)| fleet)
            .collect();
        over.into_iter()
    }

    /// What a decision about a FleetRollout is made from.
    ///
    /// # Errors
    /// `Away`.
    pub fn observe(&self, fleet: usize, now: Ms) -> Result<Observed, Error> {
        let empty = !self.up && self.bugs.has(Planted::AwayIsEmpty);
        if !empty {
            self.answers()?;
        }
        let mut seen = self.fleets[fleet].clone();
        if empty {
            seen.clusters.clear();
        }
        seen.now = stamp(now);
        let rollout = &seen.fleet_rollout.rollout;
        for cluster in seen.clusters.iter_mut().map(Arc::make_mut) {
            let Some(row) = self.rows.get(&cluster.name) else {
                continue;
            };
            let heard = row
                .last_seen
                .is_some_and(|seen| seen > now - i64::from(CONNECTED_SECONDS) * 1_000);
            cluster.connected = row.open && heard;
            cluster.last_seen = row.last_seen.map(stamp);
            cluster.stored = row.stored;
            cluster.regressed = row.regressed;
            cluster.restored = row.restored.map(stamp);
            cluster.rollout = row.state(rollout).cloned().map(Arc::new);
        }
        seen.listening_since = self.listening.map(stamp);
        seen.conflicts = self.conflicts(fleet);
        let mut changes = std::mem::take(&mut seen.changes);
        changes.retain(|one| seen.cluster(&one.cluster).is_some());
        changes.retain(|one| !seen.conflicts.contains_key(&one.cluster));
        seen.changes = changes;
        seen.releases = self.wanted(fleet);
        seen.before = self.before(&seen);
        let known = seen.past.last().map_or(0, |past| past.number);
        if !self.bugs.has(Planted::NumberGivenAgain) {
            seen.told = observed::told(&seen.fleet_rollout.name, &seen.clusters, known);
        }
        Ok(seen)
    }

    /// The newest release of each FleetRollout that this one comes after; of one that is not in this world, what was said of it.
    fn before(&self, tables: &Observed) -> Vec<Predecessor> {
        let after = tables.fleet_rollout.after.iter();
        let all = after.filter_map(|name| {
            let Some(other) = self.named(name) else {
                return tables.before.iter().find(|one| one.name == *name).cloned();
            };
            let newest = self.newest(other);
            Some(Predecessor {
                name: name.clone(),
                newest: newest.map(|release| (release.id.clone(), release.phase)),
            })
        });
        all.collect()
    }

    /// The FleetRollout of a name.
    pub(crate) fn named(&self, name: &FleetRolloutName) -> Option<usize> {
        let mut fleets = self.fleets.iter();
        fleets.position(|tables| tables.fleet_rollout.name == *name)
    }

    /// Its newest release.
    pub(crate) fn newest(&self, fleet: usize) -> Option<&hub_engine::release::Release> {
        let releases = self.fleets[fleet].releases.iter();
        releases.max_by_key(|release| release.id.number)
    }

    /// The FleetRollouts that come after one.
    pub(crate) fn followers(&self, fleet: usize) -> Vec<usize> {
        let name = &self.fleets[fleet].fleet_rollout.name;
        let fleets = self.fleets.iter().enumerate();
        let after = fleets.filter(|(_, tables)| tables.fleet_rollout.after.contains(name));
        after.map(|(other, _)| other).collect()
    }

    /// Open releases, the newest ended one, and those with something under way.
    fn wanted(&self, fleet: usize) -> Vec<hub_engine::release::Release> {
        let tables = &self.fleets[fleet];
        let all = &tables.releases;
        let newest = all
            .iter()
            .filter(|one| one.phase.ended())
            .map(|one| one.id.number)
            .max();
        let going = |one: &&hub_engine::release::Release| {
            let under_way = one.targets.iter().any(|target| {
                target.state.in_flight()
                    || target.state == hub_engine::release::TargetState::RollingBack
            });
            let asked = tables.requests.iter();
            let asked = asked.filter_map(|request| request.release);
            let asked = asked.into_iter().any(|number| number == one.id.number);
            !one.phase.ended() || under_way || asked || Some(one.id.number) == newest
        };
        all.iter().filter(going).cloned().collect()
    }
}
