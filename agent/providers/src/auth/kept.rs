//! What is fetched once and used by many: tokens and keys.
//!
//! In: a name and how to fetch what it stands for. Out: the one kept, or a new one. It must not know what it keeps.
//! Of many that ask at once one fetches and the others wait; a failure is kept too, so that a server in trouble is not
//! asked by each of ten thousand measurements.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as Turn;

/// How long a failure is kept: shorter than the time after which an analysis tries again.
const FAILURE_KEPT: Duration = Duration::from_secs(5);
/// Most things kept. Beyond, those that nobody waits for are dropped and fetched again.
const MAX_KEPT: usize = 256;

/// One thing, fetched and for how long it holds.
#[derive(Debug, Clone)]
pub struct Fetched<V> {
    /// The thing.
    pub value: V,
    /// From now on.
    pub holds: Duration,
}

/// One thing, kept.
#[derive(Debug, Clone)]
pub struct Held<V> {
    /// The thing.
    pub value: V,
    /// Whether it was fetched just now.
    pub fresh: bool,
    /// When it was fetched, which tells it from one fetched later.
    since: Instant,
}

type Slot<V, E> = Arc<Turn<Option<Outcome<V, E>>>>;

struct Outcome<V, E> {
    result: Result<V, E>,
    since: Instant,
    holds: Duration,
}

/// Things by name.
pub struct Kept<K, V, E> {
    slots: Mutex<HashMap<K, Slot<V, E>>>,
}

impl<K, V, E> Default for Kept<K, V, E> {
    fn default() -> Self {
        Self {
            slots: Mutex::new(HashMap::new()),
        }
    }
}

impl<K, V, E> fmt::Debug for Kept<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl<K: Eq + Hash + Clone, V: Clone, E: Clone> Kept<K, V, E> {
    fn slot(&self, key: &K) -> Slot<V, E> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_KEPT && !slots.contains_key(key) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key.clone()).or_default())
    }

    /// The thing of this name, fetched unless one is kept that still holds.
    pub async fn get<F>(&self, key: &K, fetch: impl FnOnce() -> F) -> Result<Held<V>, E>
    where
        F: Future<Output = Result<Fetched<V>, E>>,
    {
        let slot = self.slot(key);
        let mut turn = slot.lock().await;
        if let Some(kept) = turn
            .as_ref()
            .filter(|kept| kept.since.elapsed() < kept.holds)
        {
            return kept.result.clone().map(|value| Held {
                value,
                fresh: false,
                since: kept.since,
            });
        }
        let (result, holds) = match fetch().await {
            Ok(fetched) => (Ok(fetched.value), fetched.holds),
            Err(error) => (Err(error), FAILURE_KEPT),
        };
        let since = Instant::now();
        *turn = Some(Outcome {
            result: result.clone(),
            since,
            holds,
        });
        result.map(|value| Held {
            value,
            fresh: true,
            since,
        })
    }

    /// Drops this one, unless another was fetched since.
    pub async fn forget(&self, key: &K, held: &Held<V>) {
        let slot = self.slot(key);
        let mut turn = slot.lock().await;
        if turn.as_ref().is_some_and(|kept| kept.since == held.since) {
            *turn = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_ask_and_one_fetches() {
        let kept: Arc<Kept<u8, usize, String>> = Arc::default();
        let fetches = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (kept, fetches) = (Arc::clone(&kept), Arc::clone(&fetches));
                tokio::spawn(async move {
                    let fetch = || async {
                        tokio::task::yield_now().await;
                        let value = fetches.fetch_add(1, Ordering::SeqCst);
                        let holds = Duration::from_secs(60);
                        Ok(Fetched { value, holds })
                    };
                    kept.get(&1, fetch).await.unwrap()
                })
            })
            .collect();
        let mut fresh = 0;
        for task in tasks {
            let held = task.await.unwrap();
            assert_eq!(held.value, 0);
            fresh += usize::from(held.fresh);
        }
        assert_eq!(fresh, 1);
    }

    #[tokio::test]
    async fn what_ended_is_fetched_again_and_failures_are_kept() {
        let kept: Kept<u8, u8, String> = Kept::default();
        let of = |value, holds| move || async move { Ok(Fetched { value, holds }) };
        let first = kept.get(&1, of(1, Duration::ZERO)).await.unwrap();
        assert!(first.fresh);
        let second = kept.get(&1, of(2, Duration::from_secs(60))).await.unwrap();
        assert_eq!(second.value, 2);
        kept.forget(&1, &first).await;
        let third = kept.get(&1, of(3, Duration::from_secs(60))).await.unwrap();
        assert_eq!((third.value, third.fresh), (2, false));
        kept.forget(&1, &third).await;
        let fails = || async { Err("down".to_owned()) };
        assert_eq!(kept.get(&1, fails).await.unwrap_err(), "down");
        let fourth = kept.get(&1, of(4, Duration::from_secs(60))).await;
        assert_eq!(fourth.unwrap_err(), "down");
    }

    #[tokio::test]
    async fn no_more_than_so_many() {
        let kept: Kept<usize, usize, String> = Kept::default();
        for key in 0..MAX_KEPT * 3 {
            let holds = Duration::from_secs(60);
            let fetch = || async move { Ok(Fetched { value: key, holds }) };
            assert_eq!(kept.get(&key, fetch).await.unwrap().value, key);
        }
        assert!(kept.slots.lock().unwrap().len() <= MAX_KEPT);
    }
}
