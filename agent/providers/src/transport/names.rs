//! Looking up names, so that those which hang do not hold up the others.
//!
//! In: a name. Out: its addresses, from wherever names are looked up. It must not have more look-ups under way than a part
//! of the pool of threads on which the system's resolver waits: such a wait cannot be given up, and files are read there too.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::guard::{Found, Lookup, System};

/// Young look-ups at a time of names that had an answer before, and as many of others: a healthy one takes milliseconds.
const YOUNG: usize = 64;
/// Look-ups at a time that do not answer. With the young ones they are half of the pool of threads, which has 512.
const OLD: usize = 128;
/// From then on a look-up does not answer. The system's resolver asks again only after 5 s.
const OLD_AFTER: Duration = Duration::from_secs(2);
/// Names that are remembered for having had an answer; more servers than one cluster measures with.
const KNOWN: usize = 4_096;
/// How often a caller joins a look-up: again when the first was given up as the caller came.
const JOINS: usize = 2;

type Answer = Result<Vec<SocketAddr>, (io::ErrorKind, String)>;
type Flight = Arc<watch::Sender<Option<Answer>>>;

#[derive(Debug, Default)]
struct State {
    /// One look-up a name; all who ask for it wait for that one.
    flights: HashMap<String, Flight>,
    known: HashSet<String>,
}

/// Look-ups under way.
#[derive(Debug)]
pub(super) struct Names {
    lookup: Arc<dyn Lookup>,
    state: Mutex<State>,
    known: Semaphore,
    unknown: Semaphore,
    old: Semaphore,
    old_after: Duration,
}

impl Default for Names {
    fn default() -> Self {
        Self::new(Arc::new(System))
    }
}

impl Names {
    /// None under way.
    pub fn new(lookup: Arc<dyn Lookup>) -> Self {
        Self {
            lookup,
            state: Mutex::default(),
            known: Semaphore::new(YOUNG),
            unknown: Semaphore::new(YOUNG),
            old: Semaphore::new(OLD),
            old_after: OLD_AFTER,
        }
    }

    /// The addresses of a name.
    pub fn find(self: &Arc<Self>, name: &str) -> Found {
        let (this, name) = (Arc::clone(self), name.to_owned());
        Box::pin(async move {
            for _ in 0..JOINS {
                let mut flight = this.join(&name);
                if let Ok(answer) = flight.wait_for(Option::is_some).await
                    && let Some(answer) = answer.clone()
                {
                    return answer.map_err(|(kind, text)| io::Error::new(kind, text));
                }
            }
            Err(io::Error::other("its look-up was given up"))
        })
    }

    fn join(self: &Arc<Self>, name: &str) -> watch::Receiver<Option<Answer>> {
        let mut state = self.lock();
        if let Some(flight) = state.flights.get(name) {
            return flight.subscribe();
        }
        let flight = Flight::default();
        let receiver = flight.subscribe();
        state.flights.insert(name.to_owned(), Arc::clone(&flight));
        tokio::spawn(Arc::clone(self).fly(name.to_owned(), flight));
        receiver
    }

    async fn fly(self: Arc<Self>, name: String, flight: Flight) {
        // Out of the way whatever happens, a panic of the resolver as well.
        let landing = Landing {
            names: &self,
            name: &name,
        };
        let answer = self.look_up(&name, &flight).await;
        drop(landing);
        if let Some(answer) = answer {
            flight.send_replace(Some(answer));
        }
    }

    /// Nothing when nobody waits any more and it has not begun.
    async fn look_up(&self, name: &str, flight: &Flight) -> Option<Answer> {
        let is_known = self.lock().known.contains(name);
        let young = if is_known { &self.known } else { &self.unknown };
        let young = tokio::select! {
            young = young.acquire() => young.ok()?,
            () = flight.closed() => return None,
        };
        let found = self.patiently(name, young).await;
        if found.is_ok() && !is_known {
            let mut state = self.lock();
            if state.known.len() >= KNOWN {
                // Those in use are known again with their next answer.
                state.known.clear();
            }
            state.known.insert(name.to_owned());
        }
        Some(found.map_err(|error| (error.kind(), error.to_string())))
    }

