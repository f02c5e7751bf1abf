//! What the last decision has read, so that the next one reads only what has changed since ([`crate::changed`]). In: the
//! server, the snapshot, rows. Out: rows. It must not outlive a start of the server, nor a switch to another one; and what
//! is not there any more is forgotten.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use hub_engine::document::Selector;
use hub_engine::observed::{Gate, Rollout};
use hub_engine::{FleetRollout, FleetRolloutName, RolloutName};

use crate::changed::{BEFORE_ALL, Moment};
use crate::member::Members;
use crate::outline::Outlines;
use crate::release::Known;

/// In all. Ten thousand clusters have four rows each, of about a KiB; beyond this those are forgotten that were decided on
/// longest ago, and read anew. The newest is kept whatever its size: its decision had it in memory anyway.
const ROWS_MAX: usize = 100_000;

/// Rows of one table by their key.
#[derive(Debug)]
pub(crate) struct Rows<K, T> {
    seen: BTreeMap<K, T>,
    /// Read or gone since the last reading began.
    fresh: BTreeSet<K>,
}

impl<K, T> Default for Rows<K, T> {
    fn default() -> Self {
        Self {
            seen: BTreeMap::new(),
            fresh: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone, T> Rows<K, T> {
    /// A reading begins.
    pub(crate) fn begin(&mut self) {
        self.fresh.clear();
    }

    /// What was read of a row.
    pub(crate) fn learn(&mut self, key: K, value: T) {
        self.fresh.insert(key.clone());
        self.seen.insert(key, value);
    }

    /// Forgets whatever is not there any more.
    pub(crate) fn keep(&mut self, there: &BTreeSet<K>) {
        let fresh = &mut self.fresh;
        self.seen.retain(|key, _| {
            let keep = there.contains(key);
            if !keep {
                fresh.insert(key.clone());
            }
            keep
        });
    }

    pub(crate) fn fresh(&self) -> &BTreeSet<K> {
        &self.fresh
    }

    pub(crate) fn seen(&self) -> &BTreeMap<K, T> {
        &self.seen
    }

    fn len(&self) -> usize {
        self.seen.len()
    }
}

/// What is asked for: of another question nothing is known.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    place: String,
    rollout: RolloutName,
    clusters: Selector,
}

/// What decisions about one FleetRollout read; empty where nothing is remembered.
#[derive(Debug)]
pub(crate) struct Memory {
    server: String,
    question: Option<Question>,
    /// In which all of it was read.
    snapshot: String,
    pub(crate) members: Members,
    /// And whose each is.
    pub(crate) gates: Rows<String, (FleetRolloutName, Arc<Gate>)>,
    pub(crate) rollouts: Rows<String, Arc<Rollout>>,
    pub(crate) outlines: Outlines,
    /// By release: of each all, or nothing.
    pub(crate) releases: BTreeMap<u64, Known>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::of(String::new())
    }
}

impl Memory {
    fn of(server: String) -> Self {
        Self {
            server,
            question: None,
            snapshot: BEFORE_ALL.to_owned(),
            members: Members::default(),
            gates: Rows::default(),
            rollouts: Rows::default(),
            outlines: Outlines::default(),
            releases: BTreeMap::new(),
        }
    }

    /// A reading begins: what was read elsewhere, or of something else, is forgotten.
    pub(crate) fn begin(&mut self, moment: &Moment, fleet_rollout: &FleetRollout) {
        let question = moment.place.as_ref().map(|place| Question {
            place: place.clone(),
            rollout: fleet_rollout.rollout.clone(),
            clusters: fleet_rollout.clusters.clone(),
        });
        if question.is_none() || question != self.question {
            *self = Self::of(std::mem::take(&mut self.server));
            self.question = question;
        }
        for known in self.releases.values_mut() {
            known.targets.begin();
        }
        self.gates.begin();
        self.rollouts.begin();
    }

    /// It has read everything.
    pub(crate) fn end(&mut self, moment: Moment) {
        self.snapshot = moment.snapshot;
    }

    /// What was over then has been read.
    pub(crate) fn since(&self) -> &str {
        &self.snapshot
    }

    /// Whether the next reading knows that it is of the same tables.
    pub(crate) fn lasts(&self) -> bool {
        self.question.is_some()
    }

    fn rows(&self) -> usize {
        let targets = self
            .releases
            .values()
            .map(|known| known.targets.len())
            .sum::<usize>();
        let own = self.members.len() + self.outlines.len();
        own + self.gates.len() + self.rollouts.len() + targets
    }
}

/// What is remembered between decisions.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<VecDeque<(FleetRolloutName, Memory)>>);

impl Shelf {
    /// For the length of a decision nobody else has it.
    pub(crate) fn take(&self, name: &FleetRolloutName, server: &str) -> Memory {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = all.iter().position(|(other, _)| other == name);
        let known = place.and_then(|place| all.remove(place));
        let known = known.map(|(_, memory)| memory);
        known
            .filter(|memory| memory.server == server)
            .unwrap_or_else(|| Memory::of(server.to_owned()))
    }

    pub(crate) fn put(&self, name: &FleetRolloutName, memory: Memory) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back((name.clone(), memory));
        let mut rows: usize = all.iter().map(|(_, memory)| memory.rows()).sum();
        while rows > ROWS_MAX
            && all.len() > 1
            && let Some((_, oldest)) = all.pop_front()
        {
            rows -= oldest.rows();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_forgotten_and_counts_as_fresh() {
        let mut rows = Rows::default();
        type Step<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str]);
        // What is read, what there is, what is fresh.
        let steps: [Step<'_>; 5] = [
            (&["a", "b"], &["a", "b"], &["a", "b"]),
            (&[], &["a", "b"], &[]),
            (&["b", "c"], &["a", "b", "c"], &["b", "c"]),
            (&[], &["c"], &["a", "b"]),
            (&["a"], &["a"], &["a", "c"]),
        ];
        for (read, there, fresh) in steps {
            rows.begin();
            for key in read {
                rows.learn(*key, ());
            }
            if there.len() < rows.seen().len() {
                rows.keep(&there.iter().copied().collect());
            }
            assert!(rows.seen().keys().eq(there));
            assert!(rows.fresh().iter().eq(fresh));
        }
    }

    #[test]
    fn nothing_outlives_its_server_and_the_oldest_goes_first() {
        let shelf = Shelf::default();
        let name = |text: &str| FleetRolloutName::from(text);
        let filled = |name: &FleetRolloutName, rows: usize| {
            let mut memory = shelf.take(name, "one");
            for key in 0..rows {
                memory.rollouts.learn(key.to_string(), rollout());
            }
            shelf.put(name, memory);
        };
        let kept = |which: &str, server: &str| {
            let memory = shelf.take(&name(which), server);
            let rows = memory.rows();
            shelf.put(&name(which), memory);
            rows
        };
        filled(&name("a"), 10);
        assert_eq!(kept("a", "one"), 10);
        assert_eq!(kept("a", "another"), 0, "a server that is not the same");
        filled(&name("a"), 10);
        filled(&name("b"), ROWS_MAX - 10);
        assert_eq!(kept("a", "one"), 10);
        filled(&name("c"), 1);
        assert_eq!(["a", "b", "c"].map(|which| kept(which, "one")), [10, 0, 1]);
        filled(&name("d"), ROWS_MAX + 1);
        let all = ["a", "c", "d"].map(|which| shelf.take(&name(which), "one").rows());
        assert_eq!(all, [0, 0, ROWS_MAX + 1], "the newest stays");
    }

    fn rollout() -> Arc<Rollout> {
        Arc::new(serde_json::from_str("{}").unwrap())
    }
}
