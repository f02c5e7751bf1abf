//! A model of the hub's database: one value, every method one transaction. In: what hubs, agents and people write. Out: what
//! they read. It follows `hub_store` method by method, so that both can be driven by the same commands and compared. It
//! must not decide: `hub_engine::reconcile` does, and `advance` says what a plan writes.

mod decide;
mod recovery;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;

use hub_engine::observed::{self, Observed, Rollout};
use hub_engine::release::{Approval, Stage, WavePhase};
use hub_engine::{ClusterName, Fence};
use hub_store::desired::{DesiredSet, Entry, Governance, SignedPermit};
use hub_store::session::CONNECTED_SECONDS;

use crate::event::Ms;
use crate::world::stamp;

pub use decide::LEASE_SECONDS;
pub use recovery::Recovery;
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
    /// Reports of this session that are stored.
    pub reported: u64,
    /// Session and sequence of the newest state.
    pub key: (u64, u64),
    /// The newest state.
    pub state: Option<Rollout>,
    /// Version of the set in which its one entry last changed.
    pub version: u64,
    /// The entry's permit.
    pub permit: Option<SignedPermit>,
}

/// One row of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Of the hub that wrote it.
    pub epoch: i64,
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
    /// Deciding transactions that wrote something.
    pub commits: u64,
    /// The FleetRollout's tables, every release of it.
    pub tables: Observed,
    /// The clusters' tables.
    pub rows: BTreeMap<ClusterName, Row>,
    /// In the order of commits.
    pub history: Vec<Fact>,
    /// Whether it was restored.
    pub recovery: Recovery,
    pub(crate) serial: u64,
}