    async fn patiently(
        &self,
        name: &str,
        young: SemaphorePermit<'_>,
    ) -> io::Result<Vec<SocketAddr>> {
        let mut found = self.lookup.lookup(name);
        if let Ok(found) = tokio::time::timeout(self.old_after, &mut found).await {
            return found;
        }
        tokio::select! {
            found = &mut found => found,
            // It makes room for a younger one, unless too many do not answer already.
            old = self.old.acquire() => {
                drop(young);
                let found = found.await;
                drop(old);
                found
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Landing<'a> {
    names: &'a Names,
    name: &'a str,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.names.lock().flights.remove(self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use tokio::task::JoinSet;

    use super::*;

    /// Holds a thread of the pool for each name but `localhost`, as a resolver does whose server does not answer.
    #[derive(Debug)]
    struct Hanging {
        held: Arc<AtomicUsize>,
        end: Arc<Mutex<mpsc::Receiver<()>>>,
    }

    impl Lookup for Hanging {
        fn lookup(&self, name: &str) -> Found {
            if name == "localhost" {
                return System.lookup(name);
            }
            let (held, end) = (Arc::clone(&self.held), Arc::clone(&self.end));
            Box::pin(async move {
                let wait = tokio::task::spawn_blocking(move || {
                    held.fetch_add(1, Ordering::SeqCst);
                    // Until the test is over.
                    let _ = end.lock().unwrap_or_else(PoisonError::into_inner).recv();
                });
                let _ = wait.await;
                Err(io::Error::other("no answer"))
            })
        }
    }

    fn hanging(old_after: Duration) -> (Arc<Names>, Arc<AtomicUsize>, mpsc::Sender<()>) {
        let (sender, end) = mpsc::channel();
        let held = Arc::<AtomicUsize>::default();
        let lookup = Hanging {
            held: Arc::clone(&held),
            end: Arc::new(Mutex::new(end)),
        };
        let mut names = Names::new(Arc::new(lookup));
        names.old_after = old_after;
        (Arc::new(names), held, sender)
    }

    async fn reaches(held: &AtomicUsize, wanted: usize) {
        while held.load(Ordering::SeqCst) < wanted {
            tokio::task::yield_now().await;
        }
    }

    async fn is_found(names: &Arc<Names>) {
        let limit = Duration::from_secs(10);
        let found = tokio::time::timeout(limit, names.find("localhost")).await;
        assert!(!found.expect("in time").unwrap().is_empty());
    }

    /// F50. More names that hang than there are threads, of which each measurement asks for one.
    #[tokio::test]
    async fn f50_names_that_hang_do_not_hold_those_that_answer() {
        let (names, held, end) = hanging(Duration::from_millis(1));
        is_found(&names).await;
        let mut asking = JoinSet::new();
        for index in 0..600 {
            asking.spawn(names.find(&format!("hangs-{index}.example")));
        }
        reaches(&held, YOUNG + OLD).await;
        is_found(&names).await;
        assert_eq!(held.load(Ordering::SeqCst), YOUNG + OLD, "and no more");
        // Who gives up waiting for its turn leaves nothing.
        asking.shutdown().await;
        while names.lock().flights.len() > YOUNG + OLD {
            tokio::task::yield_now().await;
        }
        drop(end);
        while !names.lock().flights.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_name_that_does_not_answer_makes_room_for_new_ones() {
        let (names, held, _end) = hanging(Duration::from_millis(1));
        let mut asking = JoinSet::new();
        for index in 0..YOUNG {
            asking.spawn(names.find(&format!("hangs-{index}.example")));
        }
        reaches(&held, YOUNG).await;
        assert!(!names.lock().known.contains("localhost"));
        is_found(&names).await;
    }

    #[tokio::test]
    async fn who_asks_for_the_same_name_waits_for_one_look_up() {
        let (names, held, end) = hanging(OLD_AFTER);
        let mut asking = JoinSet::new();
        for _ in 0..1000 {
            asking.spawn(names.find("hangs.example"));
        }
        reaches(&held, 1).await;
        let join = names.lock().flights.get("hangs.example").cloned();
        let join = join.expect("under way");
        while join.receiver_count() < 1000 {
            tokio::task::yield_now().await;
        }
        drop(end);
        while let Some(found) = asking.join_next().await {
            let error = found.unwrap().expect_err("no answer").to_string();
            assert_eq!(error, "no answer");
        }
        assert_eq!(held.load(Ordering::SeqCst), 1);
    }
}
