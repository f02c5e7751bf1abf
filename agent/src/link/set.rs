//! Whether a set from the hub is taken, and what it changes (gate.md L1, L2).
//!
//! In: the stored fence, the set held in memory, a set from the hub. Out: the entries to write in order, or the answer
//! that refuses it. It must not write: `gate_store` does, and it alone knows what could not be written.

use std::collections::BTreeMap;

use agent_api::Fence;
use proto::v1::{self, ack};

use crate::key::ObjectKey;
use crate::wire;

/// The entries of the last set that was taken in this session; empty until the full one came.
#[derive(Debug, Default, Clone)]
pub struct Held {
    entries: BTreeMap<(ObjectKey, String), v1::GateEntry>,
    complete: bool,
    fence: Fence,
}

/// What to do with a set.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Write these, revocations first, then the fence.
    Take(Taken),
    /// Answer this; nothing changes.
    Answer(ack::Result),
}

/// A set that is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// Its fence.
    pub fence: Fence,
    /// What was stored before it: permits up to there had their lease, also where their Gate has to be written again.
    pub before: Option<Fence>,
    /// Hash of the whole set.
    pub set_hash: String,
    /// The hub's signature under the fence; a hub of the version before gives none.
    pub fence_signature: Option<String>,
    /// Every entry of the whole set, revocations before grants.
    pub entries: Vec<v1::GateEntry>,
}

impl Held {
    /// Judges a set against what is stored, and holds it if it is taken.
    pub fn judge(&mut self, stored: Option<Fence>, set: &v1::DesiredSet) -> Verdict {
        let fence = wire::fence(set.fence.as_ref());
        match stored {
            Some(stored) if fence < stored => return Verdict::Answer(ack::Result::Stale),
            Some(stored) if fence == stored => {
                // Nothing is written, but a full set at the start of a session is what later deltas are based on.
                if set.full && self.replaced(set).is_none() {
                    return Verdict::Answer(ack::Result::NeedFull);
                }
                return Verdict::Answer(ack::Result::Already);
            }
            Some(_) | None => {}
        }
        if !set.full && !self.is_base(stored, fence, set.base_version) {
            return Verdict::Answer(ack::Result::NeedFull);
        }
        let Some(entries) = self.replaced(set) else {
            return Verdict::Answer(ack::Result::NeedFull);
        };
        Verdict::Take(Taken {
            fence,
            before: stored,
            set_hash: set.set_hash.clone(),
            fence_signature: Some(set.fence_signature.clone()).filter(|text| !text.is_empty()),
            entries,
        })
    }

    /// The entries that are held.
    pub fn entries(&self) -> impl Iterator<Item = &v1::GateEntry> {
        self.entries.values()
    }

    /// The incarnation and version of the set that is held.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence
    }

    fn is_base(&self, stored: Option<Fence>, fence: Fence, base: u64) -> bool {
        self.complete
            && stored.is_some_and(|stored| {
                stored.incarnation == fence.incarnation && stored.version == base
            })
    }

    /// Holds the set that results; `None`, and nothing held, when its hash is not the one promised.
    fn replaced(&mut self, set: &v1::DesiredSet) -> Option<Vec<v1::GateEntry>> {
        let mut entries = if set.full {
            BTreeMap::new()
        } else {
            self.entries.clone()
        };
        for entry in &set.entries {
            let key = ObjectKey::new(entry.namespace.clone(), entry.name.clone());
            entries.insert((key, entry.fleet_rollout.clone()), entry.clone());
        }
        if proto::set::hash(entries.values()) != set.set_hash {
            return None;
        }
        let mut ordered: Vec<v1::GateEntry> = entries.values().cloned().collect();
        ordered.sort_by_key(grants);
        *self = Self {
            entries,
            complete: true,
            fence: wire::fence(set.fence.as_ref()),
        };
        Some(ordered)
    }
}

