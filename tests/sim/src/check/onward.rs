//! What the fleet let start goes on by the fleet's word alone, also where the record of it was deleted (gate.md G9, G11, G17). In:
//! what an agent has just written, the words that were stored there. Out: the first thing that is wrong. It must not ask what
//! the cluster remembers of who let it start.

use super::{Said, in_flight, ungoverned};
use crate::event::Place;
use crate::world::World;

/// Content on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Onward {
    digest: String,
    /// The step that it came to by a word of the fleet's; none: it was on its way without one.
    by_word: Option<i32>,
}

impl World {
    /// G9, G17: whose permit was taken back is at its step, whatever became of its Gate.
    pub(super) fn goes_on(&mut self, place: Place) {
        let (own, part) = (&self.agents[place.agent], self.part(place));
        let status = part.status();
        let words = self.words_here(place);
        let served = self.ghost.served.get(&place);
        let nobodys = self.is_free(own, place)
            || ungoverned(own.member.as_ref(), part)
            || words.iter().any(|word| word.said == Said::LetGo);
        let current = in_flight(part).filter(|digest| {
            let was_served = served.is_some_and(|all| all.contains(digest));
            !nobodys && !was_served && status.stable_rs.is_some()
        });
        let Some(digest) = current else {
            self.ghost.onward.remove(&place);
            return;
        };
        // One that has become stable has every step behind it.
        let step = status.current_step_index.unwrap_or(0);
        let allowed =
            words.iter().any(|word| word.said.allows(&digest)) || self.is_by_glass(place, &digest);
        let known = self.ghost.onward.get(&place);
        let known = known.filter(|known| known.digest == digest);
        let had = known.map(|known| known.by_word);
        let wrong = match had {
            Some(Some(had)) if !allowed => step > had,
            Some(Some(_) | None) | None => false,
        };
        let by_word = match had {
            None => allowed.then_some(step),
            Some(Some(_)) if allowed => Some(step),
            Some(had) => had,
        };
        // How far it had come is in the record alone: without that a person's word to skip a step is believed.
        let lost = self.is_believed(place, &digest);
        if wrong && !lost {
            let name = self.name_of(place);
            let message = format!("{name} takes {digest} to step {step} and nobody permits it");
            return self.fail("G9", message);
        }
        self.ghost.onward.insert(place, Onward { digest, by_word });
    }

    /// Whether the fleet let start what is on its way, and has taken that back.
    pub(crate) fn is_taken_back(&self, place: Place) -> bool {
        let words = self.words_here(place);
        let known = self.ghost.onward.get(&place);
        let known = known.filter(|known| known.by_word.is_some());
        known.is_some_and(|known| !words.iter().any(|word| word.said.allows(&known.digest)))
    }
}
