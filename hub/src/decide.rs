//! Deciding. In: hints, time, this hub's epoch. Out: plans committed by the store, one transaction a FleetRollout.
//! It must not choose anything: `hub_engine::reconcile` does, inside that transaction.

mod due;
mod turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hub_engine::FleetRolloutName;
use hub_store::{CALL_MAX, Decided, Error, PermitSigner, Store, within};
use tokio_util::sync::CancellationToken;

use crate::hints::{Hints, News};
use crate::leader::{Fenced, Leadership};
use crate::link::fences::Fences;
use due::Settled;
use turns::{Turn, Work};

/// A plan goes as far as the facts allow. Whatever it led to is looked at once more so much later, when nothing else makes
/// it: in the midst of a big release something always does.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Idempotency keys are kept for weeks, so that it does not matter when one goes.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// What the loop works with.
#[derive(Clone)]
pub struct Decider {
    /// Where everything is.
    pub store: Store,
    /// Signs permits.
    pub signer: Arc<dyn PermitSigner>,
    /// Whether this hub may decide.
    pub leadership: Leadership,
    /// Where to say that it may not.
    pub fenced: Fenced,
    /// Wakes.
    pub hints: Hints,
    /// Woken: the sessions of clusters whose set was changed.
    pub fences: Fences,
}

impl std::fmt::Debug for Decider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decider")
            .field("leadership", &self.leadership)
            .finish_non_exhaustive()
    }
}

/// Decides until it is told to stop.
pub async fn run(decider: Decider, stop: CancellationToken) {
    let (store, leadership) = (decider.store.clone(), decider.leadership.clone());
    tokio::select! {
        () = turns::run(decider, stop) => {}
        () = prune(store, leadership) => {}
    }
}

/// Beside the decisions, none of which waits for it.
async fn prune(store: Store, mut leadership: Leadership) {
    loop {
        while leadership.epoch().is_none() {
            leadership.changed().await;
        }
        if let Err(error) = within(CALL_MAX, store.keys_prune()).await {
            tracing::debug!(%error, "old idempotency keys stay until the next time");
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

impl Work for Decider {
    fn may(&self) -> bool {
        self.leadership.epoch().is_some()
    }

    fn news(&self) -> News {
        self.hints.take()
    }

    fn woken(&mut self) -> BoxFuture<'_, ()> {
        let Self {
            hints, leadership, ..
        } = self;
        async move {
            tokio::select! {
                () = hints.changed() => {}
                () = leadership.changed() => {}
            }
        }
        .boxed()
    }

    fn names(&self) -> BoxFuture<'static, Result<Vec<FleetRolloutName>, Error>> {
        let store = self.store.clone();
        async move { within(CALL_MAX, store.fleet_rollout_names()).await }.boxed()
    }

    fn turn(&self, name: FleetRolloutName) -> BoxFuture<'static, Result<Turn, Error>> {
        let decider = self.clone();
        async move { decider.settle(&name).await }.boxed()
    }
}

impl Decider {
    async fn settle(&self, name: &FleetRolloutName) -> Result<Turn, Error> {
        let Some(epoch) = self.leadership.epoch() else {
            return Ok(Turn::Over);
        };
        let decided = self.store.decide(epoch, name, self.signer.as_ref());
        match within(CALL_MAX, decided).await {
            Ok(Some(decided)) => {
                // Committed: this hub's sessions need not wait until the fences are read.
                self.fences.raise(&decided.fences);
                for decision in &decided.plan.actions {
                    tracing::info!(fleet_rollout = %name, kind = decision.action.kind(), "{}", decision.action);
                }
                if !decided.refused.is_empty() {
                    tracing::error!(
                        fleet_rollout = %name, refused = decided.refused,
                        "a plan breaks an invariant: nothing is decided but what is stopped"
                    );
                    return Ok(Turn::Again);
                }
                Ok(Turn::Settled(settled(decided, Instant::now())))
            }
            Ok(None) => Ok(Turn::Again),
            Err(Error::Fenced { epoch: over }) => {
                // This hub may have another one by now.
                if self.leadership.epoch() == Some(epoch) {
                    tracing::warn!(epoch = over, "fenced: another hub decides");
                    self.fenced.tell();
                }
                Ok(Turn::Over)
            }
            // One FleetRollout's trouble must not keep the others waiting.
            Err(
                error @ (Error::Busy { .. }
                | Error::Audit { .. }
                | Error::Corrupt { .. }
                | Error::Astray { .. }),
            ) => {
                tracing::error!(fleet_rollout = %name, %error, "this FleetRollout was not decided");
                Ok(Turn::Again)
            }
            Err(error) => Err(error),
        }
    }
}

/// The database's moment by this machine's monotonic clock.
fn settled(decided: Decided, now: Instant) -> Settled {
    let left = |wake: jiff::Timestamp| {
        let left = wake.duration_since(decided.now);
        now + Duration::try_from(left).unwrap_or_default()
    };
    let again = (!decided.plan.actions.is_empty()).then(|| now + LOOK_AGAIN);
    Settled {
        wake: decided.plan.wake.map(left).into_iter().chain(again).min(),
        rollout: decided.rollout,
        after: decided.after,
    }
}
