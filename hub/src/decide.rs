//! The deciding loop. In: hints, time, this hub's epoch. Out: plans committed by the store, one transaction a FleetRollout.
//! It must not choose anything: `hub_engine::reconcile` does, inside that transaction.

use std::sync::Arc;
use std::time::Duration;

use hub_engine::FleetRolloutName;
use hub_store::{Error, PermitSigner, Store};
use tokio_util::sync::CancellationToken;

use crate::hints::Hints;
use crate::leader::{Fenced, Leadership};

/// How often everything is looked at although nobody hinted: hints can be lost.
const POLL: Duration = Duration::from_secs(1);
/// Idempotency keys are kept for weeks, so that it does not matter when one goes.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// Rounds without a pause for one FleetRollout before the others have their turn again.
const ROUNDS: usize = 16;

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
}

impl std::fmt::Debug for Decider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decider")
            .field("leadership", &self.leadership)
            .finish_non_exhaustive()
    }
}

/// Decides until it is told to stop. Postgres away: it says so once, and goes on by itself.
pub async fn run(mut decider: Decider, stop: CancellationToken) {
    let mut away = false;
    let mut pruned: Option<tokio::time::Instant> = None;
    loop {
        if decider.leadership.epoch().is_some()
            && pruned.is_none_or(|last| last.elapsed() >= PRUNE_EVERY)
        {
            pruned = Some(tokio::time::Instant::now());
            if let Err(error) = decider.store.keys_prune().await {
                tracing::debug!(%error, "old idempotency keys stay until the next time");
            }
        }
        match decider.round().await {
            Ok(()) => {
                if std::mem::take(&mut away) {
                    tracing::info!("the database answers again; deciding goes on");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    tracing::error!(%error, "nothing can be decided; streams are kept, permits are not renewed");
                }
            }
        }
        tokio::select! {
            () = decider.hints.changed() => {}
            () = decider.leadership.changed() => {}
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => return,
        }
    }
}

impl Decider {
    /// Each FleetRollout until its plan has nothing more to do.
    async fn round(&mut self) -> Result<(), Error> {
        if self.leadership.epoch().is_none() {
            return Ok(());
        }
        for name in self.store.fleet_rollout_names().await? {
            if !self.settle(&name).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// False: this hub may not decide any more.
    async fn settle(&self, name: &FleetRolloutName) -> Result<bool, Error> {
        for _ in 0..ROUNDS {
            let Some(epoch) = self.leadership.epoch() else {
                return Ok(false);
            };
            match self.store.decide(epoch, name, self.signer.as_ref()).await {
                Ok(Some(decided)) if !decided.plan.actions.is_empty() => {
                    for decision in &decided.plan.actions {
                        tracing::info!(fleet_rollout = %name, kind = decision.action.kind(), "{}", decision.action);
                    }
                }
                Ok(Some(_) | None) => return Ok(true),
                Err(Error::Fenced { epoch }) => {
                    tracing::warn!(epoch, "fenced: another hub decides");
                    self.fenced.tell();
                    return Ok(false);
                }
                // One FleetRollout's trouble must not keep the others waiting.
                Err(
                    error @ (Error::Busy { .. }
                    | Error::Audit { .. }
                    | Error::Corrupt { .. }
                    | Error::Astray { .. }),
                ) => {
                    tracing::error!(fleet_rollout = %name, %error, "this FleetRollout was not decided");
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
