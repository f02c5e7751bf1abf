//! The deciding transaction's end. In: a draft. Out: the plan in the tables with its history and sets, or why not. It must
//! not choose.

use std::sync::Arc;

use hub_engine::{Action, ClusterName};
use hub_store::desired::SignedPermit;

use super::{Error, GateRow, Store};
use crate::event::Draft;
use crate::keys::Keys;
use crate::planted::Planted;
use crate::world::millis;

/// Seconds of a permit's lease.
pub const LEASE_SECONDS: u32 = 20;

/// Whether the plan's permit for a cluster asks for the canary's steps.
fn backwards(draft: &Draft, name: &ClusterName) -> bool {
    let mut actions = draft.plan.actions.iter();
    actions.any(|one| {
        matches!(&one.action, Action::GrantPermit { cluster, steps_backwards: true, .. } if cluster == name)
    })
}

impl Store {
    /// Commits a draft whole: guard, rows, history, raised versions. A transaction that decided on older tables, or meets
    /// another one in a cluster's set, is busy.
    ///
    /// # Errors
    /// `Away`, `Fenced`, `Held`, `Busy`: nothing is written.
    pub fn commit(&mut self, draft: &Draft, keys: &Keys, guarded: bool) -> Result<(), Error> {
        self.answers()?;
        if guarded && self.epoch != draft.epoch {
            return Err(Error::Fenced);
        }
        if self.waits(millis(draft.observed.now)) {
            return Err(Error::Held);
        }
        let unchecked = self.bugs.has(Planted::SnapshotUnchecked);
        let newer = self.commits[draft.fleet] != draft.snapshot && !unchecked;
        if newer || self.raised_since(draft) {
            return Err(Error::Busy);
        }
        let Draft {
            fleet,
            observed,
            plan,
            ..
        } = draft;
        let tables = &mut self.fleets[*fleet];
        // What was decided on is what the plan's rows are made from.
        for cluster in tables.clusters.iter_mut().map(Arc::make_mut) {
            let seen = observed.cluster(&cluster.name);
            cluster.rollout = seen.and_then(|seen| seen.rollout.clone());
        }
        tables.now = observed.now;
        tables.apply(plan);
        for decision in &plan.actions {
            self.write_set(draft, &decision.action, keys);
            self.decided(draft, decision);
        }
        self.share(*fleet);
        self.commits[*fleet] += u64::from(!plan.actions.is_empty());
        Ok(())
    }

    /// Another FleetRollout's decision has raised the number of a set that this one changes, too.
    fn raised_since(&self, draft: &Draft) -> bool {
        let actions = draft.plan.actions.iter();
        let mut touched = actions.filter_map(|one| one.action.touches());
        touched.any(|name| {
            let now = self.rows.get(name).map(|row| row.desired);
            now != draft.observed.cluster(name).map(|own| own.desired)
        })
    }

    /// Whatever one FleetRollout's decision has changed that others have, too: numbers of sets, changes of one Rollout.
    fn share(&mut self, fleet: usize) {
        let changed = &self.fleets[fleet];
        for own in &changed.clusters {
            if let Some(row) = self.rows.get_mut(&own.name) {
                row.desired = own.desired;
            }
        }
        let rollout = changed.fleet_rollout.rollout.clone();
        let changes = changed.changes.clone();
        for other in self.over(&rollout) {
            self.fleets[other].changes.clone_from(&changes);
        }
        self.spread();
    }

    /// The number of a set is the same for every FleetRollout.
    pub(super) fn spread(&mut self) {
        for tables in &mut self.fleets {
            for own in &mut tables.clusters {
                let row = self.rows.get(&own.name);
                if let Some(row) = row.filter(|row| row.desired != own.desired) {
                    Arc::make_mut(own).desired = row.desired;
                }
            }
        }
    }

    fn write_set(&mut self, draft: &Draft, action: &Action, keys: &Keys) {
        let Some(name) = action.touches() else { return };
        let tables = &self.fleets[draft.fleet];
        let Some(own) = tables.cluster(name) else {
            return;
        };
        let (version, Some(gate)) = (own.desired.version, own.gate.clone()) else {
            return;
        };
        let rollout = tables.fleet_rollout.rollout.clone();
        let Some(row) = self.rows.get_mut(name) else {
            return;
        };
        let uid = row.uid.clone();
        let entry = row.gates.entry(rollout).or_insert(GateRow {
            fleet: draft.fleet,
            version,
            permit: None,
        });
        entry.version = version;
        let before = std::mem::replace(&mut entry.fleet, draft.fleet);
        let known = entry.permit.take();
        let seen = draft.observed.cluster(name);
        let seen = seen.and_then(|seen| seen.rollout.as_ref());
        entry.permit = gate.permit.clone().map(|permit| {
            let same = known.filter(|signed| signed.permit == permit);
            same.unwrap_or_else(|| {
                keys.sign(SignedPermit {
                    permit,
                    lease_seconds: LEASE_SECONDS,
                    steps_backwards: backwards(draft, name),
                    cluster_uid: uid,
                    rollout_uid: seen.map(|seen| seen.uid.clone()).unwrap_or_default(),
                    signature: String::new(),
                    traceparent: String::new(),
                })
            })
        });
        // What another one let go has one owner again.
        if before != draft.fleet {
            let mut others = self.fleets[before].clusters.iter_mut();
            if let Some(other) = others.find(|one| one.name == *name) {
                Arc::make_mut(other).gate = None;
            }
        }
    }
}
