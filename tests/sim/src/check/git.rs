//! What Git has, however often, late or out of order an applier brings it (S18). In: commits that open releases, ReplicaSets. Out: the
//! first one that nothing new in Git stands behind. It must not ask the hub what it takes for new.

use std::collections::BTreeSet;

use agent_api::digest::content_digest;
use hub_engine::release::Cause;

use super::carried;
use crate::event::{Draft, Place};
use crate::world::World;

/// For which FleetRollout's release, and under which revision.
pub(super) type Opened = (usize, Written, Option<String>);

/// A content that was written into a Rollout, and the generation that it has there.
pub(super) type Written = (Place, String, i64);

impl World {
    /// Somebody has written a Rollout.
    pub(super) fn content_written(&mut self, place: Place) {
        let rollout = &self.part(place).cluster.observed.rollout;
        let generation = rollout.metadata.generation.unwrap_or(0);
        if let Some(template) = rollout.spec.template.as_ref() {
            let digest = content_digest(template).to_string();
            self.ghost.written.insert((place, digest, generation));
        }
    }

    /// A release opens: for content that was really written there as it says, and once for each time.
    pub(super) fn opens_for_git(&mut self, draft: &Draft, cause: &Cause) {
        let Cause::Change { cluster, change } = cause else {
            return;
        };
        let mut changes = draft.observed.changes.iter();
        let agent = self.agents.iter().position(|own| own.name == *cluster);
        let Some((change, agent)) = changes.find(|one| one.id == *change).zip(agent) else {
            return;
        };
        let part = self.part_of(draft.fleet);
        let place = Place { agent, part };
        let (was, now) = (change.was.as_ref(), &change.now);
        // Another revision is news of its own (gate.md G24).
        let revision = now.revision.as_ref().map(ToString::to_string);
        let written = (place, now.digest.to_string(), now.generation);
        let what = if was.is_some_and(|was| was.digest == now.digest) {
            "which it had before"
        } else if !self.ghost.written.contains(&written) {
            "which nobody wrote there"
        } else if !self.ghost.opened.insert((draft.fleet, written, revision)) {
            "for which one was opened before"
        } else {
            return;
        };
        let (name, digest, at) = (self.name_of(place), &now.digest, now.generation);
        let message = format!("a release opens for {digest} at {at} in {name}, {what}");
        self.fail("S18", message);
    }

    /// Whatever is brought again has the ReplicaSet that it has.
    pub(super) fn one_set_each(&mut self, place: Place) {
        let sets = self.part(place).cluster.observed.replica_sets.iter();
        let mut known = BTreeSet::new();
        let twice = sets
            .filter_map(carried)
            .find(|one| !known.insert(one.clone()));
        if let Some(digest) = twice {
            let name = self.name_of(place);
            let message = format!("{name} has two ReplicaSets of {digest}");
            self.fail("S18", message);
        }
    }
}