/// Whether an entry lets something start; those that take away come first.
fn grants(entry: &v1::GateEntry) -> bool {
    match entry.governance.as_ref() {
        Some(v1::gate_entry::Governance::Governed(governed)) => governed.permit.is_some(),
        // Governance that ends lets held content go.
        Some(v1::gate_entry::Governance::Ungovern(_)) => true,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, version: u64, permit: bool) -> v1::GateEntry {
        let permit = permit.then(v1::Permit::default);
        let governed = v1::Governed {
            permit,
            ..v1::Governed::default()
        };
        v1::GateEntry {
            namespace: "shop".into(),
            name: name.into(),
            fleet_rollout: name.into(),
            version,
            governance: Some(v1::gate_entry::Governance::Governed(governed)),
        }
    }

    fn set(
        version: u64,
        base: Option<u64>,
        entries: &[v1::GateEntry],
        whole: &[v1::GateEntry],
    ) -> v1::DesiredSet {
        v1::DesiredSet {
            fence: Some(v1::Fence {
                incarnation: 1,
                version,
            }),
            full: base.is_none(),
            base_version: base.unwrap_or_default(),
            set_hash: proto::set::hash(whole),
            entries: entries.to_vec(),
            fence_signature: String::new(),
        }
    }

    fn stored(version: u64) -> Option<Fence> {
        Some(Fence {
            incarnation: 1,
            version,
        })
    }

    fn taken(verdict: Verdict) -> Vec<String> {
        match verdict {
            Verdict::Take(taken) => taken
                .entries
                .iter()
                .map(|entry| format!("{}@{}", entry.name, entry.version))
                .collect(),
            Verdict::Answer(answer) => panic!("{answer:?}"),
        }
    }

    #[test]
    fn fences_are_compared_and_never_go_back() {
        let one = [entry("a", 5, false)];
        let full = set(5, None, &one, &one);
        assert_eq!(taken(Held::default().judge(None, &full)), ["a@5"]);
        assert_eq!(taken(Held::default().judge(stored(4), &full)), ["a@5"]);
        assert_eq!(
            Held::default().judge(stored(5), &full),
            Verdict::Answer(ack::Result::Already)
        );
        assert_eq!(
            Held::default().judge(stored(6), &full),
            Verdict::Answer(ack::Result::Stale)
        );
        let next_life = Some(Fence {
            incarnation: 2,
            version: 1,
        });
        assert_eq!(
            Held::default().judge(next_life, &full),
            Verdict::Answer(ack::Result::Stale)
        );
    }

    #[test]
    fn deltas_need_their_base_and_give_the_promised_whole() {
        let mut held = Held::default();
        let (a, b, c) = (
            entry("a", 5, false),
            entry("b", 5, false),
            entry("a", 6, true),
        );
        let delta = set(
            6,
            Some(5),
            std::slice::from_ref(&c),
            &[c.clone(), b.clone()],
        );
        assert_eq!(
            held.judge(stored(5), &delta),
            Verdict::Answer(ack::Result::NeedFull),
            "no full set yet"
        );
        let full = set(5, None, &[a.clone(), b.clone()], &[a.clone(), b.clone()]);
        assert_eq!(
            held.judge(stored(5), &full),
            Verdict::Answer(ack::Result::Already)
        );
        assert_eq!(
            held.judge(stored(4), &delta),
            Verdict::Answer(ack::Result::NeedFull),
            "another base"
        );
        let wrong = v1::DesiredSet {
            set_hash: "x".into(),
            ..delta.clone()
        };
        assert_eq!(
            held.judge(stored(5), &wrong),
            Verdict::Answer(ack::Result::NeedFull)
        );
        assert_eq!(
            taken(held.judge(stored(5), &delta)),
            ["b@5", "a@6"],
            "revocations before grants"
        );
        let mut next_session = Held::default();
        assert_eq!(
            next_session.judge(stored(6), &set(7, Some(6), &[], &[c, b])),
            Verdict::Answer(ack::Result::NeedFull)
        );
    }

    #[test]
    fn a_delta_over_another_incarnation_is_no_delta() {
        let mut held = Held::default();
        let one = [entry("a", 5, false)];
        assert_eq!(
            taken(held.judge(stored(4), &set(5, None, &one, &one))),
            ["a@5"]
        );
        let mut delta = set(6, Some(5), &[], &one);
        delta.fence = Some(v1::Fence {
            incarnation: 2,
            version: 6,
        });
        assert_eq!(
            held.judge(stored(5), &delta),
            Verdict::Answer(ack::Result::NeedFull)
        );
    }
}
