//! How many connections a peer may have at once (S11). In: whose handshake is done. Out: a place, for as long as the connection
//! lasts, or none. It must not end a connection that is there, nor count people: an administrator has certified each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::identity::Peer;

/// Of one cluster: its agent has one, another while it renews its certificate, and in half a minute, after which one that is
/// silent is closed, leaves ten behind at most.
pub const OF_ONE_CLUSTER: usize = 64;
/// Of everybody without a certificate: each has one word to say. Who finds no place asks again.
pub const OF_STRANGERS: usize = 256;

/// Everybody who has a place.
#[derive(Debug, Clone, Default)]
pub struct Guests(Arc<Mutex<BTreeMap<Guest, usize>>>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Guest {
    Stranger,
    Cluster(String),
}

/// The place of one connection.
#[derive(Debug)]
pub struct Place(Option<(Guests, Guest)>);

impl Guests {
    /// A place; none: this peer has as many as it may.
    #[must_use]
    pub fn place(&self, peer: &Peer) -> Option<Place> {
        let (guest, most) = match peer {
            Peer::Person { .. } => return Some(Place(None)),
            Peer::Cluster(name) => (Guest::Cluster(name.clone()), OF_ONE_CLUSTER),
            Peer::Anonymous => (Guest::Stranger, OF_STRANGERS),
        };
        let mut all = self.lock();
        let count = all.entry(guest.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(all);
        Some(Place(Some((self.clone(), guest))))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Guest, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((guests, guest)) = &self.0 else {
            return;
        };
        let mut all = guests.lock();
        let left = all.get_mut(guest).map(|count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == Some(0) {
            all.remove(guest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_for_as_long_as_the_connection_and_nothing_is_kept_of_who_left() {
        let guests = Guests::default();
        let person = Peer::Person {
            name: "ada".into(),
            groups: Vec::new(),
        };
        for (peer, most) in [
            (Peer::Cluster("eu".into()), OF_ONE_CLUSTER),
            (Peer::Anonymous, OF_STRANGERS),
        ] {
            let mut places: Vec<Place> = (0..most).filter_map(|_| guests.place(&peer)).collect();
            assert_eq!(places.len(), most);
            assert!(guests.place(&peer).is_none(), "{peer:?}");
            assert!(guests.place(&Peer::Cluster("us".into())).is_some());
            assert!((0..2 * most).all(|_| guests.place(&person).is_some()));
            places.pop();
            places.extend(guests.place(&peer));
            assert_eq!(places.len(), most);
        }
        assert!(guests.lock().is_empty());
    }
}
