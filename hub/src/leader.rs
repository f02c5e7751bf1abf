//! Who decides. In: the database's lease. Out: this hub's epoch, as long as it may decide. It must not decide itself, and
//! safety does not hang on it: every deciding transaction checks the epoch again.

use std::time::{Duration, Instant};

use hub_store::{Epoch, Store, within};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The lease of the deciding hub, not of permits: short, because after a crash nobody decides until it is over.
pub const LEASE: Duration = Duration::from_secs(6);
/// Three tries to renew before the lease is over.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// Given up so much before the database would, for clocks that run at slightly different speeds.
const MARGIN: Duration = Duration::from_secs(1);
/// An answer that comes later is of no use: by this hub's clock the lease is over.
const ANSWER_MAX: Duration = LEASE.saturating_sub(MARGIN);

/// Whether this hub decides.
#[derive(Debug, Clone)]
pub struct Leadership {
    epoch: watch::Receiver<Option<Held>>,
}

/// An epoch and until when it may be used, by this machine's monotonic clock.
#[derive(Debug, Clone, Copy)]
struct Held {
    epoch: Epoch,
    until: Instant,
}

impl Leadership {
    /// The epoch, if this hub may decide now.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        let held = (*self.epoch.borrow())?;
        (Instant::now() < held.until).then_some(held.epoch)
    }

    /// Waits until it may have changed.
    pub async fn changed(&mut self) {
        // The sender lives as long as the hub; without it there is nothing to wait for.
        if self.epoch.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What stops this hub from deciding before its lease ends.
#[derive(Debug, Clone)]
pub struct Fenced {
    told: std::sync::Arc<tokio::sync::Notify>,
}

impl Fenced {
    /// The database said that another hub decides.
    pub fn tell(&self) {
        self.told.notify_one();
    }
}

/// Holds the lease whenever it can, until it is told to stop; then gives it up.
pub fn start(
    store: Store,
    holder: String,
    stop: CancellationToken,
) -> (Leadership, Fenced, JoinHandle<()>) {
    let (held, epoch) = watch::channel(None);
    let fenced = Fenced {
        told: std::sync::Arc::default(),
    };
    let task = tokio::spawn(keep(store, holder, held, fenced.clone(), stop));
    (Leadership { epoch }, fenced, task)
}

async fn keep(
    store: Store,
    holder: String,
    held: watch::Sender<Option<Held>>,
    fenced: Fenced,
    stop: CancellationToken,
) {
    let mut mine = None;
    loop {
        let next = attempt(&store, &holder, mine).await;
        announce(mine, next);
        mine = next;
        held.send_replace(mine);
        tokio::select! {
            () = tokio::time::sleep(RENEW_EVERY) => {}
            () = fenced.told.notified() => {
                tracing::warn!("another hub decides now; this one has stopped");
                mine = None;
                held.send_replace(mine);
            }
            () = stop.cancelled() => break,
        }
    }
    held.send_replace(None);
    if mine.is_some()
        && let Err(error) = within(ANSWER_MAX, store.lease_release(&holder)).await
    {
        tracing::info!(%error, "the lease was not given up; the next hub waits for its end");
    }
}

/// The time counts from before the question was sent: the database's own count started later.
async fn attempt(store: &Store, holder: &str, now_held: Option<Held>) -> Option<Held> {
    let asked = Instant::now();
    let until = asked + LEASE - MARGIN;
    let still = now_held.filter(|held| asked < held.until);
    let answer = match still {
        Some(held) => {
            let renewed = store.lease_renew(holder, held.epoch, LEASE);
            let renewed = within(ANSWER_MAX, renewed).await;
            renewed.map(|kept| kept.then_some(held.epoch))
        }
        None => within(ANSWER_MAX, store.epoch_take(holder, LEASE)).await,
    };
    match answer {
        Ok(epoch) => epoch.map(|epoch| Held { epoch, until }),
        Err(error) => {
            tracing::warn!(%error, "cannot renew the lease to decide");
            still
        }
    }
}

fn announce(before: Option<Held>, after: Option<Held>) {
    match (before, after) {
        (None, Some(held)) => tracing::info!(epoch = ?held.epoch, "this hub decides"),
        (Some(_), None) => tracing::warn!("this hub no longer decides"),
        (Some(_), Some(_)) | (None, None) => {}
    }
}
