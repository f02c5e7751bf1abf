//! The way back (gate.md G19, G23). In: what an agent has just written, what Git has, what is still there of what older content
//! names. Out: the first thing that waits for a word that it does not need, or goes back to what cannot run. It must not ask the
//! agent what it takes for sound.

use agent_api::Direction;
use agent_api::digest::content_digest;
use agent_engine::sets::{by_hash, views};

use super::runs;
use crate::event::Place;
use crate::world::World;

impl World {
    /// G23: nothing goes back to content whose configuration is gone.
    pub(super) fn no_guess(&mut self, place: Place) {
        let part = self.part(place);
        if part.config_gone.is_empty() {
            return;
        }
        let permit = part.gate().and_then(|gate| gate.spec.permit.as_ref());
        let Some(permit) = permit.filter(|one| one.direction == Direction::Rollback) else {
            return;
        };
        let digest = permit.digest.to_string();
        // A Rollout that was made again goes on serving what was served there: that is no way back.
        let record = part.gate().and_then(|gate| gate.status.as_ref());
        let served = record.and_then(|record| record.served.as_ref());
        if served.is_some_and(|served| served.digest == permit.digest) {
            return;
        }
        let running = self.ghost.running.get(&place);
        let before = running.is_some_and(|all| all.contains(&digest));
        if part.config_gone.contains(&digest) && !before && runs(part).contains(&digest) {
            let name = self.name_of(place);
            let message = format!("{name} goes back to {digest}, whose configuration is gone");
            self.fail("G23", message);
        }
    }

    /// G19: a pass that saw what Git has by now, and that is what is served: nothing is held, and nothing else is on its way.
    pub(crate) fn edited_back(&mut self, place: Place) {
        let own = &self.agents[place.agent];
        let part = &own.parts[place.part];
        let current = own.saw_what_git_has(place.part) && !own.kinds_unknown(self.now);
        let Some(gate) = part.gate().filter(|gate| current && gate.spec.governed) else {
            return;
        };
        let permit = gate.spec.permit.as_ref();
        let back = permit.is_some_and(|one| one.direction == Direction::Rollback);
        let (status, views) = (part.status(), views(&part.cluster.observed));
        let served = by_hash(&views, status.stable_rs.as_ref()).map(|set| &set.digest);
        let written = part.cluster.observed.rollout.spec.template.as_ref();
        let written = written.map(content_digest);
        if back || written.is_none() || written.as_ref() != served {
            return;
        }
        let held = gate.status.as_ref().and_then(|status| status.held.as_ref());
        let elsewhere = status.current_pod_hash != status.stable_rs;
        if self.ghost.glass.contains_key(&place) || held.is_none() && !elsewhere {
            return;
        }
        let (name, held) = (
            self.name_of(place),
            held.map(|held| held.digest.to_string()),
        );
        let message = format!("{name} serves what Git has, holds {held:?}, elsewhere {elsewhere}");
        self.fail("G19", message);
    }
}
