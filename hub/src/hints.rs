//! Wake-ups. In: the database's notifications. Out: any number of waiters woken, one wake-up for many notifications, and what
//! they were about. Nobody may rely on it: whoever waits here also polls.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hub_engine::{FleetRolloutName, RolloutName};
use hub_store::{CALL_MAX, Hint, Store, within};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Between two tries to listen again; until then everybody polls.
const RETRY: Duration = Duration::from_secs(1);
/// A connection that only listens cannot be told from one that fell silent: after so long without a word another one listens.
const SILENT_MAX: Duration = Duration::from_secs(60);
/// Names that are remembered until somebody takes them; with more of them everything is looked at.
const NAMES_MAX: usize = 1_000;

/// What was committed since somebody took it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Everything may be another than before.
    pub anything: bool,
    /// Rollouts of which an agent reported something.
    pub rollouts: BTreeSet<RolloutName>,
    /// FleetRollouts of which a plan was written.
    pub decided: BTreeSet<FleetRolloutName>,
}

impl News {
    fn add(&mut self, hint: Hint) {
        match hint {
            Hint::Anything => self.anything = true,
            Hint::Rollout(rollout) => {
                self.rollouts.insert(rollout);
            }
            Hint::Decided(name) => {
                self.decided.insert(name);
            }
        }
        self.bound();
    }

    /// Whatever either is about.
    pub(crate) fn join(&mut self, other: Self) {
        self.anything |= other.anything;
        self.rollouts.extend(other.rollouts);
        self.decided.extend(other.decided);
        self.bound();
    }

    fn bound(&mut self) {
        if self.anything || self.rollouts.len() + self.decided.len() > NAMES_MAX {
            *self = Self {
                anything: true,
                ..Self::default()
            };
        }
    }
}

/// One waiter.
#[derive(Debug, Clone)]
pub struct Hints {
    count: watch::Receiver<u64>,
    /// Of them, those after which sets may be others.
    sets: watch::Receiver<u64>,
    news: Arc<Mutex<News>>,
}

impl Hints {
    /// Waits until something was committed since the last call.
    pub async fn changed(&mut self) {
        if self.count.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until something was committed since the last call that may have changed sets: agents' reports never do.
    pub async fn sets_changed(&mut self) {
        if self.sets.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What was committed since the last call by any waiter: there is one that decides.
    #[must_use]
    pub fn take(&self) -> News {
        std::mem::take(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Listens until it is told to stop; a lost connection is made again.
pub fn start(store: Store, stop: CancellationToken) -> Hints {
    let (sender, count) = watch::channel(0);
    let (sets_sender, sets) = watch::channel(0);
    let news = Arc::new(Mutex::new(News::default()));
    let hints = Hints {
        count,
        sets,
        news: news.clone(),
    };
    tokio::spawn(async move {
        tokio::select! {
            () = listen(store, [sender, sets_sender], news) => {}
            () = stop.cancelled() => {}
        }
    });
    hints
}

async fn listen(store: Store, senders: [watch::Sender<u64>; 2], news: Arc<Mutex<News>>) {
    let [all, sets] = senders;
    let tell = |hint| {
        let reported = matches!(hint, Hint::Rollout(_));
        news.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(hint);
        all.send_modify(|count| *count = count.wrapping_add(1));
        if !reported {
            sets.send_modify(|count| *count = count.wrapping_add(1));
        }
    };
    loop {
        match within(CALL_MAX, store.hints()).await {
            Ok(mut hints) => {
                // Something may have been committed while nobody listened.
                tell(Hint::Anything);
                while let Ok(Ok(hint)) = tokio::time::timeout(SILENT_MAX, hints.next()).await {
                    tell(hint);
                }
            }
            Err(error) => tracing::debug!(%error, "cannot listen for hints"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_names_are_anything() {
        let mut news = News::default();
        for index in 0..NAMES_MAX {
            news.add(Hint::Decided(FleetRolloutName(format!("a{index}"))));
        }
        assert!(!news.anything && news.decided.len() == NAMES_MAX);
        news.add(Hint::Decided("b".into()));
        assert!(news.anything && news.decided.is_empty());
    }
}
