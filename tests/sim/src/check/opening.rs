//! What opens a release, and what a release overtakes (gate.md G24, G26). In: commits, what agents and persons said. Out: the first
//! release that nobody asked for, or that comes out of its turn. It must not ask the engine.

use hub_engine::ClusterName;
use hub_engine::document::Supersede;
use hub_engine::release::{Cause, Content, ReleasePhase};
use hub_engine::verb::Verb;
use hub_store::report::{Body, Report};

use super::Ghost;
use crate::event::Draft;
use crate::world::World;

/// After so many releases that were overtaken one after the other the next one finishes.
const OVERTAKEN_MAX: u32 = 2;

/// What an agent has said: of which FleetRollout's concern, where, which content, at which generation.
pub(super) type Change = (usize, ClusterName, String, i64);

fn change(fleet: usize, cluster: &ClusterName, now: &Content) -> Change {
    let digest = now.digest.to_string();
    (fleet, cluster.clone(), digest, now.generation)
}

impl Ghost {
    /// An agent has told of a change.
    pub(super) fn changed(&mut self, fleet: usize, cluster: &ClusterName, now: &Content) {
        self.seen_change.insert(change(fleet, cluster, now));
    }
}

impl World {
    /// An agent's reports are committed: what it says of changes in its session.
    pub(crate) fn changes_seen(&mut self, cluster: &ClusterName, reports: &[Report]) {
        for report in reports {
            if let Body::Changed { now, .. } = &report.body {
                for fleet in self.store.over(&report.rollout) {
                    self.ghost.changed(fleet, cluster, now);
                }
            }
        }
    }

    /// A change was decided on: it says nothing any more. False: no agent has told of it.
    pub(super) fn change_is_told(&mut self, draft: &Draft, id: u64) -> bool {
        let mut changes = draft.observed.changes.iter();
        let Some(one) = changes.find(|one| one.id == id) else {
            return false;
        };
        let key = change(draft.fleet, &one.cluster, &one.now);
        self.ghost.seen_change.remove(&key)
    }

    /// G24: a connected agent has said that content changed there, or a person asked for it: what is brought at connect opens nothing.
    pub(super) fn opened_by(&mut self, draft: &Draft, number: u64, cause: &Cause) {
        let wrong = match cause {
            Cause::Change { cluster, change } => {
                let told = self.change_is_told(draft, *change);
                (!told).then(|| format!("{cluster} has told of no change"))
            }
            Cause::Person { request, .. } => {
                let mut asked = draft.observed.requests.iter();
                let one = asked.find(|one| one.id == *request);
                let start = one.is_some_and(|one| matches!(one.verb, Verb::Start { .. }));
                let said = self.ghost.asked_of(*request) == Some(draft.fleet);
                (!start || !said).then(|| format!("nobody has asked for it by {request}"))
            }
        };
        if let Some(wrong) = wrong {
            self.fail("G24", format!("#{number} opens, and {wrong}"));
        }
        self.one_waits(draft.fleet, number);
    }

    /// G26: at most one release waits, and that is the newest.
    fn one_waits(&mut self, fleet: usize, number: u64) {
        let open = self.store.fleets[fleet].releases.iter();
        let waits = open.filter(|one| one.phase == ReleasePhase::Waiting);
        let waiting: Vec<u64> = waits.map(|one| one.id.number).collect();
        let newest = self.store.newest(fleet).map(|one| one.id.number);
        if waiting.len() > 1 || waiting.iter().any(|one| Some(*one) != newest) {
            let message = format!("#{number} opens, and {waiting:?} wait");
            self.fail("G26", message);
        }
    }

    /// G26: a release is overtaken while it waits, or in its first wave; later only where the document says so, and never for the third
    /// time in a row.
    pub(super) fn overtaken(&mut self, draft: &Draft, number: u64) {
        let Some(release) = draft.observed.release(number) else {
            return;
        };
        let key = (draft.fleet, number);
        if !self.ghost.people.started.contains(&key) {
            return;
        }
        let before = self.ghost.people.overtaken.get(&draft.fleet);
        let before = before.copied().unwrap_or(0);
        let past = release
            .waves
            .first()
            .is_some_and(|wave| wave.phase.behind());
        let document = &self.store.fleets[draft.fleet].fleet_rollout;
        if past && document.supersede == Supersede::Finish {
            let message = format!("#{number} is overtaken after its first wave");
            return self.fail("G26", message);
        }
        if before >= OVERTAKEN_MAX {
            let message = format!("#{number} is overtaken after {before} before it");
            return self.fail("G26", message);
        }
        if before + 1 == OVERTAKEN_MAX {
            self.meets("OvertakenTwice");
        }
    }
}
