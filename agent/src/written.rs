//! What this agent wrote and its caches have not shown yet.
//!
//! In: every write's answer and every object a watch brings. Out: whether a cache is behind our own writes. It must not
//! hold for ever: a new list of a kind clears what was written before that list began, so that a cluster restored from
//! a backup, whose versions went back, does not stop the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_api::Uid;

/// A kind that is both written and cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Rollouts.
    Rollout,
    /// ReplicaSets.
    ReplicaSet,
    /// AnalysisRuns.
    AnalysisRun,
    /// Experiments.
    Experiment,
    /// Services.
    Service,
    /// Gates.
    Gate,
    /// FleetMembers.
    FleetMember,
    /// ControllerRevisions.
    ControllerRevision,
}

/// What a write leaves to be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Awaited {
    /// The object at this version or a later one.
    Version(u64),
    /// The object's removal.
    Gone,
    /// A later version than this one, written by somebody else because of what we did; until then at most.
    Moves(u64, Instant),
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    awaited: Awaited,
    /// Place in the order of writes, to tell those before a list from those during it.
    order: u64,
}

#[derive(Debug, Default)]
struct State {
    /// By the object written and the object whose decisions rest on it: its owner, or itself.
    entries: BTreeMap<(Uid, Uid), Entry>,
    /// For each object that decisions are about, what they wait for.
    waits: BTreeMap<Uid, BTreeSet<Uid>>,
    order: u64,
    /// The version that the caches show of each object: a watch can be faster than the answer to the write.
    shown: BTreeMap<Uid, u64>,
    /// For each kind, the order at which its present list began.
    listing: BTreeMap<Kind, u64>,
}

/// The tracker; shared by everything that writes or watches.
#[derive(Debug, Default)]
pub struct Written(Mutex<State>);

impl Written {
    /// Notes that an object was created or changed; `decides` is the object whose decisions count it.
    pub fn wrote(&self, kind: Kind, uid: &Uid, decides: &Uid, resource_version: &str) {
        // Versions are integers since Kubernetes 1.35 promises so; one that is not cannot be compared and is not tracked.
        let Ok(version) = resource_version.parse::<u64>() else {
            return;
        };
        let mut state = self.lock();
        if state.shown.get(uid).is_none_or(|shown| *shown < version) {
            state.put(kind, uid, decides, Awaited::Version(version));
        }
    }

    /// Notes that an object was deleted.
    pub fn deleted(&self, kind: Kind, uid: &Uid, decides: &Uid) {
        let mut state = self.lock();
        if state.shown.contains_key(uid) {
            state.put(kind, uid, decides, Awaited::Gone);
        }
    }

    /// Notes that somebody else will change an object, seen at a version, because of what we did. Should that somebody
    /// never do so, nothing waits for it longer than this.
    pub fn moves(
        &self,
        kind: Kind,
        uid: &Uid,
        decides: &Uid,
        resource_version: &str,
        at_most: Duration,
    ) {
        let Ok(version) = resource_version.parse::<u64>() else {
            return;
        };
        let now = Instant::now();
        let until = now.checked_add(at_most).unwrap_or(now);
        let mut state = self.lock();
        if state.shown.get(uid).is_none_or(|shown| *shown <= version) {
            state.put(kind, uid, decides, Awaited::Moves(version, until));
        }
    }

    /// Notes what a watch brought.
    pub fn seen(&self, uid: &Uid, resource_version: &str) {
        let Ok(version) = resource_version.parse::<u64>() else {
            return;
        };
        let mut state = self.lock();
        state.shown.insert(uid.clone(), version);
        state.settle(uid, |awaited| match awaited {
            Awaited::Version(wanted) => version >= *wanted,
            Awaited::Moves(from, _) => version > *from,
            Awaited::Gone => false,
        });
    }

    /// Notes that a watch said that an object is gone.
    pub fn gone(&self, uid: &Uid) {
        let mut state = self.lock();
        state.shown.remove(uid);
        state.settle(uid, |_| true);
    }

    /// A list of this kind begins.
    pub fn list_begins(&self, kind: Kind) {
        let mut state = self.lock();
        let order = state.order;
        state.listing.insert(kind, order);
    }

    /// The list is complete: what was written before it began is in it.
    pub fn list_ends(&self, kind: Kind) {
        let mut state = self.lock();
        let Some(began) = state.listing.remove(&kind) else {
            return;
        };
        let settled: Vec<(Uid, Uid)> = state
            .entries
            .iter()
            .filter(|(_, entry)| entry.kind == kind && entry.order <= began)
            .map(|(pair, _)| pair.clone())
            .collect();
        for pair in settled {
            state.forget(&pair);
        }
    }

    /// Whether a decision about this object, `read` from the cache at this version, would rest on a cache older than our
    /// own last write: it is awaited, or the watch brought it after the object had been read.
    pub fn is_behind(&self, decides: &Uid, read: Option<&str>) -> bool {
        let mut state = self.lock();
        let read = read.and_then(|version| version.parse::<u64>().ok());
        let shown = state.shown.get(decides).copied();
        matches!((read, shown), (Some(read), Some(shown)) if read < shown) || state.awaits(decides)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether something that counts for this object's decisions has not been shown yet.
    fn awaits(&mut self, decides: &Uid) -> bool {
        let Some(waits) = self.waits.get(decides).cloned() else {
            return false;
        };
        let now = Instant::now();
        for uid in waits {
            let pair = (uid, decides.clone());
            let over =
                |entry: &Entry| matches!(entry.awaited, Awaited::Moves(_, until) if until <= now);
            if self.entries.get(&pair).is_some_and(over) {
                self.forget(&pair);
            }
        }
        self.waits.contains_key(decides)
    }

    fn put(&mut self, kind: Kind, uid: &Uid, decides: &Uid, awaited: Awaited) {
        self.order = self.order.saturating_add(1);
        let entry = Entry {
            kind,
            awaited,
            order: self.order,
        };
        self.entries.insert((uid.clone(), decides.clone()), entry);
        self.waits
            .entry(decides.clone())
            .or_default()
            .insert(uid.clone());
    }

    /// Forgets what was awaited of an object and has come.
    fn settle(&mut self, uid: &Uid, come: impl Fn(&Awaited) -> bool) {
        let from = (uid.clone(), Uid::default());
        let of_object = self
            .entries
            .range(from..)
            .take_while(|((object, _), _)| object == uid);
        let settled: Vec<(Uid, Uid)> = of_object
            .filter(|(_, entry)| come(&entry.awaited))
            .map(|(pair, _)| pair.clone())
            .collect();
        for pair in settled {
            self.forget(&pair);
        }
    }

    fn forget(&mut self, pair: &(Uid, Uid)) {
        if self.entries.remove(pair).is_none() {
            return;
        }
        let (uid, decides) = pair;
        if let Some(waits) = self.waits.get_mut(decides) {
            waits.remove(uid);
            if waits.is_empty() {
                self.waits.remove(decides);
            }
        }
    }
}

#[cfg(test)]
mod tests;
