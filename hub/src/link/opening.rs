//! One stream of a cluster is opened at a time, and few at once; of those with a session the newest few stay (gate.md L3; S11).
//! In: streams that have no session yet, and sessions that were opened. Out: their turn, or that a newer one of the same cluster
//! came or that nobody reads them any more. It must not look into a session.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hub_engine::ClusterName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::link::outbox::Outbox;

/// Everything that is being opened.
#[derive(Debug, Clone)]
pub struct Openings {
    turns: Arc<Semaphore>,
    alone: Arc<Semaphore>,
    doors: Arc<Mutex<BTreeMap<ClusterName, Door>>>,
    sessions: Arc<Mutex<Sessions>>,
}

/// Sessions of one cluster that are open on this hub. But for the newest they are over, and are told so at their next word; who
/// never says one holds so many messages that are half said, and no more.
const SESSIONS_MAX: usize = 4;

/// Of each cluster in their order, and what ends each.
type Sessions = BTreeMap<ClusterName, VecDeque<(u64, CancellationToken)>>;

/// The place of a session that is open.
#[derive(Debug)]
pub struct Open {
    sessions: Arc<Mutex<Sessions>>,
    cluster: ClusterName,
    session: u64,
    over: CancellationToken,
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

/// While it is held, a transaction of its own is allowed.
#[derive(Debug)]
pub struct Alone(#[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>);

/// Why a stream has no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// A newer stream of this cluster came.
    Replaced,
    /// Nobody reads it any more: opened now, it would end the session that its agent has opened meanwhile.
    Abandoned,
}

impl Openings {
    /// So many turns at once, and of those so many that need a transaction of their own.
    #[must_use]
    pub fn new(turns: usize, alone: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(turns)),
            alone: Arc::new(Semaphore::new(alone)),
            doors: Arc::default(),
            sessions: Arc::default(),
        }
    }

    /// A session was opened; where there are too many, the oldest ends. `stop` ends them all.
    #[must_use]
    pub fn open(&self, cluster: &ClusterName, session: u64, stop: &CancellationToken) -> Open {
        let over = stop.child_token();
        let mut sessions = lock(&self.sessions);
        let own = sessions.entry(cluster.clone()).or_default();
        own.push_back((session, over.clone()));
        if own.len() > SESSIONS_MAX
            && let Some((_, oldest)) = own.pop_front()
        {
            oldest.cancel();
        }
        drop(sessions);
        Open {
            sessions: Arc::clone(&self.sessions),
            cluster: cluster.clone(),
            session,
            over,
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
        lock(&self.doors)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Open {
    /// Ends with the hub, too.
    #[must_use]
    pub fn over(&self) -> CancellationToken {
        self.over.clone()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut sessions = lock(&self.sessions);
        let Some(own) = sessions.get_mut(&self.cluster) else {
            return;
        };
        own.retain(|(session, _)| *session != self.session);
        if own.is_empty() {
            sessions.remove(&self.cluster);
        }
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
        let (own, shared) = self.unless_passed(outbox, both).await?;
        Ok(Turn {
            _own: own,
            _shared: shared,
        })
    }

    /// In its turn: waits until it may have a transaction of its own.
    ///
    /// # Errors
    /// It may not any more, and why.
    pub async fn alone(&self, outbox: &Outbox) -> Result<Alone, Passed> {
        let alone = Arc::clone(&self.openings.alone).acquire_owned();
        let alone = async { alone.await.ok() };
        self.unless_passed(outbox, alone).await.map(Alone)
    }

    async fn unless_passed<T>(
        &self,
        outbox: &Outbox,
        waits: impl Future<Output = T>,
    ) -> Result<T, Passed> {
        let held = tokio::select! {
            biased;
            () = self.replaced() => return Err(Passed::Replaced),
            held = waits => held,
        };
        if outbox.abandoned() {
            return Err(Passed::Abandoned);
        }
        Ok(held)
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
        let openings = Openings::new(HUB, 1);
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
        let openings = Openings::new(HUB, 1);
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

    #[test]
    fn of_the_sessions_of_a_cluster_the_newest_few_stay() {
        let (openings, stop) = (Openings::new(HUB, 1), CancellationToken::new());
        let open = |cluster: &str, session| openings.open(&cluster.into(), session, &stop);
        let other = open("us", 7);
        let mut all: Vec<Open> = (0..6).map(|session| open("eu", session)).collect();
        let over = |all: &[Open]| -> Vec<u64> {
            let over = all.iter().filter(|one| one.over().is_cancelled());
            over.map(|one| one.session).collect()
        };
        assert_eq!(over(&all), [0, 1]);
        // One that ends by itself leaves its place.
        all.remove(4);
        all.push(open("eu", 6));
        assert_eq!(over(&all), [0, 1]);
        all.push(open("eu", 7));
        assert_eq!(over(&all), [0, 1, 2]);
        assert!(!other.over().is_cancelled());
        stop.cancel();
        assert!(all.iter().all(|one| one.over().is_cancelled()));
        drop((all, other));
        assert!(lock(&openings.sessions).is_empty());
    }
}
