//! The deciding transaction's end. In: a draft. Out: the plan in the tables with its history and sets, or why not. It must
//! not choose.

use std::sync::Arc;

use hub_engine::Action;
use hub_engine::observed::Observed;
use hub_store::desired::SignedPermit;

use super::{Error, Fact, Store};
use crate::event::Draft;
use crate::keys::Keys;

/// Seconds of a permit's lease.
pub const LEASE_SECONDS: u32 = 20;

impl Store {
    /// Commits a draft whole: guard, rows, history, raised versions. A transaction that decided on older tables is busy.
    ///
    /// # Errors
    /// `Away`, `Fenced`, `Busy`: nothing is written.
    pub fn commit(&mut self, draft: &Draft, keys: &Keys, guarded: bool) -> Result<(), Error> {
        self.answers()?;
        if guarded && self.epoch != draft.epoch {
            return Err(Error::Fenced);
        }
        if self.waits() {
            return Err(Error::Held);
        }
        if self.commits != draft.snapshot {
            return Err(Error::Busy);
        }
        let Draft { observed, plan, .. } = draft;
        // What was decided on is what the plan's rows are made from.
        for cluster in self.tables.clusters.iter_mut().map(Arc::make_mut) {
            let seen = observed.cluster(&cluster.name);
            cluster.rollout = seen.and_then(|seen| seen.rollout.clone());
        }
        self.tables.now = observed.now;
        self.tables.apply(plan);
        for decision in &plan.actions {
            self.write_set(observed, &decision.action, keys);
            self.chain(&decision.action.to_string());
            self.history.push(Fact {
                epoch: draft.epoch,
                action: decision.action.clone(),
            });
        }
        self.commits += u64::from(!plan.actions.is_empty());
        Ok(())
    }

    fn write_set(&mut self, observed: &Observed, action: &Action, keys: &Keys) {
        let Some(name) = action.touches() else { return };
        let Some(own) = self.tables.cluster(name) else {
            return;
        };
        let Some(row) = self.rows.get_mut(name) else {
            return;
        };
        row.version = own.desired.version;
        let permit = own.gate.as_ref().and_then(|gate| gate.permit.clone());
        let Some(permit) = permit else {
            row.permit = None;
            return;
        };
        if row.permit.as_ref().map(|signed| &signed.permit) == Some(&permit) {
            return;
        }
        let seen = observed
            .cluster(name)
            .and_then(|seen| seen.rollout.as_ref());
        row.permit = Some(keys.sign(SignedPermit {
            permit,
            lease_seconds: LEASE_SECONDS,
            steps_backwards: false,
            cluster_uid: row.uid.clone(),
            rollout_uid: seen.map(|seen| seen.uid.clone()).unwrap_or_default(),
            signature: String::new(),
            traceparent: String::new(),
        }));
    }
}
