//! The deciding transaction. In: an epoch, a FleetRollout's name, a signer. Out: the plan, committed whole or not at all.
//! It must not write for an epoch that is over, nor anything that the plan does not say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hub_engine::release::Direction;
use hub_engine::{
    ClusterName, Digest, Fence, FleetRolloutName, Observed, Plan, ReleaseId, RolloutName,
};
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use crate::busy::again;
use crate::epoch::{self, Epoch};
use crate::hint::{self, Hint};
use crate::remembered::Memory;
use crate::{Error, Result, Store, apply, changed, fleet_rollout, observe, recovery};

/// Of more reasons than these only the first are stored; whoever asks for all has them worked out. Writing ten thousand anew
/// would be most of a decision's work.
pub(crate) const REASONS_STORED: usize = 200;
/// So often a transaction that met others is tried again at once.
const TRIES: usize = 5;

pub(crate) const REPEATABLE: &str = "set transaction isolation level repeatable read";

/// What a plan is made by; tests put something wrong in its place.
pub(crate) type Decide = fn(&Observed) -> std::result::Result<hub_engine::Decided, String>;

/// Gives permits their signature; the hub holds the key.
pub trait PermitSigner: Send + Sync {
    /// The lease length of permits granted now.
    fn lease_seconds(&self) -> u32;
    /// Base64 signature over the permit's fields.
    fn sign(&self, permit: &UnsignedPermit) -> String;
}

/// Every signed field of a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the wire's Permit")]
pub struct UnsignedPermit {
    pub release: ReleaseId,
    pub direction: Direction,
    pub fence: Fence,
    pub digest: Digest,
    pub delivery: Digest,
    pub start_by: Option<Timestamp>,
    pub max_step: Option<u32>,
    pub lease_seconds: u32,
    pub why: String,
    pub steps_backwards: bool,
    pub cluster_uid: String,
    pub rollout_uid: String,
}

/// What a deciding transaction did.
#[derive(Debug, Clone)]
pub struct Decided {
    /// As committed. No action: nothing was written.
    pub plan: Plan,
    /// What is wrong with the plan that this one stands for, a bug; empty: nothing.
    pub refused: String,
    /// The fences of the sets that changed.
    pub fences: BTreeMap<ClusterName, Fence>,
    /// The database's time of the decision.
    pub now: Timestamp,
    /// What the FleetRollout governs.
    pub rollout: RolloutName,
    /// Which ones it comes after.
    pub after: Vec<FleetRolloutName>,
    /// How long each part of it took.
    pub took: Took,
}

/// How long each part of a decision took, by this process' clock: for measuring only.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// Reading what it was made from.
    pub read: Duration,
    /// Engine and audit.
    pub planned: Duration,
    /// Writing it, until it was committed.
    pub written: Duration,
}

/// Engine and audit, beside the threads that serve agents: with ten thousand clusters they take a while. A panic of theirs is
/// one more plan that cannot be trusted.
async fn planned(
    observed: Observed,
    decide: Decide,
) -> Result<(Arc<Observed>, hub_engine::Decided)> {
    let observed = Arc::new(observed);
    let seen = observed.clone();
    let decided = match spawn_blocking(move || decide(&seen)).await {
        Ok(decided) => decided,
        Err(error) => {
            let (seen, what) = (observed.clone(), format!("no plan came out: {error}"));
            let restrained = spawn_blocking(move || hub_engine::restrain(&seen, what)).await;
            restrained.unwrap_or_else(|error| Err(format!("no plan came out: {error}")))
        }
    };
    let violations = match decided {
        Ok(decided) => return Ok((observed, decided)),
        Err(violations) => violations,
    };
    Err(Error::Audit { violations })
}

impl Store {
    /// One round for one FleetRollout: guard, observe, reconcile, audit, write, commit; repeated a few times when other
    /// transactions are in the way. None: the FleetRollout is gone.
    ///
    /// # Errors
    /// `Fenced`: stop deciding. `Held`: the database may have been restored. `Audit`: a bug, even of what starts nothing. `Unavailable`, `Busy`: try again later.
    pub async fn decide(
        &self,
        epoch: Epoch,
        fleet_rollout: &FleetRolloutName,
        signer: &dyn PermitSigner,
    ) -> Result<Option<Decided>> {
        again(TRIES, || self.decide_once(epoch, fleet_rollout, signer)).await
    }

    async fn decide_once(
        &self,
        epoch: Epoch,
        name: &FleetRolloutName,
        signer: &dyn PermitSigner,
    ) -> Result<Option<Decided>> {
        let mut tx = self.deciding.begin().await?;
        sqlx::query(REPEATABLE).execute(&mut *tx).await?;
        epoch::guard(&mut tx, epoch).await?;
        let server = recovery::guard(self, &mut tx).await?;
        let Some(stored) = fleet_rollout::get(&mut tx, name, true).await? else {
            return Ok(None);
        };
        let begin = Instant::now();
        let mut memory = self.shelf.take(name, &server);
        let observed = observe::all(&mut tx, stored.fleet_rollout, &mut memory).await?;
        if memory.lasts() {
            self.shelf.put(name, memory);
        } else {
            changed::mark_uncrashed(&mut tx).await?;
        }
        let seen = begin.elapsed();
        let (observed, decided) = planned(observed, self.decide).await?;
        let hub_engine::Decided { plan, refused } = decided;
        let thought = begin.elapsed();
        let fences = apply::plan(&mut tx, epoch, &observed, &plan, signer).await?;
        let reasons = plan.reasons.get(..REASONS_STORED).unwrap_or(&plan.reasons);
        if plan.status != stored.status || reasons != stored.reasons {
            fleet_rollout::set_status(&mut tx, name, &plan.status, reasons).await?;
        }
        if !plan.actions.is_empty() {
            hint::notify_of(&mut tx, BTreeSet::from([Hint::Decided(name.clone())])).await?;
        }
        tx.commit().await?;
        let took = Took {
            read: seen,
            planned: thought - seen,
            written: begin.elapsed() - thought,
        };
        tracing::debug!(
            fleet_rollout = %name, clusters = observed.clusters.len(), actions = plan.actions.len(),
            observed = ?took.read, planned = ?took.planned, written = ?took.written, "decided"
        );
        Ok(Some(Decided {
            plan,
            refused,
            fences,
            now: observed.now,
            rollout: observed.fleet_rollout.rollout.clone(),
            after: observed.fleet_rollout.after.clone(),
            took,
        }))
    }

    /// What `decide` would see now, in one snapshot; for people. None: there is no such FleetRollout.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn observe(&self, fleet_rollout: &FleetRolloutName) -> Result<Option<Observed>> {
        let mut tx = self.snapshot().await?;
        let Some(stored) = fleet_rollout::get(&mut tx, fleet_rollout, false).await? else {
            return Ok(None);
        };
        let mut memory = Memory::default();
        observe::all(&mut tx, stored.fleet_rollout, &mut memory)
            .await
            .map(Some)
    }

    /// A transaction that sees one moment and writes nothing.
    pub(crate) async fn snapshot(&self) -> Result<sqlx::Transaction<'static, sqlx::Postgres>> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(crate::desired::SNAPSHOT)
            .execute(&mut *tx)
            .await?;
        Ok(tx)
    }
}
