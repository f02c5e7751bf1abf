//! Sets: the gates of a cluster. In: what deciding transactions wrote. Out: the committed set, and which FleetRollout's word a
//! cluster lacks. It must not show a part of a transaction.

use std::collections::BTreeMap;

use hub_engine::member::LetGo;
use hub_engine::{ClusterName, Fence, FleetRolloutName};
use hub_store::desired::{DesiredSet, Entry, Governance, SignedPermit};

use super::{Error, Row, Store};
use crate::planted::Planted;

/// An entry of a cluster's set; the rest of it is in the tables of the FleetRollout that governs it.
#[derive(Debug, Clone)]
pub struct GateRow {
    /// Which one.
    pub fleet: usize,
    /// Version of the set in which it last changed.
    pub version: u64,
    /// Its permit.
    pub permit: Option<SignedPermit>,
}

impl Store {
    /// The set of one cluster as committed.
    ///
    /// # Errors
    /// `Away`.
    pub fn desired_set(&self, cluster: &ClusterName) -> Result<DesiredSet, Error> {
        let row = self.rows.get(cluster).ok_or(Error::Away)?;
        if !self.up && self.bugs.has(Planted::AwayIsEmpty) {
            return Ok(DesiredSet {
                fence: row.desired,
                entries: Vec::new(),
            });
        }
        self.answers()?;
        let entries = row.gates.iter().filter_map(|(rollout, entry)| {
            let tables = &self.fleets[entry.fleet];
            let gate = tables.cluster(cluster)?.gate.as_ref()?;
            let governance = match gate.let_go {
                None => Governance::Governed {
                    terms: gate.terms.clone(),
                    waiting: gate.waiting.clone(),
                    permit: entry.permit.clone(),
                },
                Some(mode) => Governance::Ungovern {
                    release_held: mode == LetGo::ReleaseHeld,
                },
            };
            Some(Entry {
                rollout: rollout.clone(),
                fleet_rollout: tables.fleet_rollout.name.clone(),
                version: entry.version,
                governance,
            })
        });
        Ok(DesiredSet {
            fence: row.desired,
            entries: entries.collect(),
        })
    }

    /// The fence of one cluster's committed set.
    ///
    /// # Errors
    /// `Away`.
    pub fn desired_fence(&self, cluster: &ClusterName) -> Result<Fence, Error> {
        // The planted bug: a hint has said it before the database was away.
        if !self.bugs.has(Planted::AwayIsEmpty) {
            self.answers()?;
        }
        let row = self.rows.get(cluster);
        Ok(row.map(|row| row.desired).unwrap_or_default())
    }

    /// As `first_word`: the FleetRollouts that select a cluster and have not been decided for it yet.
    ///
    /// # Errors
    /// `Away`.
    pub fn first_word(&self, cluster: &ClusterName) -> Result<Vec<FleetRolloutName>, Error> {
        self.answers()?;
        let row = self.rows.get(cluster);
        let lacking = self.fleets.iter().filter(|tables| {
            let own = tables.cluster(cluster);
            let rollout = &tables.fleet_rollout.rollout;
            let gated = row.is_some_and(|row: &Row| row.gates.contains_key(rollout));
            own.is_some_and(|own| own.selected && own.gone.is_none()) && !gated
        });
        let names = lacking.map(|tables| tables.fleet_rollout.name.clone());
        Ok(names.collect())
    }

    /// Clusters where another FleetRollout governs the Rollout of this one (gate.md G12).
    pub(super) fn conflicts(&self, fleet: usize) -> BTreeMap<ClusterName, FleetRolloutName> {
        let tables = &self.fleets[fleet];
        let other = tables.clusters.iter().filter_map(|own| {
            let row = self.rows.get(&own.name)?;
            let entry = row.gates.get(&tables.fleet_rollout.rollout)?;
            let owner = &self.fleets[entry.fleet];
            let gate = owner.cluster(&own.name)?.gate.as_ref()?;
            let governs = entry.fleet != fleet && gate.let_go.is_none();
            governs.then(|| (own.name.clone(), owner.fleet_rollout.name.clone()))
        });
        other.collect()
    }
}
