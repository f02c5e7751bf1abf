//! The work queue: one object at a time is worked on once, however often it was named.
//!
//! In: keys, some with a time. Out: keys that are due and that nobody works on now. It must not know what the keys mean: that
//! some of them may not take all workers is said by whoever makes it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Keys that may have so many workers and no more.
#[derive(Debug, Clone, Copy)]
struct Share<K> {
    picks: fn(&K) -> bool,
    most: usize,
}

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    /// Ready, and of the share.
    ready_shared: VecDeque<K>,
    share: Option<Share<K>>,
    /// How many of the share are worked on.
    shared: usize,
    /// What is ready, since when.
    queued: HashMap<K, Instant>,
    /// What is worked on, since when.
    running: HashMap<K, Instant>,
    /// Named again while running: to be queued when done.
    again: HashSet<K>,
    /// By time and order of arrival, since two can be due at the same instant.
    due: BTreeMap<(Instant, u64), K>,
    due_of: HashMap<K, (Instant, u64)>,
    order: u64,
    /// Until when one of the workers sleeps: each due key would wake all of them, did they all wait for its time.
    watched: Option<Instant>,
}

/// What there is to do, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Keys that are ready or running.
    pub depth: usize,
    /// Time that running ones have taken so far, all together.
    pub unfinished: Duration,
    /// Time that the longest one has.
    pub longest: Duration,
}

