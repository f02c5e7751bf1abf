//! An API server that does not say at once whether the fleet's kinds are there (gate.md G7). In: an agent that starts. Out: until
//! when it knows nothing of the fleet, and that it looks again then. It must not say what may start meanwhile.

use super::World;
use crate::event::{Event, Ms};

/// So many of a hundred starts are such, where any are.
const UNANSWERED: usize = 50;
/// It answers within this.
const ANSWERS_WITHIN: usize = 45_000;

impl World {
    /// Drawn aside, so that every other life stays what it was.
    pub(super) fn asks_for_the_kinds(&mut self, agent: usize) {
        let mut aside = self.random.aside(227);
        if !self.unsure || !self.chaos || !aside.percent(UNANSWERED) {
            return;
        }
        let within = Ms::try_from(1_000 + aside.below(ANSWERS_WITHIN)).unwrap_or(1_000);
        self.agents[agent].unknown_until = self.now + within;
        let name = self.agents[agent].name.clone();
        self.tell(format!(
            "{name} does not learn at once what kinds there are"
        ));
        self.meets("KindsUnknown");
        let life = self.agents[agent].life;
        for place in self.places(agent) {
            self.put(within, Event::Watch { place, life });
        }
    }
}
