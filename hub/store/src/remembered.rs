//! Rows as the last decision read them, so that the next one reads only those that have changed. In: the server that the
//! transaction sees, which version each row has there. Out: values. It must not outlive a start of the server, nor a switch
//! to another one; and what is not there any more is forgotten.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use hub_engine::FleetRolloutName;
use hub_engine::observed::{Gate, Rollout};
use hub_engine::release::Target;

use crate::row::row;

/// In all. Ten thousand clusters have four rows each, of about a KiB; beyond this those are forgotten that were decided on
/// longest ago, and read anew.
const ROWS_MAX: usize = 100_000;

row! {
    /// Where a row's present version lies, and which transaction wrote it: another version of it never has the same, for as
    /// long as the server runs (<https://www.postgresql.org/docs/current/ddl-system-columns.html>).
    VersionRow { key: String, version: Option<String> }
}

#[derive(Debug)]
struct Seen<T> {
    version: Option<String>,
    value: T,
}

/// Rows of one table by their key.
#[derive(Debug)]
pub(crate) struct Rows<T> {
    seen: BTreeMap<String, Seen<T>>,
    /// To be read, in the version that the transaction sees.
    wanted: BTreeMap<String, Option<String>>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self {
            seen: BTreeMap::new(),
            wanted: BTreeMap::new(),
        }
    }
}

impl<T> Rows<T> {
    /// Forgets whatever is not as it was; answers what has to be read.
    pub(crate) fn stale(&mut self, now: &[VersionRow]) -> Vec<String> {
        let there: BTreeSet<&str> = now.iter().map(|row| row.key.as_str()).collect();
        self.seen.retain(|key, _| there.contains(key.as_str()));
        self.wanted.clear();
        for row in now {
            let known = self.seen.get(&row.key);
            let same =
                known.is_some_and(|seen| seen.version.is_some() && seen.version == row.version);
            if !same {
                self.seen.remove(&row.key);
                self.wanted.insert(row.key.clone(), row.version.clone());
            }
        }
        self.wanted.keys().cloned().collect()
    }

    /// What was read of a row that was stale.
    pub(crate) fn learn(&mut self, key: String, value: T) {
        let version = self.wanted.remove(&key).flatten();
        self.seen.insert(key, Seen { version, value });
    }

    pub(crate) fn get(&self, key: &str) -> Option<&T> {
        self.seen.get(key).map(|seen| &seen.value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.seen
            .iter()
            .map(|(key, seen)| (key.as_str(), &seen.value))
    }

    fn len(&self) -> usize {
        self.seen.len()
    }
}

/// What decisions about one FleetRollout read; empty where nothing is remembered.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    server: String,
    pub(crate) labels: Rows<BTreeMap<String, String>>,
    /// And whose each is.
    pub(crate) gates: Rows<(FleetRolloutName, Gate)>,
    pub(crate) rollouts: Rows<Rollout>,
    /// By release.
    pub(crate) targets: BTreeMap<u64, Rows<Arc<Target>>>,
}

impl Memory {
    fn rows(&self) -> usize {
        let targets = self.targets.values().map(Rows::len).sum::<usize>();
        self.labels.len() + self.gates.len() + self.rollouts.len() + targets
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
            .unwrap_or_else(|| Memory {
                server: server.to_owned(),
                ..Memory::default()
            })
    }

    pub(crate) fn put(&self, name: &FleetRolloutName, memory: Memory) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back((name.clone(), memory));
        let mut rows: usize = all.iter().map(|(_, memory)| memory.rows()).sum();
        while rows > ROWS_MAX
            && let Some((_, oldest)) = all.pop_front()
        {
            rows -= oldest.rows();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, version: &str) -> VersionRow {
        VersionRow {
            key: key.to_owned(),
            version: Some(version.to_owned()),
        }
    }

    #[test]
    fn only_what_has_changed_is_read_again() {
        let mut rows = Rows::default();
        type Step<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
        let steps: [Step<'_>; 5] = [
            (&[("a", "1"), ("b", "1")], &["a", "b"]),
            (&[("a", "1"), ("b", "1")], &[]),
            (&[("a", "1"), ("b", "2"), ("c", "1")], &["b", "c"]),
            (&[("c", "1")], &[]),
            (&[("a", "1"), ("c", "1")], &["a"]),
        ];
        for (there, stale) in steps {
            let there: Vec<_> = there
                .iter()
                .map(|(key, version)| row(key, version))
                .collect();
            assert_eq!(rows.stale(&there), stale);
            for key in stale {
                rows.learn((*key).to_owned(), ());
            }
            let known: Vec<_> = rows.iter().map(|(key, ())| key.to_owned()).collect();
            let keys: Vec<_> = there.into_iter().map(|row| row.key).collect();
            assert_eq!(known, keys);
        }
    }

    #[test]
    fn nothing_outlives_its_server_and_the_oldest_goes_first() {
        let shelf = Shelf::default();
        let name = |text: &str| FleetRolloutName::from(text);
        let filled = |name: &FleetRolloutName, rows: usize| {
            let mut memory = shelf.take(name, "one");
            let there: Vec<_> = (0..rows).map(|key| row(&key.to_string(), "1")).collect();
            for key in memory.labels.stale(&there) {
                memory.labels.learn(key, BTreeMap::new());
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
    }
}
