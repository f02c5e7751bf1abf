//! What a hub makes of the fences that agents show, and what a session has seen committed. In: words, sessions. Out: the same as a hub
//! reads them, planted bugs among them. It must not store anything.

use hub_engine::{ClusterName, Fence};
use hub_store::older::Committed;
use proto::v1;

use super::World;
use crate::hub::Session;
use crate::planted::Planted;

impl World {
    /// The fence that an agent shows.
    pub(super) fn read(&self, cluster: &ClusterName, fence: Option<&v1::Fence>) -> Fence {
        let shown = hub::wire::fence(fence);
        let own = self.store.rows.get(cluster).map(|row| row.desired);
        match own.filter(|_| self.bugs.has(Planted::HubVersionAlone)) {
            Some(own) => Fence {
                incarnation: own.incarnation,
                ..shown
            },
            None => shown,
        }
    }

    /// In which session something is said, and what that has seen committed.
    pub(super) fn seen_in(&self, session: &Session) -> (u64, Committed) {
        let unseen = self.bugs.has(Planted::OlderCopyUnseen);
        let committed = if unseen {
            Committed::default()
        } else {
            session.committed
        };
        (session.number, committed)
    }
}
