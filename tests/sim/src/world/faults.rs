//! The network between hubs and agents, and what breaks. In: messages, the chance of the moment. Out: deliveries that are
//! late, doubled or never come; processes that die. Within one stream order holds, as HTTP/2 has it: what overtakes is what
//! another stream brings. It must not know what messages mean.

use hub_engine::release::ReleasePhase;
use proto::v1;

use super::{Connection, World};

use crate::event::{Down, Event, Ms, Place, Up};

/// So long after the last fault everybody is connected again.
const ALARM_AFTER: Ms = 60_000;
/// A message on its way, at most, while things break.
const DELAY_MAX: Ms = 1_500;
/// So many of a hundred Gates are deleted as soon as what is on its way has no permit any more.
const DELETED_TAKEN_BACK: usize = 50;
/// So many of a hundred sets lack something, where any do.
const LACKING: usize = 15;

impl World {
    fn delay(&mut self) -> Ms {
        let most = if self.mishap(80) { DELAY_MAX } else { 60 };
        self.some(1, most)
    }

    pub(super) fn send_up(&mut self, connection: u64, message: Up) {
        let delay = self.delay();
        let twice = self.mishap(20) && !matches!(message, Up::Hello(_));
        if self.mishap(4) {
            self.cut(connection);
        }
        let Some(link) = self.connections.get_mut(&connection) else {
            return;
        };
        link.up_after = link.up_after.max(self.now + delay);
        let at = link.up_after;
        self.comes_again(connection, at, &message);
        if twice {
            let message = message.clone();
            self.queue.put(
                at,
                Event::Up {
                    connection,
                    message,
                },
            );
        }
        self.queue.put(
            at,
            Event::Up {
                connection,
                message,
            },
        );
    }

    pub(super) fn send_down(&mut self, connection: u64, message: Down) {
        let delay = self.delay();
        let twice = self.mishap(20) && !matches!(message, Down::Welcome(..));
        if self.mishap(4) {
            self.cut(connection);
        }
        let Some(link) = self.connections.get_mut(&connection) else {
            return;
        };
        link.down_after = link.down_after.max(self.now + delay);
        let at = link.down_after;
        if twice {
            let message = message.clone();
            self.queue.put(
                at,
                Event::Down {
                    connection,
                    message,
                },
            );
        }
        self.queue.put(
            at,
            Event::Down {
                connection,
                message,
            },
        );
    }

    /// Now and then a set is not what its hash says, or goes on from one that was never sent: an entry is lost on the way that a
    /// hub makes it, or it counts from where it does not. Drawn aside, so that every other life stays what it was.
    pub(super) fn lacks(&mut self, set: &mut v1::DesiredSet) {
        let mut aside = self.random.aside(59);
        if !self.sets_lack || !self.chaos || !aside.percent(LACKING) || set.entries.is_empty() {
            return;
        }
        let skipped = set.base_version + 1;
        let later = !set.full && aside.percent(50);
        if later {
            set.base_version = skipped;
            set.entries.retain(|entry| entry.version > skipped);
        } else {
            let lost = aside.below(set.entries.len());
            set.entries.remove(lost);
        }
        self.meets("SetLacks");
        let what = if later { "its base" } else { "an entry" };
        self.tell(format!("the next set lacks {what}"));
    }

    /// Nothing passes any more; each end learns it at its own time.
    fn cut(&mut self, connection: u64) {
        let Some(link) = self.connections.get_mut(&connection) else {
            return;
        };
        if link.cut {
            return;
        }
        self.meets("StreamCut");
        // What is on its way already still arrives at the hub now and then: an old stream's last words.
        let late = self.random.percent(50);
        if !late && let Some(link) = self.connections.get_mut(&connection) {
            link.cut = true;
        }
        for agent_end in [true, false] {
            let after = self.some(10, 25_000);
            self.put(
                after,
                Event::Broken {
                    connection,
                    agent_end,
                },
            );
        }
    }

