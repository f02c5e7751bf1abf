//! Who may ask now.
//!
//! In: names of servers, and who wants to ask them. Out: permission to ask one, at once or when its turn comes. It must not
//! let a server that does not answer, or one namespace, take what the others need: the fuller it is, the less one may have.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Measurements at a time: each holds a connection and some tens of KiB.
pub const TOTAL: usize = 4_096;
/// How many of them one server may have, by how many there are in all. 512 are 5,000 requests a second at 100 ms each, more
/// than an agent sends. Four servers that hang fill half, 16 more the next quarter, 128 more the rest.
const SHARES: [(usize, usize); 3] = [(TOTAL / 2, 512), (TOTAL / 4 * 3, 64), (TOTAL, 8)];
/// From so many on, one namespace may have only [`SHARE_OF_NAMESPACE`] of them: the last eighth is for the others, of which
/// it serves eight at least. A cluster with one namespace has enough without it.
const FOR_ALL: usize = TOTAL / 8 * 7;
/// See [`FOR_ALL`].
const SHARE_OF_NAMESPACE: usize = 64;

/// Who asks what. Each has a turn of its own, so that nobody waits behind all measurements of another namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Lane {
    server: Arc<str>,
    namespace: Arc<str>,
}

#[derive(Default)]
struct State {
    total: usize,
    /// Measurements under way, by server and by namespace.
    servers: HashMap<Arc<str>, usize>,
    namespaces: HashMap<Arc<str>, usize>,
    waiting: HashMap<Lane, VecDeque<oneshot::Sender<Permission>>>,
    /// Lanes in which somebody waits, the one whose turn is next first.
    turns: VecDeque<Lane>,
}

impl State {
    fn may_ask(&self, lane: &Lane) -> bool {
        let of = |count: Option<&usize>| count.copied().unwrap_or(0);
        let share = SHARES.iter().find(|(below, _)| self.total < *below);
        share.is_some_and(|(_, share)| of(self.servers.get(&lane.server)) < *share)
            && (self.total < FOR_ALL
                || of(self.namespaces.get(&lane.namespace)) < SHARE_OF_NAMESPACE)
    }

    fn take(&mut self, lane: &Lane) {
        self.total = self.total.saturating_add(1);
        add(&mut self.servers, &lane.server);
        add(&mut self.namespaces, &lane.namespace);
    }

    fn give_back(&mut self, lane: &Lane) {
        self.total = self.total.saturating_sub(1);
        subtract(&mut self.servers, &lane.server);
        subtract(&mut self.namespaces, &lane.namespace);
    }

    /// The next that waits and may ask now.
    fn next(&mut self) -> Option<(Lane, oneshot::Sender<Permission>)> {
        for _ in 0..self.turns.len() {
            let lane = self.turns.pop_front()?;
            if !self.may_ask(&lane) {
                self.turns.push_back(lane);
                continue;
            }
            let waiting = self.waiting.get_mut(&lane)?;
            // Who gave up waiting has no turn.
            let mut first = waiting.pop_front();
            while first.as_ref().is_some_and(oneshot::Sender::is_closed) {
                first = waiting.pop_front();
            }
            if waiting.is_empty() {
                self.waiting.remove(&lane);
            } else {
                self.turns.push_back(lane.clone());
            }
            if let Some(sender) = first {
                return Some((lane, sender));
            }
        }
        None
    }
}

fn add<K: Hash + Eq + Clone>(counts: &mut HashMap<K, usize>, key: &K) {
    let count = counts.entry(key.clone()).or_default();
    *count = count.saturating_add(1);
}

fn subtract<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// The slots; clones share them.
#[derive(Clone, Default)]
pub struct Slots {
    state: Arc<Mutex<State>>,
}

/// Permission to ask; dropped when there is an answer.
pub struct Permission {
    lane: Lane,
    slots: Slots,
}

impl Drop for Permission {
    fn drop(&mut self) {
        self.slots.lock().give_back(&self.lane);
        self.slots.serve();
    }
}

impl Slots {
    /// Waits for permission to ask a server for something of a namespace.
    pub async fn acquire(&self, server: &str, namespace: &str) -> Permission {
        let lane = Lane {
            server: server.into(),
            namespace: namespace.into(),
        };
        loop {
            let waiting = {
                let mut state = self.lock();
                let alone = !state.waiting.contains_key(&lane);
                if alone && state.may_ask(&lane) {
                    state.take(&lane);
                    return self.permission(lane);
                }
                let (sender, waiting) = oneshot::channel();
                if alone {
                    state.turns.push_back(lane.clone());
                }
                let all = state.waiting.entry(lane.clone()).or_default();
                all.push_back(sender);
                waiting
            };
            if let Ok(permission) = waiting.await {
                return permission;
            }
        }
    }

