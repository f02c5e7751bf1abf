//! The deciding loop. In: hints, time, this hub's epoch. Out: plans committed by the store, one transaction a FleetRollout.
//! It must not choose anything: `hub_engine::reconcile` does, inside that transaction.

mod due;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use hub_engine::FleetRolloutName;
use hub_store::{CALL_MAX, Decided, Error, PermitSigner, Store, within};
use tokio_util::sync::CancellationToken;

use crate::hints::Hints;
use crate::leader::{Fenced, Leadership};
use crate::link::fences::Fences;
use due::{Due, Settled};

/// A plan goes as far as the facts allow. Whatever it led to is looked at once more so much later, when nothing else makes
/// it: in the midst of a big release something always does.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// FleetRollouts decided at the same time: while one waits for the disk another is worked out. Those that meet in a cluster
/// wait for each other there, and look again.
const AT_ONCE: usize = 4;

/// How a turn ended.
enum Turn {
    /// Nothing more is to be done before news or its wake-up.
    Settled(Settled),
    /// It was not decided, or is gone.
    Again,
    /// This hub may not decide any more.
    Over,
}
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

/// Decides until it is told to stop. Postgres away: it says so once, and goes on by itself.
pub async fn run(mut decider: Decider, stop: CancellationToken) {
    let mut away = false;
    let mut due = Due::new(Instant::now());
    let mut pruned: Option<tokio::time::Instant> = None;
    loop {
        if decider.leadership.epoch().is_some()
            && pruned.is_none_or(|last| last.elapsed() >= PRUNE_EVERY)
        {
            pruned = Some(tokio::time::Instant::now());
            if let Err(error) = within(CALL_MAX, decider.store.keys_prune()).await {
                tracing::debug!(%error, "old idempotency keys stay until the next time");
            }
        }
        match decider.round(&mut due).await {
            Ok(()) => {
                if std::mem::take(&mut away) {
                    tracing::info!("the database answers again; deciding goes on");
                }
            }
            Err(error) => {
                // What was not decided is not settled, whatever was known before.
                due = Due::new(Instant::now() + due::SWEEP_MIN);
                if !std::mem::replace(&mut away, true) {
                    tracing::error!(%error, "nothing can be decided; streams are kept, permits are not renewed");
                }
            }
        }
        tokio::select! {
            () = decider.hints.changed() => {}
            () = decider.leadership.changed() => {}
            () = tokio::time::sleep(due.sleep(Instant::now())) => {}
            () = stop.cancelled() => return,
        }
    }
}

impl Decider {
    /// Each FleetRollout whose turn it is, one plan each.
    async fn round(&mut self, due: &mut Due) -> Result<(), Error> {
        let begin = Instant::now();
        if self.leadership.epoch().is_none() {
            *due = Due::new(begin + due::SWEEP_MIN);
            return Ok(());
        }
        let news = self.hints.take();
        let sweeps = due.sweeps(&news, begin);
        let names = within(CALL_MAX, self.store.fleet_rollout_names()).await?;
        let turn: Vec<_> = names
            .into_iter()
            .filter(|name| due.is(name, &news, begin))
            .collect();
        for name in &turn {
            due.unsettle(name);
        }
        let decider = &*self;
        let mut turns = stream::iter(turn)
            .map(|name| async move { decider.settle(&name).await.map(|end| (name, end)) })
            .buffer_unordered(AT_ONCE);
        while let Some(end) = turns.next().await {
            match end? {
                (name, Turn::Settled(settled)) => due.settle(&name, settled),
                (_, Turn::Again) => {}
                (_, Turn::Over) => return Ok(()),
            }
        }
        if sweeps {
            due.swept(begin.elapsed(), Instant::now());
        }
        Ok(())
    }

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
                Ok(Turn::Settled(settled(decided, Instant::now())))
            }
            Ok(None) => Ok(Turn::Again),
            Err(Error::Fenced { epoch }) => {
                tracing::warn!(epoch, "fenced: another hub decides");
                self.fenced.tell();
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
