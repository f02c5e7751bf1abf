//! Who may ask now.
//!
//! In: names of servers. Out: permission to ask one, at once or when its turn comes. It must not let a server that does not
//! answer take what the others need: the fuller it is, the less one server may have.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Measurements at a time: each holds a connection and some tens of KiB.
pub const TOTAL: usize = 4_096;
/// How many of them one server may have, by how many there are in all. 512 are 5,000 requests a second at 100 ms each, more
/// than an agent sends. Four servers that hang fill half, 32 more the next quarter, 128 more the rest.
const SHARES: [(usize, usize); 3] = [(TOTAL / 2, 512), (TOTAL / 4 * 3, 64), (TOTAL, 8)];

#[derive(Default)]
struct Server {
    asking: usize,
    waiting: VecDeque<oneshot::Sender<Permission>>,
}

#[derive(Default)]
struct State {
    total: usize,
    /// Only those that are being asked or waited for.
    servers: HashMap<String, Server>,
    /// Servers that somebody waits for, the one whose turn is next first.
    turns: VecDeque<String>,
}

impl State {
    fn may_ask(&self, server: &str) -> bool {
        let asking = self.servers.get(server).map_or(0, |one| one.asking);
        let share = SHARES.iter().find(|(below, _)| self.total < *below);
        share.is_some_and(|(_, share)| asking < *share)
    }

    fn take(&mut self, server: &str) {
        self.total = self.total.saturating_add(1);
        let one = self.servers.entry(server.to_owned()).or_default();
        one.asking = one.asking.saturating_add(1);
    }

    fn give_back(&mut self, server: &str) {
        self.total = self.total.saturating_sub(1);
        if let Some(one) = self.servers.get_mut(server) {
            one.asking = one.asking.saturating_sub(1);
            if one.asking == 0 && one.waiting.is_empty() {
                self.servers.remove(server);
            }
        }
    }

    /// The next that waits for a server that may be asked now.
    fn next(&mut self) -> Option<(String, oneshot::Sender<Permission>)> {
        for _ in 0..self.turns.len() {
            let server = self.turns.pop_front()?;
            if !self.may_ask(&server) {
                self.turns.push_back(server);
                continue;
            }
            let one = self.servers.get_mut(&server)?;
            // Who gave up waiting has no turn.
            let mut waiting = one.waiting.pop_front();
            while waiting.as_ref().is_some_and(oneshot::Sender::is_closed) {
                waiting = one.waiting.pop_front();
            }
            if !one.waiting.is_empty() {
                self.turns.push_back(server.clone());
            } else if one.asking == 0 && waiting.is_none() {
                self.servers.remove(&server);
            }
            if let Some(sender) = waiting {
                return Some((server, sender));
            }
        }
        None
    }
}

/// The slots; clones share them.
#[derive(Clone, Default)]
pub struct Slots {
    state: Arc<Mutex<State>>,
}

/// Permission to ask; dropped when there is an answer.
pub struct Permission {
    server: String,
    slots: Slots,
}

impl Drop for Permission {
    fn drop(&mut self) {
        let server = std::mem::take(&mut self.server);
        let slots = self.slots.clone();
        slots.lock().give_back(&server);
        slots.serve();
    }
}

impl Slots {
    /// Waits for permission to ask a server.
    pub async fn acquire(&self, server: &str) -> Permission {
        loop {
            let waiting = {
                let mut state = self.lock();
                let alone = state
                    .servers
                    .get(server)
                    .is_none_or(|one| one.waiting.is_empty());
                if alone && state.may_ask(server) {
                    state.take(server);
                    return self.permission(server);
                }
                let (sender, waiting) = oneshot::channel();
                if alone {
                    state.turns.push_back(server.to_owned());
                }
                let one = state.servers.entry(server.to_owned()).or_default();
                one.waiting.push_back(sender);
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
                let Some((server, sender)) = state.next() else {
                    return;
                };
                state.take(&server);
                (self.permission(&server), sender)
            };
            // Given up just now: it drops here, and the slot is the next one's.
            drop(sender.send(permission));
        }
    }

    fn permission(&self, server: &str) -> Permission {
        Permission {
            server: server.to_owned(),
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

    fn take(slots: &Slots, server: &str, most: usize) -> Vec<Permission> {
        let mut taken = Vec::new();
        while taken.len() < most {
            match slots.acquire(server).now_or_never() {
                Some(permission) => taken.push(permission),
                None => break,
            }
        }
        taken
    }

    #[test]
    fn servers_that_hang_leave_room_for_others() {
        let slots = Slots::default();
        let mut held = Vec::new();
        for index in 0..100 {
            held.push(take(&slots, &format!("silent-{index}"), TOTAL));
        }
        assert_eq!(held[0].len(), 512);
        assert_eq!(held[99].len(), 8);
        assert_eq!(take(&slots, "good", TOTAL).len(), 8, "and always some more");
        drop(held);
        let good = take(&slots, "good", TOTAL);
        assert_eq!(good.len(), 512);
        drop(good);
        let state = slots.lock();
        let left = (state.total, state.servers.len(), state.turns.len());
        assert_eq!(left, (0, 0, 0));
    }

    #[tokio::test]
    async fn who_waits_has_its_turn_and_nothing_is_left() {
        let slots = Slots::default();
        let mut held = take(&slots, "busy", 512);
        assert_eq!(held.len(), 512);
        let mut waiting: Vec<_> = (0..3)
            .map(|_| Box::pin(slots.clone().acquire_owned("busy")))
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
        let state = slots.lock();
        let left = (state.total, state.servers.len(), state.turns.len());
        assert_eq!(left, (0, 0, 0));
    }

    impl Slots {
        async fn acquire_owned(self, server: &str) -> Permission {
            self.acquire(server).await
        }
    }
}
