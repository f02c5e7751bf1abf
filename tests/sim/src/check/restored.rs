//! A database that was put back from a copy, one from before its recovery, too (gate.md L5, S6). In: what agents show, commits,
//! recoveries. Out: the first number that is given twice, and what is decided although somebody knows better. It must not ask the
//! store: what it compares with is what was given before, whatever copy that is lost with.

use hub_engine::{ClusterName, Fence, ReleaseId};

use crate::event::Draft;
use crate::world::World;

impl World {
    /// An agent has said Hello with this fence to a database that has that one for it.
    pub(crate) fn shown(&mut self, fence: Fence, desired: Fence) {
        self.ghost.known_lost |= self.ghost.restored && fence > desired;
    }

    /// Whatever a hub commits: nothing is decided from when an agent has shown more until a person recovers.
    pub(super) fn knows_better(&mut self) {
        if self.ghost.known_lost {
            let message = "a hub decides, and an agent has shown more than its database has";
            return self.fail("S6", message.to_owned());
        }
        self.quorum_was_heard();
    }

    /// L5: a database that was put back decides nothing before half of the clusters have said something since.
    fn quorum_was_heard(&mut self) {
        let rows = self.store.rows.keys();
        let since =
            |name: &&ClusterName| self.ghost.last_word.get(*name) >= Some(&self.ghost.put_back);
        let heard = rows.filter(since).count();
        let all = self.store.rows.len();
        if self.ghost.restored && heard * 2 < all {
            let message = format!("a hub decides, and {heard} of {all} clusters were heard since");
            self.fail("link L5", message);
        }
    }

    /// A recovery has given an incarnation: no other one has given it, or a higher one, from whatever copy.
    pub(super) fn incarnation_is_new(&mut self, incarnation: u64) {
        let known = std::mem::replace(&mut self.ghost.incarnation, incarnation);
        if incarnation <= known {
            let message = format!("incarnation {incarnation} is given after {known}");
            self.fail("S6", message);
        }
    }

    /// A release opens: its number is above every one of that FleetRollout that an agent has told the end of a permit of.
    pub(super) fn number_is_new(&mut self, draft: &Draft, number: u64) {
        let name = &draft.observed.fleet_rollout.name;
        let mut clusters = draft.observed.clusters.iter();
        let ended = clusters.find_map(|own| {
            let outcome = own.rollout.as_ref()?.outcome.as_ref()?;
            let id: ReleaseId = outcome.release.parse().ok()?;
            let later = id.fleet_rollout == *name && id.number >= number;
            later.then(|| (own.name.clone(), id))
        });
        if let Some((cluster, id)) = ended {
            let message = format!("#{number} opens, and {cluster} has told the end of {id}");
            self.fail("S6", message);
        }
    }
}
