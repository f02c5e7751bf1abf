//! Processes of agents that their machines stop in the midst of a pass (S10). In: a process that was to die. Out: another one that
//! takes its place once its Lease has run out, and the first one, which goes on. It must not know what either decides.

use tests_golden::hub_random::Random;

use super::World;
use super::begin::Config;
use crate::agent::{LEASE, Stopped};
use crate::event::{Event, Ms, Place};

/// In so many of a hundred lives processes are stopped.
const STOPS: usize = 25;
/// So many of a hundred that would die in the midst of a pass are.
const STOPPED: usize = 60;
/// One is stopped for as long as this at most, and had renewed its Lease this long before at most.
const STOPPED_FOR: usize = 35_000;
const RENEWED: usize = 2_000;
/// Another one sees that the Lease has run out within this.
const TAKEN_WITHIN: usize = 5_000;

/// Drawn aside, so that every other life stays what it was.
pub(super) fn stops(config: Config) -> bool {
    config.faults && Random::new(config.seed).aside(281).percent(STOPS)
}

impl World {
    /// A process has come to its end in the midst of a pass.
    pub(super) fn ends_in_a_pass(&mut self, agent: usize, left: Option<Box<Stopped>>) {
        let mut aside = self.random.aside(283);
        let stopped = self.stops && self.chaos && aside.percent(STOPPED);
        let Some(left) = left.filter(|_| stopped) else {
            return self.kill_agent(agent);
        };
        let name = self.agents[agent].name.clone();
        self.tell(format!("{name} is stopped by its machine"));
        self.meets("AgentStopped");
        self.break_connections(|link| link.agent == agent);
        let mut within = |most| Ms::try_from(aside.below(most)).unwrap_or(0);
        let renewed = self.now - within(RENEWED);
        let (taken, goes_on) = (within(TAKEN_WITHIN), within(STOPPED_FOR));
        self.put(LEASE + taken, Event::AgentStart(agent));
        self.put(
            goes_on,
            Event::GoesOn {
                agent,
                left,
                renewed,
            },
        );
    }

    /// It goes on.
    pub(super) fn goes_on_late(&mut self, agent: usize, left: Stopped, renewed: Ms) {
        let place = Place {
            agent,
            part: left.part,
        };
        let since = self.now - renewed;
        let another = self.agents[agent].life > left.life;
        let (now, bugs) = (self.now, self.bugs);
        let writes = self.agents[agent].goes_on(left, (now, since), bugs);
        let name = self.name_of(place);
        self.tell(format!("{name}: a process that was stopped goes on"));
        if another {
            self.meets("StoppedGoesOn");
        }
        for write in &writes {
            self.tell(format!("{name}: {write}, late"));
        }
        if writes.is_empty() {
            return;
        }
        self.one_actor(place, another, &writes);
        self.passed(place);
        self.changed(place);
        self.put(200, Event::Kubelet(place));
    }
}
