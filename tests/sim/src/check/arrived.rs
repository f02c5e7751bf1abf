//! Ends of permits that a cluster told while nobody heard it (faults.md L4). In: the end of a life. Out: the first one that never
//! arrived. It must not ask the agent what it has told.

use hub_engine::RolloutName;

use super::at;
use crate::event::Place;
use crate::world::World;

impl World {
    /// L4: what a Gate has of the end of its permit, the hub has, too.
    pub(super) fn ends_arrived(&mut self) {
        for agent in 0..self.agents.len() {
            for place in self.places(agent) {
                if let Some(wrong) = self.end_is_missing(place) {
                    return self.fail("L4", wrong);
                }
            }
        }
    }

    fn end_is_missing(&self, place: Place) -> Option<String> {
        let (own, part) = (&self.agents[place.agent], self.part(place));
        let gate = part.gate().filter(|gate| gate.spec.governed)?;
        let ended = gate.status.as_ref()?.outcome.as_ref()?;
        let key = part.key();
        let rollout = RolloutName {
            namespace: key.namespace,
            name: key.name,
        };
        let row = self.store.rows.get(&own.name)?;
        let known = row.state(&rollout).and_then(|state| state.outcome.as_ref());
        let known = known.map(|one| (one.fence.incarnation, one.fence.version));
        (known < Some(at(ended.fence))).then(|| {
            let name = self.name_of(place);
            format!("{name} ended {}, and the hub has {known:?}", ended.fence)
        })
    }
}
