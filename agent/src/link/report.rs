//! What the hub is told, until it says that it has it (gate.md L3).
//!
//! In: states, changes and outcomes as the controllers find them. Out: batches keyed (session, sequence), the same again
//! after a broken stream. It must not grow without bound: a state replaces the one before it, and outcomes, of which a
//! Rollout has one at a time, are never dropped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use proto::v1::{self, report::Body};
use tokio::sync::Notify;

use crate::key::ObjectKey;

/// Reports in one batch; one batch is one transaction of the hub.
const BATCH: usize = 64;
/// Batches' worth of reports that may be under way: the hub answers once a batch is committed.
const MAX_UNDER_WAY: usize = 4 * BATCH;
/// Reports of words and removals that are kept for a hub that is away; beyond it the oldest are dropped.
const MAX_LOOSE: usize = 1024;

/// What makes one report replace another that was not sent yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    State(ObjectKey),
    Changed(ObjectKey),
    /// Kept for ever; equal ones are one.
    Terminal(ObjectKey),
    /// Worth telling, not worth memory without end.
    Loose,
}

#[derive(Debug, Clone)]
struct Item {
    slot: Slot,
    at: Timestamp,
    body: Body,
}

impl Item {
    /// The id of a word that this tells.
    fn glass(&self) -> Option<String> {
        match &self.body {
            Body::BrokenGlass(glass) => Some(glass.id.clone()),
            Body::State(_)
            | Body::Changed(_)
            | Body::Effect(_)
            | Body::Outcome(_)
            | Body::Verb(_)
            | Body::Removed(_) => None,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct State {
    waiting: VecDeque<Item>,
    under_way: BTreeMap<u64, Item>,
    sequence: u64,
    /// The newest state of every Rollout, for Hello.
    states: BTreeMap<ObjectKey, v1::RolloutState>,
    /// The digest of the last change put for a Rollout, until it is told of no more.
    changes: BTreeMap<ObjectKey, String>,
    /// Ids of the words that were put in this session, or wait since the one before.
    glass: BTreeSet<String>,
}

/// The queue; controllers put, the session takes.
#[derive(Debug, Default)]
pub struct Reports {
    state: Mutex<State>,
    changed: Notify,
    wanted: bool,
}

/// A content change that the hub has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The Rollout.
    pub rollout: ObjectKey,
    /// The digest that it changed to.
    pub digest: String,
    /// At this generation.
    pub generation: i64,
}

/// The same queue once more, with nobody waiting for it: what models and rehearsals go back to.
impl Clone for Reports {
    fn clone(&self) -> Self {
        Self {
            state: Mutex::new(self.lock().clone()),
            changed: Notify::new(),
            wanted: self.wanted,
        }
    }
}

impl Reports {
    /// A queue; without a hub nothing is put into it.
    #[must_use]
    pub fn new(wanted: bool) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// Whether there is a hub to tell.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// How many reports wait to be sent, and how many to be acknowledged: both are bounded (S11).
    pub fn counts(&self) -> (usize, usize) {
        let queue = self.lock();
        (queue.waiting.len(), queue.under_way.len())
    }

    /// The state of a Rollout; told only if it differs from the last one.
    pub fn state(&self, rollout: &ObjectKey, state: v1::RolloutState) {
        let mut queue = self.lock();
        if queue.states.get(rollout) == Some(&state) {
            return;
        }
        queue.states.insert(rollout.clone(), state.clone());
        queue.put(Slot::State(rollout.clone()), Body::State(state));
        drop(queue);
        self.changed.notify_one();
    }

    /// Whether anything was said of a Rollout since the start.
    pub fn knows(&self, rollout: &ObjectKey) -> bool {
        self.lock().states.contains_key(rollout)
    }

    /// Content was X and is now Y. Each pass says so until the Gate shows that the hub has it; only the first counts.
    pub fn content_changed(&self, rollout: &ObjectKey, change: v1::ContentChanged) {
        let digest = change
            .now
            .as_ref()
            .map(|now| now.digest.clone())
            .unwrap_or_default();
        if self.lock().changes.insert(rollout.clone(), digest.clone()) == Some(digest) {
            return;
        }
        self.put(Slot::Changed(rollout.clone()), Body::Changed(change));
    }

    /// A permit took effect.
    pub fn effect(&self, rollout: &ObjectKey, effect: v1::PermitEffect) {
        self.put(Slot::Terminal(rollout.clone()), Body::Effect(effect));
    }

    /// A permit ended. What Hello brings says so from now on, also where the pass does not come to its end: by an outcome that is
    /// missing there the hub knows a cluster that was put back from a copy.
    pub fn outcome(&self, rollout: &ObjectKey, outcome: v1::Outcome) {
        if let Some(state) = self.lock().states.get_mut(rollout) {
            state.outcome = Some(outcome.clone());
        }
        self.put(Slot::Terminal(rollout.clone()), Body::Outcome(outcome));
    }

    /// A person did without the fleet's word (G16). Told once a session, so that a database which was put back from a copy gets it,
    /// too; what the hub has already it passes over.
    pub fn broken_glass(&self, rollout: &ObjectKey, glass: v1::BrokenGlass) {
        if self.lock().glass.insert(glass.id.clone()) {
            self.put(Slot::Terminal(rollout.clone()), Body::BrokenGlass(glass));
        }
    }

    /// Somebody in the cluster asked for something.
    pub fn verb(&self, verb: v1::LocalVerb) {
        self.put(Slot::Loose, Body::Verb(verb));
    }

    /// The Rollout is gone.
    pub fn removed(&self, rollout: &ObjectKey, uid: &str) {
        let mut queue = self.lock();
        queue.changes.remove(rollout);
        if queue.states.remove(rollout).is_none() {
            return;
        }
        queue
            .waiting
            .retain(|item| item.slot != Slot::State(rollout.clone()));
        let reference = v1::RolloutRef {
            namespace: rollout.namespace.clone(),
            name: rollout.name.clone(),
            uid: uid.to_owned(),
        };
        queue.put(
            Slot::Loose,
            Body::Removed(v1::RolloutRemoved {
                rollout: Some(reference),
            }),
        );
        drop(queue);
        self.changed.notify_one();
    }

    fn put(&self, slot: Slot, body: Body) {
        if !self.wanted {
            return;
        }
        self.lock().put(slot, body);
        self.changed.notify_one();
    }

    /// A session begins: everything not acknowledged is sent again under new numbers. Returns all states, for Hello.
    pub fn begin(&self) -> Vec<v1::RolloutState> {
        let mut queue = self.lock();
        let under_way = std::mem::take(&mut queue.under_way);
        let waiting = std::mem::take(&mut queue.waiting);
        queue.sequence = 0;
        for item in under_way.into_values().chain(waiting) {
            // Hello carries the states.
            match item.slot {
                Slot::State(_) => {}
                Slot::Changed(_) | Slot::Terminal(_) | Slot::Loose => queue.enqueue(item),
            }
        }
        let words = queue.waiting.iter().filter_map(|item| item.glass());
        queue.glass = words.collect();
        queue.states.values().cloned().collect()
    }

    /// The next batch, if there is something to say and room to say it in.
    pub fn batch(&self, session: u64) -> Option<v1::ReportBatch> {
        let mut queue = self.lock();
        let room = MAX_UNDER_WAY
            .saturating_sub(queue.under_way.len())
            .min(BATCH)
            .min(queue.waiting.len());
        let mut reports = Vec::with_capacity(room);
        while reports.len() < room {
            let Some(item) = queue.waiting.pop_front() else {
                break;
            };
            queue.sequence = queue.sequence.saturating_add(1);
            let sequence = queue.sequence;
            reports.push(v1::Report {
                sequence,
                at: Some(proto::time::to_wire(item.at)),
                trace: None,
                body: Some(item.body.clone()),
            });
            queue.under_way.insert(sequence, item);
        }
        (!reports.is_empty()).then_some(v1::ReportBatch { session, reports })
    }

    /// The hub has committed everything up to this number. Returns the content changes among it.
    pub fn acknowledged(&self, sequence: u64) -> Vec<Told> {
        let mut queue = self.lock();
        let later = queue.under_way.split_off(&sequence.saturating_add(1));
        let done = std::mem::replace(&mut queue.under_way, later);
        drop(queue);
        self.changed.notify_one();
        done.into_values().filter_map(told).collect()
    }

    /// Waits until a batch may be there.
    pub async fn ready(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(item: Item) -> Option<Told> {
    match (item.slot, item.body) {
        (Slot::Changed(rollout), Body::Changed(change)) => {
            let now = change.now?;
            Some(Told {
                rollout,
                digest: now.digest,
                generation: now.generation,
            })
        }
        (_, _) => None,
    }
}

impl State {
    fn put(&mut self, slot: Slot, body: Body) {
        self.enqueue(Item {
            slot,
            at: Timestamp::now(),
            body,
        });
    }

    fn enqueue(&mut self, mut item: Item) {
        match &item.slot {
            Slot::State(_) => self.waiting.retain(|other| other.slot != item.slot),
            Slot::Changed(_) => {
                // Was A, now B, and was B, now C, are was A, now C.
                if let Some(at) = self
                    .waiting
                    .iter()
                    .position(|other| other.slot == item.slot)
                {
                    let before = self.waiting.remove(at);
                    join(before.map(|before| before.body), &mut item.body);
                }
            }
            Slot::Terminal(_) => {
                if self
                    .waiting
                    .iter()
                    .chain(self.under_way.values())
                    .any(|other| other.body == item.body)
                {
                    return;
                }
            }
            Slot::Loose => {
                let loose = |other: &Item| other.slot == Slot::Loose;
                if self.waiting.iter().filter(|other| loose(other)).count() >= MAX_LOOSE
                    && let Some(oldest) = self.waiting.iter().position(loose)
                {
                    self.waiting.remove(oldest);
                }
            }
        }
        self.waiting.push_back(item);
    }
}

fn join(before: Option<Body>, body: &mut Body) {
    if let (Some(Body::Changed(before)), Body::Changed(change)) = (before, body) {
        change.was = before.was;
    }
}

#[cfg(test)]
mod tests;
