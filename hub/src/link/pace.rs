//! How much one cluster's word may leave for good (S11): rows of the history, which are never deleted, and content changes,
//! which are kept for a month (`Store::keys_prune`). In: what each cluster's word has left, the time. Out: how long it waits
//! with the next. It must not drop anything: an agent keeps what is not acknowledged, and what is behind goes on in its own time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hub_engine::ClusterName;

/// At once. Every Rollout of the largest member (`hub_store::report::ROLLOUTS_MAX`) may change, and somebody say a word about
/// each.
pub const ROWS_AT_ONCE: u32 = 20_000;
/// From then on, on one hub: eight words a day about each of those, which is some fifty megabytes of history.
const ONE_EVERY: Duration = Duration::from_secs(1);

/// What is looked at before more is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Reports, and Gates that could not be written. The stream stays.
    Words,
    /// The first word of a stream. Who waits with its words may still come back, so it has as much again.
    Hello,
}

/// The pace of every cluster that was heard on this hub: when it will have used no more than it has a second.
#[derive(Debug, Clone, Default)]
pub struct Paces(Arc<Mutex<BTreeMap<ClusterName, Instant>>>);

impl Paces {
    /// How long this cluster waits until it may write again; none: it may now.
    #[must_use]
    pub fn wait(&self, cluster: &ClusterName, of: Of, now: Instant) -> Option<Duration> {
        let even = *self.lock().get(cluster)?;
        let most = match of {
            Of::Words => ROWS_AT_ONCE,
            Of::Hello => 2 * ROWS_AT_ONCE,
        };
        let behind = even.saturating_duration_since(now);
        let wait = behind.saturating_sub(ONE_EVERY * most);
        (!wait.is_zero()).then_some(wait)
    }

    /// Its word has left so many rows.
    pub fn spend(&self, cluster: &ClusterName, rows: u32, now: Instant) {
        if rows == 0 {
            return;
        }
        let mut evens = self.lock();
        let even = evens.entry(cluster.clone()).or_insert(now);
        let later = (*even).max(now).checked_add(ONE_EVERY * rows);
        *even = later.unwrap_or(*even);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ClusterName, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_without_end_waits_and_nobody_else_does() {
        assert_eq!(
            usize::try_from(ROWS_AT_ONCE).unwrap(),
            2 * hub_store::report::ROLLOUTS_MAX
        );
        let (paces, now) = (Paces::default(), Instant::now());
        let (bad, good) = ("bad".into(), "good".into());
        paces.spend(&bad, ROWS_AT_ONCE, now);
        assert_eq!(paces.wait(&bad, Of::Words, now), None, "so much is at once");
        paces.spend(&bad, 100, now);
        let wait = Duration::from_secs(100);
        assert_eq!(paces.wait(&bad, Of::Words, now), Some(wait));
        assert_eq!(paces.wait(&bad, Of::Hello, now), None, "it may come back");
        assert_eq!(paces.wait(&good, Of::Words, now), None);
        let later = now + wait;
        assert_eq!(paces.wait(&bad, Of::Words, later), None);
        // One a second from now on.
        paces.spend(&bad, 1, later);
        let wait = Duration::from_secs(1);
        assert_eq!(paces.wait(&bad, Of::Words, later), Some(wait));
        paces.spend(&bad, ROWS_AT_ONCE, later);
        assert_eq!(paces.wait(&bad, Of::Hello, later), Some(wait));
        // What was not used for long is no more than at first.
        let long = later + Duration::from_secs(1_000_000);
        paces.spend(&bad, ROWS_AT_ONCE + 1, long);
        assert_eq!(paces.wait(&bad, Of::Words, long), Some(wait));
    }
}
