//! One actor (S10): of all processes of a cluster's agent one writes, and of all streams of an identity one is heard. In: what was
//! written, and by whom; sessions. Out: the first one that is one too many. It must not ask the process.

use hub_engine::ClusterName;

use crate::event::Place;
use crate::world::World;

impl World {
    /// A process has written; `another` has its lead by then.
    pub(crate) fn one_actor(&mut self, place: Place, another: bool, writes: &[String]) {
        if another {
            let name = self.name_of(place);
            let message = format!("two processes write {name}: {writes:?}");
            self.fail("S10", message);
        }
    }

    /// A session's word was committed: no newer one of its identity has been opened.
    pub(crate) fn one_session(&mut self, cluster: &ClusterName, session: u64) {
        let newest = self.ghost.sessions.get(cluster).copied();
        if newest.is_some_and(|newest| session < newest) {
            let message = format!("{cluster} is heard in session {session} beside {newest:?}");
            self.fail("S10", message);
        }
    }

    /// A session was opened.
    pub(crate) fn session_begins(&mut self, cluster: &ClusterName, session: u64) {
        self.ghost.sessions.insert(cluster.clone(), session);
    }
}