impl Store {
    /// A database with a FleetRollout and its clusters, who have joined.
    #[must_use]
    pub fn new(tables: Observed, rows: BTreeMap<ClusterName, Row>) -> Self {
        Self {
            up: true,
            epoch: 0,
            holder: None,
            lease_until: 0,
            commits: 0,
            tables,
            rows,
            history: Vec::new(),
            recovery: Recovery {
                incarnation: 1,
                ..Recovery::default()
            },
            serial: 0,
        }
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
        self.lease_until = now + ttl;
        self.epoch += 1;
        Ok(Some(self.epoch))
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
            self.lease_until = now + ttl;
        }
        Ok(mine)
    }

    /// The set of one cluster as committed.
    ///
    /// # Errors
    /// `Away`.
    pub fn desired_set(&self, cluster: &ClusterName) -> Result<DesiredSet, Error> {
        self.answers()?;
        let own = self.tables.cluster(cluster);
        let row = self.rows.get(cluster);
        let (Some(own), Some(row)) = (own, row) else {
            return Err(Error::Away);
        };
        let entry = own.gate.as_ref().map(|gate| Entry {
            rollout: self.tables.fleet_rollout.rollout.clone(),
            fleet_rollout: self.tables.fleet_rollout.name.clone(),
            version: row.version,
            governance: Governance::Governed {
                terms: gate.terms.clone(),
                waiting: gate.waiting.clone(),
                permit: row.permit.clone(),
            },
        });
        Ok(DesiredSet {
            fence: own.desired,
            entries: entry.into_iter().collect(),
        })
    }

    /// The fence of one cluster's committed set.
    ///
    /// # Errors
    /// `Away`.
    pub fn desired_fence(&self, cluster: &ClusterName) -> Result<Fence, Error> {
        self.answers()?;
        let own = self.tables.cluster(cluster);
        Ok(own.map(|own| own.desired).unwrap_or_default())
    }

    /// A cluster joins, or joins again: its certificate is known from now on, and nothing else of it.
    pub fn join(&mut self, cluster: observed::Cluster, uid: &str) {
        let row = Row {
            uid: uid.to_owned(),
            ..Row::default()
        };
        self.rows.insert(cluster.name.clone(), row);
        self.tables.clusters.push(Arc::new(cluster));
    }

    /// As `first_word`: whether the FleetRollout selects a cluster and has not been decided for it yet.
    ///
    /// # Errors
    /// `Away`.
    pub fn lacks_first_word(&self, cluster: &ClusterName) -> Result<bool, Error> {
        self.answers()?;
        let own = self.tables.cluster(cluster);
        Ok(own.is_none_or(|own| own.selected && own.gate.is_none() && own.gone.is_none()))
    }

    /// What a decision is made from.
    ///
    /// # Errors
    /// `Away`.
    pub fn observe(&self, now: Ms) -> Result<Observed, Error> {
        self.answers()?;
        let mut seen = self.tables.clone();
        seen.now = stamp(now);
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
            cluster.rollout.clone_from(&row.state);
        }
        seen.releases = self.wanted();
        let known = seen.past.last().map_or(0, |past| past.number);
        seen.told = observed::told(&seen.fleet_rollout.name, &seen.clusters, known);
        Ok(seen)
    }

    /// Open releases, the newest ended one, and those with something under way.
    fn wanted(&self) -> Vec<hub_engine::release::Release> {
        let all = &self.tables.releases;
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
            let asked = self.tables.requests.iter();
            let asked = asked.filter_map(|request| request.release);
            let asked = asked.into_iter().any(|number| number == one.id.number);
            !one.phase.ended() || under_way || asked || Some(one.id.number) == newest
        };
        all.iter().filter(going).cloned().collect()
    }

    /// A person approves the wave that asks for it.
    pub fn approve(&mut self, person: &str, group: &str, now: Ms) -> bool {
        self.serial += 1;
        let id = self.serial;
        let open = |release: &&mut hub_engine::release::Release| !release.phase.ended();
        let Some(release) = self.tables.releases.iter_mut().find(open) else {
            return false;
        };
        let asked = |wave: &hub_engine::release::Wave| match wave.phase {
            WavePhase::WaitingForApproval => Some((wave.number, Stage::Before)),
            WavePhase::WaitingToPass => Some((wave.number, Stage::After)),
            WavePhase::Pending
            | WavePhase::Running
            | WavePhase::Baking
            | WavePhase::Passed
            | WavePhase::Failed
            | WavePhase::Skipped => None,
        };
        let Some((number, stage)) = release.waves.iter().find_map(asked) else {
            return false;
        };
        release.approvals.push(Approval {
            id,
            wave: number,
            stage,
            person: person.into(),
            groups: vec![group.to_owned()],
            comment: String::new(),
            plan_digest: release.plan_digest.clone(),
            revision: release.revision.clone(),
            images: release.images_of_wave(number),
            at: stamp(now),
            voided: String::new(),
        });
        true
    }

    /// A person asks for something.
    pub fn request(&mut self, verb: hub_engine::verb::Verb, release: Option<u64>) {
        self.serial += 1;
        self.tables.requests.push(hub_engine::observed::Request {
            id: self.serial,
            person: "eve".into(),
            reason: "because".to_owned(),
            verb,
            release,
        });
    }

    /// The FleetRollout that this one comes after has a release in this phase.
    pub fn payments(&mut self, phase: hub_engine::release::ReleasePhase) {
        let id = hub_engine::ReleaseId {
            fleet_rollout: "payments".into(),
            number: 1,
        };
        let after = &self.tables.fleet_rollout.after;
        let one = |name: &hub_engine::FleetRolloutName| hub_engine::observed::Predecessor {
            name: name.clone(),
            newest: Some((id.clone(), phase)),
        };
        self.tables.before = after.iter().map(one).collect();
        self.commits += 1;
    }

    /// A stop, or its end: a transaction that decides at the same time has to begin anew.
    pub fn stop(&mut self, stop: Option<hub_engine::verb::Stop>, now: Ms) {
        // A new stop takes the row of the one before it, and with it when that was lifted.
        let lifted = stop.is_none() && self.tables.stopped.is_some();
        self.tables.went_on = lifted.then(|| stamp(now));
        self.tables.stopped = stop;
        self.commits += 1;
    }

    /// The windows of the whole fleet, likewise.
    pub fn windows(&mut self, windows: Vec<hub_engine::window::FleetWindow>) {
        self.tables.windows = windows;
        self.commits += 1;
    }
}