/// The queue; workers share it.
#[derive(Debug)]
pub struct Queue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                ready_shared: VecDeque::new(),
                share: None,
                shared: 0,
                queued: HashMap::new(),
                running: HashMap::new(),
                again: HashSet::new(),
                due: BTreeMap::new(),
                due_of: HashMap::new(),
                order: 0,
                watched: None,
            }),
            changed: Notify::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// One that hands out no more than so many of the picked keys at a time: the other workers are left to the others.
    #[must_use]
    pub fn with_share(picks: fn(&K) -> bool, most: usize) -> Self {
        let queue = Self::default();
        queue.lock().share = Some(Share { picks, most });
        queue
    }

    /// Names a key: it is worked on as soon as a worker is free.
    pub fn add(&self, key: K) {
        self.lock().push(key);
        self.changed.notify_one();
    }

    /// Names a key for a later time; of several times the earliest counts.
    pub fn add_at(&self, key: K, at: Instant) {
        let mut state = self.lock();
        if state
            .due_of
            .get(&key)
            .is_some_and(|(known, _)| *known <= at)
        {
            return;
        }
        if let Some(old) = state.due_of.remove(&key) {
            state.due.remove(&old);
        }
        state.order = state.order.saturating_add(1);
        let place = (at, state.order);
        state.due.insert(place, key.clone());
        state.due_of.insert(key, place);
        if state.unwatched().is_some() {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// The next key; the caller must call [`Self::done`] with it.
    pub async fn next(&self) -> K {
        self.next_timed().await.0
    }

    /// The same, and how long it was ready.
    pub async fn next_timed(&self) -> (K, Duration) {
        loop {
            let changed = self.changed.notified();
            let wake = {
                let mut state = self.lock();
                state.promote(Instant::now());
                if let Some(taken) = state.take() {
                    // Another worker may be waiting while more is ready, or nobody for the next time.
                    if state.has_work() || state.unwatched().is_some() {
                        self.changed.notify_one();
                    }
                    return taken;
                }
                let wake = state.unwatched();
                state.watched = wake.or(state.watched);
                wake
            };
            match wake {
                Some(at) => {
                    let mut watch = Watch {
                        queue: self,
                        at,
                        ended: false,
                    };
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(at.into()) => {}
                    }
                    watch.ended = true;
                }
                None => changed.await,
            }
        }
    }

    /// A worker has finished a key.
    pub fn done(&self, key: &K) {
        let mut state = self.lock();
        if state.running.remove(key).is_some() && state.is_shared(key) {
            state.shared = state.shared.saturating_sub(1);
        }
        if state.again.remove(key) {
            state.push(key.clone());
        }
        // One of the share may have waited for this.
        if state.has_work() {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Keys that are ready or running, for metrics.
    pub fn depth(&self) -> usize {
        let state = self.lock();
        let ready = state.ready.len().saturating_add(state.ready_shared.len());
        ready.saturating_add(state.running.len())
    }

    /// How much there is of those that a test picks.
    pub fn load_of(&self, picks: impl Fn(&K) -> bool, now: Instant) -> Load {
        let state = self.lock();
        let ready = state.ready.iter().chain(&state.ready_shared);
        let ready = ready.filter(|key| picks(key)).count();
        let running = state.running.iter().filter(|(key, _)| picks(key));
        let load = Load {
            depth: ready,
            ..Load::default()
        };
        running.fold(load, |load, (_, since)| {
            let so_far = now.saturating_duration_since(*since);
            Load {
                depth: load.depth.saturating_add(1),
                unfinished: load.unfinished.saturating_add(so_far),
                longest: load.longest.max(so_far),
            }
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker that sleeps until a time; another one takes over should it be dropped meanwhile.
struct Watch<'a, K: Clone + Eq + Hash> {
    queue: &'a Queue<K>,
    at: Instant,
    ended: bool,
}

impl<K: Clone + Eq + Hash> Drop for Watch<'_, K> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        // An earlier time is another worker's.
        if state.watched == Some(self.at) {
            state.watched = None;
        }
        drop(state);
        if !self.ended {
            self.queue.changed.notify_one();
        }
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    /// The next time, when no worker sleeps until then.
    fn unwatched(&self) -> Option<Instant> {
        let (at, _) = self.due.first_key_value()?.0;
        self.watched
            .is_none_or(|watched| *at < watched)
            .then_some(*at)
    }

    fn push(&mut self, key: K) {
        if self.running.contains_key(&key) {
            self.again.insert(key);
        } else if !self.queued.contains_key(&key) {
            self.queued.insert(key.clone(), Instant::now());
            match self.is_shared(&key) {
                true => self.ready_shared.push_back(key),
                false => self.ready.push_back(key),
            }
        }
    }

    fn promote(&mut self, now: Instant) {
        while let Some(first) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let key = first.remove();
            self.due_of.remove(&key);
            self.push(key);
        }
    }

    fn is_shared(&self, key: &K) -> bool {
        self.share.as_ref().is_some_and(|share| (share.picks)(key))
    }

    /// The first of the share, while that has not all it may have.
    fn next_shared(&self) -> Option<&K> {
        let free = self
            .share
            .as_ref()
            .is_some_and(|share| self.shared < share.most);
        self.ready_shared.front().filter(|_| free)
    }

    fn has_work(&self) -> bool {
        !self.ready.is_empty() || self.next_shared().is_some()
    }

    /// What was named first, of those that may be handed out.
    fn take(&mut self) -> Option<(K, Duration)> {
        let since = |key: Option<&K>| key.and_then(|key| self.queued.get(key)).copied();
        let (other, shared) = (since(self.ready.front()), since(self.next_shared()));
        let shared = shared.is_some_and(|at| other.is_none_or(|other| at <= other));
        let key = match shared {
            true => {
                self.shared = self.shared.saturating_add(1);
                self.ready_shared.pop_front()?
            }
            false => self.ready.pop_front()?,
        };
        let since = self.queued.remove(&key);
        self.running.insert(key.clone(), Instant::now());
        Some((key, since.map_or(Duration::ZERO, |since| since.elapsed())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;
    use futures::future::select_all;

    use super::*;

    #[tokio::test]
    async fn a_key_is_handed_out_once_and_again_when_named_meanwhile() {
        let queue = Queue::default();
        queue.add("a");
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        assert_eq!(queue.next().await, "b", "a is being worked on");
        assert_eq!(queue.depth(), 2);
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
        queue.done(&"a");
        queue.done(&"b");
        assert_eq!(queue.depth(), 0);
    }

    #[tokio::test]
    async fn some_keys_have_a_share_of_the_workers_and_no_more() {
        let queue = Queue::with_share(|key: &&str| key.starts_with("run"), 2);
        for key in ["run-1", "run-2", "run-3", "web-1", "run-4"] {
            queue.add(key);
        }
        assert_eq!(queue.next().await, "run-1", "in the order of their names");
        assert_eq!(queue.next().await, "run-2");
        assert_eq!(queue.next().await, "web-1", "two runs are worked on");
        let (waits, other) = (
            tokio::time::timeout(Duration::from_millis(50), queue.next()).await,
            queue.depth(),
        );
        assert!(waits.is_err(), "{waits:?}");
        assert_eq!(other, 5);
        let load = queue.load_of(|key| key.starts_with("run"), Instant::now());
        assert_eq!(load.depth, 4);
        queue.add("run-1");
        queue.done(&"run-1");
        assert_eq!(queue.next().await, "run-3");
        queue.done(&"run-3");
        queue.done(&"run-2");
        assert_eq!(queue.next().await, "run-4");
        assert_eq!(queue.next().await, "run-1");
        queue.done(&"run-4");
        queue.done(&"run-1");
        queue.done(&"web-1");
        assert_eq!((queue.depth(), queue.lock().shared), (0, 0));
    }

    #[tokio::test]
    async fn what_takes_long_is_seen_while_it_runs() {
        let queue = Queue::default();
        for key in ["a", "b", "c", "other"] {
            queue.add(key);
        }
        queue.next().await;
        queue.next().await;
        let later = Instant::now() + Duration::from_secs(60);
        let load = queue.load_of(|key| *key != "other", later);
        assert_eq!(load.depth, 3);
        assert!(load.longest >= Duration::from_secs(60));
        assert!(load.unfinished >= Duration::from_secs(120));
        queue.done(&"a");
        queue.done(&"b");
        let load = queue.load_of(|key| *key != "other", later);
        assert_eq!((load.depth, load.longest), (1, Duration::ZERO));
    }

    /// One of many workers sleeps until the next time; the others sleep until they are needed.
    #[tokio::test]
    async fn who_waits_for_the_next_time_is_replaced_when_it_goes_and_when_another_comes_first() {
        const LIMIT: Duration = Duration::from_secs(20);
        let soon = || Instant::now() + Duration::from_millis(30);
        let queue = Queue::default();
        queue.add_at("late", soon());
        let mut workers: Vec<_> = (0..3).map(|_| Box::pin(queue.next())).collect();
        for worker in &mut workers {
            assert!(worker.as_mut().now_or_never().is_none());
        }
        assert!(queue.lock().watched.is_some());
        drop(workers.remove(0));
        let (taken, _, rest) = tokio::time::timeout(LIMIT, select_all(workers))
            .await
            .unwrap();
        assert_eq!(taken, "late");
        queue.add_at("tomorrow", soon() + LIMIT * 100);
        queue.add_at("soon", soon());
        let (taken, _, rest) = tokio::time::timeout(LIMIT, select_all(rest)).await.unwrap();
        assert_eq!((taken, rest.len()), ("soon", 0));
        queue.add_at("last", soon());
        let last = tokio::time::timeout(LIMIT, queue.next()).await;
        assert_eq!(last, Ok("last"));
        assert_eq!(queue.lock().watched, None);
    }

    /// Many workers, each key due again in a moment: were one time watched by nobody, all would stand still.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_time_is_missed_by_many_workers() {
        const LIMIT: Duration = Duration::from_secs(60);
        const PASSES: usize = 50_000;
        let queue = Arc::new(Queue::with_share(|key: &usize| key.is_multiple_of(2), 8));
        let passes = Arc::new(AtomicUsize::new(0));
        for key in 0..400_usize {
            queue.add_at(key, Instant::now());
        }
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (queue, passes) = (Arc::clone(&queue), Arc::clone(&passes));
            workers.spawn(async move {
                while passes.fetch_add(1, Ordering::Relaxed) < PASSES {
                    let key = queue.next().await;
                    tokio::task::yield_now().await;
                    let later = Duration::from_micros(u64::try_from(key * 37 % 4000).unwrap());
                    queue.add_at(key, Instant::now() + later);
                    queue.done(&key);
                }
            });
        }
        let done = tokio::time::timeout(LIMIT, async {
            while workers.join_next().await.is_some() {}
        });
        assert!(done.await.is_ok(), "{:?} passes, then nothing", passes);
    }

    #[tokio::test]
    async fn the_earliest_time_counts() {
        let queue = Queue::default();
        let now = Instant::now();
        queue.add_at("late", now + Duration::from_millis(5));
        queue.add_at("late", now);
        queue.add_at("late", now + Duration::from_secs(3600));
        assert_eq!(queue.next().await, "late");
        queue.done(&"late");
        assert_eq!(queue.depth(), 0);
        assert!(queue.lock().due.is_empty());
    }
}