    /// Lets those in whose turn it is.
    fn serve(&self) {
        loop {
            let (permission, sender) = {
                let mut state = self.lock();
                let Some((lane, sender)) = state.next() else {
                    return;
                };
                state.take(&lane);
                (self.permission(lane), sender)
            };
            // Given up just now: it drops here, and the slot is the next one's.
            drop(sender.send(permission));
        }
    }

    fn permission(&self, lane: Lane) -> Permission {
        Permission {
            lane,
            slots: self.clone(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn take(slots: &Slots, (server, namespace): (&str, &str), most: usize) -> Vec<Permission> {
        let mut taken = Vec::new();
        while taken.len() < most {
            match slots.acquire(server, namespace).now_or_never() {
                Some(permission) => taken.push(permission),
                None => break,
            }
        }
        taken
    }

    fn nothing_is_left(slots: &Slots) {
        let state = slots.lock();
        let left = (state.total, state.servers.len(), state.namespaces.len());
        assert_eq!(left, (0, 0, 0));
        assert_eq!((state.waiting.len(), state.turns.len()), (0, 0));
    }

    #[test]
    fn servers_that_hang_leave_room_for_others() {
        let slots = Slots::default();
        let mut held = Vec::new();
        for index in 0..80 {
            held.push(take(&slots, (&format!("silent-{index}"), "shop"), TOTAL));
        }
        assert_eq!(held[0].len(), 512);
        assert_eq!(held[79].len(), 8);
        let more = take(&slots, ("good", "shop"), TOTAL).len();
        assert_eq!(more, 8, "and always some more");
        drop(held);
        let good = take(&slots, ("good", "shop"), TOTAL);
        assert_eq!(good.len(), 512);
        drop(good);
        nothing_is_left(&slots);
    }

    /// A name for each measurement is as many servers as one likes.
    #[test]
    fn a_namespace_whose_servers_hang_leaves_room_for_others() {
        let slots = Slots::default();
        let mut held = Vec::new();
        for index in 0..TOTAL {
            let server = format!("{index}.wildcard.example");
            held.extend(take(&slots, (&server, "greedy"), TOTAL));
        }
        assert_eq!(held.len(), FOR_ALL);
        for index in 0..8 {
            let namespace = format!("shop-{index}");
            let mut good = Vec::new();
            for server in 0..20 {
                good.extend(take(
                    &slots,
                    (&format!("{server}.{namespace}"), &namespace),
                    8,
                ));
            }
            assert_eq!(good.len(), SHARE_OF_NAMESPACE, "{namespace}");
            held.extend(good);
        }
        drop(held);
        nothing_is_left(&slots);
    }

    #[tokio::test]
    async fn who_waits_has_its_turn_and_nothing_is_left() {
        let slots = Slots::default();
        let mut held = take(&slots, ("busy", "shop"), 512);
        assert_eq!(held.len(), 512);
        let mut waiting: Vec<_> = (0..3)
            .map(|_| Box::pin(slots.clone().acquire_owned("busy", "shop")))
            .collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        drop(waiting.remove(0));
        held.pop();
        let first = waiting.remove(0).await;
        assert!(waiting[0].as_mut().now_or_never().is_none(), "in order");
        drop(first);
        drop(waiting.remove(0).await);
        drop(held);
        nothing_is_left(&slots);
    }

    /// One that many wait for: who comes last, from another namespace, is next but one.
    #[tokio::test]
    async fn namespaces_take_turns_at_a_server() {
        let slots = Slots::default();
        let mut held = take(&slots, ("busy", "many"), 512);
        let mut many: Vec<_> = (0..1000)
            .map(|_| Box::pin(slots.clone().acquire_owned("busy", "many")))
            .collect();
        for one in &mut many {
            assert!(one.as_mut().now_or_never().is_none());
        }
        let mut few = Box::pin(slots.clone().acquire_owned("busy", "few"));
        assert!(few.as_mut().now_or_never().is_none());
        held.pop();
        assert!(few.as_mut().now_or_never().is_none());
        held.pop();
        assert!(few.as_mut().now_or_never().is_some());
        drop((many, few, held));
        nothing_is_left(&slots);
    }

    impl Slots {
        async fn acquire_owned(self, server: &str, namespace: &str) -> Permission {
            self.acquire(server, namespace).await
        }
    }
}
