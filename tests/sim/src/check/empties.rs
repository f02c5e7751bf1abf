//! Nobody says "nothing" for "I do not know" (S21). In: what a decision is made from, what is sent to an agent. Out: the first
//! cluster or Rollout that is missing there and not in the database. It must not ask the hub what it could read.

use hub_engine::Observed;
use hub_store::desired::DesiredSet;

use crate::world::World;

impl World {
    /// Whatever is decided is decided about every cluster that the FleetRollout selects.
    pub(crate) fn all_are_seen(&mut self, fleet: usize, observed: &Observed) {
        let mut names = self.store.rows.keys();
        let unseen =
            names.find(|name| self.selects(fleet, name) && observed.cluster(name).is_none());
        if let Some(name) = unseen.cloned() {
            let of = self.fleet_name(fleet);
            let message = format!("{of} is decided about as if there were no {name}");
            self.fail("S21", message);
        }
    }

    /// Whatever is sent as a cluster's set names every Rollout of it that is governed.
    pub(crate) fn all_are_named(&mut self, connection: u64, set: &DesiredSet) {
        let agent = self.connections.get(&connection).map(|link| link.agent);
        let Some(cluster) = agent.map(|agent| self.agents[agent].name.clone()) else {
            return;
        };
        let row = self.store.rows.get(&cluster);
        let mut governed = row.into_iter().flat_map(|row| row.gates.keys());
        let named = |rollout: &&hub_engine::RolloutName| {
            let mut entries = set.entries.iter();
            entries.any(|entry| entry.rollout == **rollout)
        };
        if let Some(rollout) = governed.find(|rollout| !named(rollout)).cloned() {
            let message = format!("{cluster} is sent a set without {}", rollout.name);
            self.fail("S21", message);
        }
    }
}