    pub(super) fn break_connections(&mut self, which: impl Fn(&Connection) -> bool) {
        let broken: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, link)| which(link))
            .map(|(connection, _)| *connection)
            .collect();
        for connection in broken {
            for agent_end in [true, false] {
                let after = self.some(10, 20_000);
                self.put(
                    after,
                    Event::Broken {
                        connection,
                        agent_end,
                    },
                );
            }
        }
    }

    pub(super) fn kill_hub(&mut self, hub: usize) {
        if !self.hubs[hub].alive {
            return;
        }
        self.tell(format!("hub {hub} dies"));
        self.meets("HubDies");
        self.hubs[hub].alive = false;
        self.hubs[hub].held = None;
        self.hubs[hub].sessions.clear();
        self.break_connections(|link| link.hub == hub);
        let after = self.some(500, 15_000);
        self.put(after, Event::HubStart(hub));
    }

    pub(super) fn fault(&mut self) {
        if !self.chaos {
            return;
        }
        let next = self.some(1_000, 12_000);
        self.put(next, Event::Fault);
        let agent = self.random.below(self.agents.len());
        let hub = self.random.below(self.hubs.len());
        self.config_goes(agent);
        match self.random.below(20) {
            0 | 1 => self.kill_hub(hub),
            2 | 3 => self.kill_agent(agent),
            4 | 5 => self.freeze(hub),
            6 => self.database_away(),
            12 => self.database_lost(),
            19 => self.moment_is_lost(),
            13 | 14 => self.cluster_lost(agent),
            15 => {
                let place = self.some_place(agent);
                self.rollout_lost(place);
            }
            16 => self.partition(agent),
            17 => self.payments(),
            7 | 8 => {
                let all: Vec<u64> = self.connections.keys().copied().collect();
                if !all.is_empty() {
                    let connection = self.random.pick(&all);
                    self.tell(format!("stream {connection} is cut"));
                    self.cut(connection);
                }
            }
            9 | 18 => {
                let place = self.some_place(agent);
                self.delete_gate(place);
            }
            10 => {
                let skew = self.random.pick(&[-3_600_000, 0, 3_600_000, 120_000]);
                self.clock_is_set(agent, skew);
            }
            _ => self.clone_comes(agent, hub),
        }
    }

    /// A hub is stopped with a decision under way, about as long as its lease.
    pub(super) fn freeze_while_it_decides(&mut self, hub: usize) {
        let until = self.now + self.some(3_500, 9_000);
        self.hubs[hub].frozen_until = until.max(self.hubs[hub].frozen_until);
        self.tell(format!(
            "hub {hub} is stopped while it decides, until {until}"
        ));
        let life = self.hubs[hub].life;
        self.put(until - self.now, Event::Thaw { hub, life });
    }

    /// What the FleetRollout comes after has a release, or its release ends.
    fn payments(&mut self) {
        let phase = self.random.pick(&[
            ReleasePhase::Progressing,
            ReleasePhase::Succeeded,
            ReleasePhase::RolledBack,
        ]);
        self.payments_stand(phase);
        self.tell(format!("payments#1 is {}", phase.as_str()));
        self.hint();
    }

    fn payments_stand(&mut self, phase: ReleasePhase) {
        self.store.payments(phase);
        self.ghost.payments = Some((phase, self.now));
    }

    /// A permit has just ended: the moment at which a Gate that is deleted takes the most with it.
    pub(crate) fn ended(&mut self, place: Place) {
        self.end_is_lost(place.agent);
        if !self.mishap(150) {
            return;
        }
        self.delete_gate(place);
        // And now and then the hub has not heard of the end before it is rebuilt.
        if self.random.percent(50) {
            self.kill_agent(place.agent);
        }
    }

    /// A set was stored. Where it takes back the permit of what is on its way, a Gate that is deleted takes with it all that is
    /// recorded of who let that start. Drawn aside, so that every other life stays what it was.
    pub(super) fn gates_go(&mut self, agent: usize) {
        for place in self.places(agent) {
            let there = self.part(place).gate().is_some();
            if self.chaos
                && there
                && self.is_taken_back(place)
                && self.random.aside(73).percent(DELETED_TAKEN_BACK)
            {
                self.meets("GateDeletedTakenBack");
                self.delete_gate(place);
            }
        }
    }

    fn delete_gate(&mut self, place: Place) {
        if self.part_mut(place).delete_gate() {
            self.glass_forgotten(place);
            let name = self.name_of(place);
            self.tell(format!("the Gate in {name} is deleted"));
            self.meets("GateDeleted");
            self.changed(place);
        }
    }

    fn freeze(&mut self, hub: usize) {
        self.meets("HubStopped");
        let until = self.now + self.some(2_000, 20_000);
        let until = until.max(self.hubs[hub].frozen_until);
        self.hubs[hub].frozen_until = until;
        let life = self.hubs[hub].life;
        self.put(until - self.now, Event::Thaw { hub, life });
        self.tell(format!("hub {hub} is stopped until {until}"));
    }

    fn database_away(&mut self) {
        if !self.store.up {
            return;
        }
        self.store.up = false;
        self.tell("Postgres is away".to_owned());
        self.meets("DatabaseAway");
        let most = self.random.pick(&[5_000, 25_000, 60_000]);
        let after = self.some(500, most);
        self.put(after, Event::DatabaseUp);
    }

    /// A copy of a cluster, secrets and all, says Hello: an empty one with another UID.
    fn clone_comes(&mut self, agent: usize, hub: usize) {
        if !self.hubs[hub].alive {
            return;
        }
        let connection = self.connect(agent, hub);
        let hello = v1::Hello {
            kube_system_uid: "uid-of-a-copy".to_owned(),
            ..v1::Hello::default()
        };
        let name = self.agents[agent].name.clone();
        self.tell(format!("a copy of {name} dials"));
        self.meets("CopyDials");
        self.send_up(connection, Up::Hello(Box::new(hello)));
        self.put(
            10_000,
            Event::Broken {
                connection,
                agent_end: false,
            },
        );
    }

    /// Nothing breaks any more: everything runs again.
    pub(super) fn calm(&mut self) {
        self.tell("nothing breaks any more".to_owned());
        self.chaos = false;
        self.store.up = true;
        self.payments_stand(ReleasePhase::Succeeded);
        // What a Gate tells changes with every window, so that with them nothing would ever come to rest.
        self.store.always_open();
        self.keeps_one_stopped();
        for hub in 0..self.hubs.len() {
            self.hubs[hub].frozen_until = 0;
            let life = self.hubs[hub].life;
            self.thaw(hub, life);
            self.hub_start(hub);
        }
        for agent in 0..self.agents.len() {
            self.agents[agent].skew = 0;
            self.ghost.unsettled(agent, self.now);
            self.agents[agent].alone_until = 0;
            self.agents[agent].slow_until = 0;
            self.agents[agent].unknown_until = 0;
            for place in self.places(agent) {
                self.part_mut(place).config_gone.clear();
                self.rollout_made(place);
            }
            self.agent_start(agent);
            self.changed_all(agent);
        }
        self.same_versions();
        self.quiet_since = self.now;
        self.put(ALARM_AFTER, Event::Alarm);
    }
}
