//! Agents that do not read (F26): what a hub sends to them waits on the way. In: the chance of the moment. Out: messages that come
//! later, in their order. It must not keep back anything that an agent says.

use tests_golden::hub_random::Random;

use super::World;
use crate::event::{Down, Event, Ms};
use crate::planted::Planted;

/// In so many of a hundred lives, so often in a thousand messages, for so many milliseconds.
const LIVES: usize = 15;
const OFTEN: usize = 15;
const LASTS: (Ms, Ms) = (10_000, 40_000);

impl World {
    /// While things break, and an agent did not read at some time since they do.
    pub(crate) fn somebody_is_deaf(&self) -> bool {
        !self.deaf.is_empty()
    }

    /// Whether a message has to wait. Drawn aside, so that every other life stays what it was.
    pub(super) fn is_deaf_to(&mut self, agent: usize, connection: u64, message: &Down) -> bool {
        let mut of_the_life = Random::new(self.config.seed).aside(163);
        if !self.chaos {
            self.deaf.clear();
        }
        let mut until = self.deaf.get(&agent).copied().unwrap_or(0);
        if until <= self.now && self.chaos && of_the_life.percent(LIVES) {
            let mut aside = self.random.aside(167);
            if aside.below(1_000) < OFTEN {
                let (least, most) = LASTS;
                let span = usize::try_from(most - least).unwrap_or(0);
                until = self.now + least + Ms::try_from(aside.below(span)).unwrap_or(0);
                self.deaf.insert(agent, until);
                self.meets("AgentDeaf");
                let name = self.agents[agent].name.clone();
                self.tell(format!("{name} reads nothing until {until}"));
            }
        }
        if until <= self.now {
            return false;
        }
        let message = message.clone();
        let event = Event::Down {
            connection,
            message,
        };
        self.queue.put(until, event);
        true
    }

    /// The planted bug: who does not read keeps a hub from those that come after it.
    pub(super) fn blocks(&self, connection: u64) -> bool {
        let link = self.connections.get(&connection);
        let until = link.and_then(|link| self.deaf.get(&link.agent));
        self.bugs.has(Planted::SlowOneBlocksAll) && until.is_some_and(|until| *until > self.now)
    }
}
