//! One stream of a cluster is opened at a time, and few at once (gate.md L3; S11). In: streams that have no session yet. Out:
//! their turn, or that a newer one of the same cluster came or that nobody reads them any more. It must not touch a session.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hub_engine::ClusterName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::link::outbox::Outbox;

/// Everything that is being opened.
#[derive(Debug, Clone)]
pub struct Openings {
    turns: Arc<Semaphore>,
    doors: Arc<Mutex<BTreeMap<ClusterName, Door>>>,
}

/// Of one cluster.
#[derive(Debug)]
struct Door {
    /// Ends the newest stream's waiting.
    newest: CancellationToken,
    /// Its one turn.
    turn: Arc<Semaphore>,
    streams: usize,
}

/// A stream's place before its session.
#[derive(Debug)]
pub struct Place {
    openings: Openings,
    cluster: ClusterName,
    replaced: CancellationToken,
    turn: Arc<Semaphore>,
}

/// While it is held, the session may be opened.
#[derive(Debug)]
pub struct Turn {
    _own: Option<OwnedSemaphorePermit>,
    _shared: Option<OwnedSemaphorePermit>,
}

/// Why a stream has no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// A newer stream of this cluster came.
    Replaced,
    /// Nobody reads it any more: opened now, it would end the session that its agent has opened meanwhile.
    Abandoned,
}

impl Openings {
    /// So many turns at once.
    #[must_use]
    pub fn new(turns: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(turns)),
            doors: Arc::default(),
        }
    }

    /// A new stream. One before it that still waits is passed over: an agent that dials again has given it up, and whoever
    /// dials without end holds one first word and one turn, not all of them.
    #[must_use]
    pub fn place(&self, cluster: &ClusterName) -> Place {
        let replaced = CancellationToken::new();
        let mut doors = self.doors();
        let door = doors.entry(cluster.clone()).or_insert_with(|| Door {
            newest: CancellationToken::new(),
            turn: Arc::new(Semaphore::new(1)),
            streams: 0,
        });
        door.streams += 1;
        std::mem::replace(&mut door.newest, replaced.clone()).cancel();
        let turn = Arc::clone(&door.turn);
        drop(doors);
        Place {
            openings: self.clone(),
            cluster: cluster.clone(),
            replaced,
            turn,
        }
    }

    fn doors(&self) -> MutexGuard<'_, BTreeMap<ClusterName, Door>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Until a newer stream of the cluster comes.
    pub async fn replaced(&self) {
        self.replaced.cancelled().await;
    }

    /// Waits for the turn. Once there is one, a newer stream waits for its end.
    ///
    /// # Errors
    /// There is no turn, and why.
    pub async fn turn(&self, outbox: &Outbox) -> Result<Turn, Passed> {
        // Nobody closes them.
        let both = async {
            let own = Arc::clone(&self.turn).acquire_owned().await.ok();
            let turns = Arc::clone(&self.openings.turns);
            (own, turns.acquire_owned().await.ok())
        };
        let (own, shared) = tokio::select! {
            biased;
            () = self.replaced() => return Err(Passed::Replaced),
            both = both => both,
        };
        if outbox.abandoned() {
            return Err(Passed::Abandoned);
        }
        Ok(Turn {
            _own: own,
            _shared: shared,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut doors = self.openings.doors();
        let Some(door) = doors.get_mut(&self.cluster) else {
            return;
        };
        door.streams = door.streams.saturating_sub(1);
        if door.streams == 0 {
            doors.remove(&self.cluster);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::outbox::outbox;

    const HUB: usize = 2;

    #[tokio::test]
    async fn a_stream_that_nobody_reads_any_more_has_no_turn() {
        let openings = Openings::new(HUB);
        let all = Arc::clone(&openings.turns);
        let held = all.acquire_many_owned(HUB as u32).await.unwrap();
        let (place, (first, outgoing)) = (openings.place(&"eu".into()), outbox());
        let waiting = tokio::spawn(async move { place.turn(&first).await.map(drop) });
        tokio::task::yield_now().await;
        drop(outgoing);
        drop(held);
        assert_eq!(waiting.await.unwrap(), Err(Passed::Abandoned));
        let (outbox, _outgoing) = outbox();
        assert!(openings.place(&"eu".into()).turn(&outbox).await.is_ok());
    }

    #[tokio::test]
    async fn of_one_cluster_one_has_the_turn_and_the_newest_waits_for_it() {
        let openings = Openings::new(HUB);
        let (outbox, _outgoing) = outbox();
        let (eu, us) = ("eu".into(), "us".into());
        let first = openings.place(&eu);
        let turn = first.turn(&outbox).await.unwrap();
        let second = openings.place(&eu);
        let third = openings.place(&eu);
        assert_eq!(second.turn(&outbox).await.err(), Some(Passed::Replaced));
        second.replaced().await;
        let mut waits = Box::pin(third.turn(&outbox));
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, &mut waits).await.is_err());
        // It leaves the hub's other turn to others meanwhile.
        assert!(openings.place(&us).turn(&outbox).await.is_ok());
        drop(turn);
        assert!(waits.await.is_ok());
        drop((first, second, third));
        assert!(openings.doors().is_empty());
    }
}
