//! Which clusters' sets have changed. In: the store's fences, polled and on hints. Out: a wake-up for exactly the sessions
//! that it concerns. It must not read sets: a session reads its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hub_engine::{ClusterName, Fence};
use hub_store::{CALL_MAX, Store, within};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::hints::Hints;

/// Beside the hints, which can be lost.
const POLL: Duration = Duration::from_secs(1);
/// Hints that come within this time are answered by one reading …
const GATHER_MIN: Duration = Duration::from_millis(5);
/// … or within as many times the time that the last reading took. What this hub itself decides wakes its sessions without a
/// reading; this is for what others decide.
const GATHER_SHARE: u32 = 10;
const GATHER_MAX: Duration = Duration::from_millis(500);

/// One channel a cluster with a session here.
#[derive(Debug, Clone, Default)]
pub struct Fences {
    channels: Arc<Mutex<HashMap<ClusterName, watch::Sender<Fence>>>>,
}

impl Fences {
    /// Wakes whenever the cluster's committed fence is another than `known`.
    #[must_use]
    pub fn subscribe(&self, cluster: &ClusterName, known: Fence) -> watch::Receiver<Fence> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels
            .entry(cluster.clone())
            .or_insert_with(|| watch::channel(known).0)
            .subscribe()
    }

    /// These were committed; a number never wakes anybody for less than is known.
    pub fn raise(&self, fences: &BTreeMap<ClusterName, Fence>) {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        for (cluster, fence) in fences {
            if let Some(channel) = channels.get(cluster) {
                channel.send_if_modified(|known| {
                    let higher = *known < *fence;
                    *known = (*known).max(*fence);
                    higher
                });
            }
        }
    }

    fn publish(&self, fences: Vec<(ClusterName, Fence)>) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|_, channel| channel.receiver_count() > 0);
        for (cluster, fence) in fences {
            if let Some(channel) = channels.get(&cluster) {
                channel.send_if_modified(|known| std::mem::replace(known, fence) != fence);
            }
        }
    }

    fn any(&self) -> bool {
        !self
            .channels
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }
}

/// Reads and publishes until it is told to stop. A reading that fails changes nothing: "I don't know" is not "no clusters".
pub async fn follow(fences: Fences, store: Store, mut hints: Hints, stop: CancellationToken) {
    let mut gather = GATHER_MIN;
    loop {
        tokio::select! {
            () = hints.sets_changed() => tokio::time::sleep(gather).await,
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => return,
        }
        if !fences.any() {
            continue;
        }
        let asked = Instant::now();
        let answer = within(CALL_MAX, store.desired_fences()).await;
        gather = (asked.elapsed() * GATHER_SHARE).clamp(GATHER_MIN, GATHER_MAX);
        match answer {
            Ok(all) => fences.publish(all),
            Err(error) => tracing::debug!(%error, "cannot read the fences"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_cluster_that_changed_is_woken() {
        let fences = Fences::default();
        let fence = |version| Fence {
            incarnation: 1,
            version,
        };
        let mut a = fences.subscribe(&"a".into(), fence(1));
        let mut b = fences.subscribe(&"b".into(), fence(1));
        fences.publish(vec![
            ("a".into(), fence(2)),
            ("b".into(), fence(1)),
            ("c".into(), fence(9)),
        ]);
        a.changed().await.unwrap();
        assert_eq!(*a.borrow(), fence(2));
        assert!(!b.has_changed().unwrap());
        fences.raise(&BTreeMap::from([
            ("a".into(), fence(1)),
            ("b".into(), fence(2)),
            ("c".into(), fence(9)),
        ]));
        b.changed().await.unwrap();
        assert_eq!(*b.borrow(), fence(2));
        assert!(!a.has_changed().unwrap(), "it has been told of more");
        drop((a, b));
        let _c = fences.subscribe(&"c".into(), fence(1));
        fences.publish(Vec::new());
        assert_eq!(fences.channels.lock().unwrap().len(), 1);
    }
}
