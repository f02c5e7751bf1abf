//! What agents do with starts, watches, timers and messages, as `agent/src` does. In: events. Out: passes, messages, the
//! next events. It must not choose: `agent_engine::reconcile` does.

use agent::hub_clock::HubClock;
use agent::lease_clock::Moment;
use jiff::Timestamp;
use proto::v1;

use super::{Connection, World};
use crate::agent::{Cut, Passed};
use crate::event::{Down, Event, Ms, Place, Up};
use crate::planted::Planted;

/// How an agent takes the hub's time.
type Take = fn(&mut HubClock, Timestamp, Moment) -> bool;

/// What Welcome asks for.
const HEARTBEAT: Ms = 5_000;
/// An agent looks at every Rollout so often.
const RESYNC: Ms = 60_000;
/// So many of a hundred deaths of an agent last longer than a lease, by this.
const LONG_AWAY: usize = 25;
const LONGER: Ms = 30_000;
/// After a refusal that will come again.
const REFUSED: Ms = 15_000;

impl World {
    pub(super) fn agent_start(&mut self, agent: usize) {
        if self.agents[agent].process.is_some() {
            return;
        }
        self.joins(agent);
        self.agents[agent].start();
        self.asks_for_the_kinds(agent);
        let name = self.agents[agent].name.clone();
        self.tell(format!("{name} starts"));
        self.renews_later(agent);
        let skew = self.agents[agent].skew;
        let own = &self.agents[agent];
        let mut leases = own.parts.iter().filter_map(|part| {
            let status = part.gate()?.status.as_ref()?;
            status.lease.as_ref()
        });
        let noticed = leases.all(|lease| lease.ended_at.is_some());
        self.ghost.started(agent, skew, noticed, self.now);
        self.ghost.unsettled(agent, self.now);
        for place in self.places(agent) {
            self.agents[agent].watch(place.part, self.now);
            self.pass_soon(place, 50);
            // In a cluster that was found with pods on their way they go on coming.
            self.put(1_000, Event::Kubelet(place));
            self.put(1_000, Event::RunsEnd(place));
        }
    }

    /// Whoever starts is known to the hub by then; who was forgotten by a database that was put back joins again.
    pub(super) fn joins(&mut self, agent: usize) {
        let own = &self.agents[agent];
        let joiner = self.joiner.as_ref().filter(|one| one.name == own.name);
        let unknown = joiner.filter(|one| !self.store.rows.contains_key(&one.name));
        if let Some(cluster) = unknown.cloned() {
            self.tell(format!("{} joins", cluster.name));
            self.meets("ClusterJoins");
            self.store.join(&cluster, &self.agents[agent].uid);
            self.hint();
        }
    }

    pub(super) fn kill_agent(&mut self, agent: usize) {
        if self.agents[agent].process.is_some() {
            self.agents[agent].die();
        }
        let name = self.agents[agent].name.clone();
        self.tell(format!("{name} dies"));
        self.meets("AgentDies");
        self.break_connections(|link| link.agent == agent);
        // Now and then it is away for longer than its lease; drawn aside, so that every other life stays what it was.
        let long = self.chaos && self.random.aside(17).percent(LONG_AWAY);
        let after = self.some(500, 20_000) + if long { LONGER } else { 0 };
        self.put(after, Event::AgentStart(agent));
    }

    fn lives(&self, agent: usize, life: u64) -> bool {
        self.agents[agent].life == life && self.agents[agent].process.is_some()
    }

    pub(super) fn pass_soon(&mut self, place: Place, after: Ms) {
        let life = self.agents[place.agent].life;
        self.put(after, Event::Pass { place, life });
    }

    /// Every Rollout of a cluster is looked at.
    pub(super) fn passes_soon(&mut self, agent: usize, after: Ms) {
        for place in self.places(agent) {
            self.pass_soon(place, after);
        }
    }

    /// Something in the API server has changed: the watch brings it, sooner or later.
    pub(super) fn changed(&mut self, place: Place) {
        let most = if self.mishap(100) { 5_000 } else { 300 };
        let after = self.some(10, most);
        let life = self.agents[place.agent].life;
        self.put(after, Event::Watch { place, life });
    }

    /// The same of every Rollout of a cluster.
    pub(super) fn changed_all(&mut self, agent: usize) {
        for place in self.places(agent) {
            self.changed(place);
        }
    }

    pub(super) fn watch(&mut self, place: Place, life: u64) {
        if self.lives(place.agent, life) {
            self.agents[place.agent].watch(place.part, self.now);
            self.pass_soon(place, 10);
        }
    }

    pub(super) fn pass(&mut self, place: Place, life: u64) {
        let Place { agent, part } = place;
        if !self.lives(agent, life) {
            return;
        }
        let cut = self.mishap(30).then(|| self.random.below(5));
        let (now, bugs) = (self.now, self.bugs);
        let done = self.agents[agent].pass(part, now, cut, &self.keys, bugs);
        let name = self.name_of(place);
        for violation in done.violations {
            if !self.bugs.unaudited {
                self.fail(violation.rule, format!("{name}: {}", violation.detail));
            }
        }
        let wrote = !done.writes.is_empty();
        self.alone_while_it_analyses(agent, &done.writes);
        self.clock_is_set_while_it_pauses(place, &done.writes);
        for write in done.writes {
            self.tell(format!("{name}: {write}"));
        }
        if let Some(wrong) = done.wrong {
            self.fail("S15", format!("{name}: {wrong}"));
        }
        if wrote {
            self.quiet_since = now;
            self.passed(place);
            self.changed(place);
            self.put(200, Event::Kubelet(place));
            let runs = self.some(2_000, 8_000);
            self.put(runs, Event::RunsEnd(place));
        }
        match done.passed {
            Passed::Behind | Passed::Conflict => {
                self.changed(place);
            }
            Passed::Died => self.ends_in_a_pass(agent, done.left),
            Passed::Whole(wake) => {
                self.edited_back(place);
                self.passed_whole(place, wake, wrote);
            }
        }
        self.send_reports(agent);
    }

    fn passed_whole(&mut self, place: Place, wake: Option<jiff::Timestamp>, wrote: bool) {
        let Place { agent, part } = place;
        let (now, bugs) = (self.now, self.bugs);
        let unknown = self.agents[agent].kinds_unknown(now);
        if let Some(process) = &mut self.agents[agent].process
            && !process.known[part].first_done
            && !unknown
        {
            process.known[part].first_done = true;
            if process.first_done() {
                let life = self.agents[agent].life;
                self.put(100, Event::Dial { agent, life });
            }
        }
        let skew = self.agents[agent].skew;
        let wall = super::stamp(now + skew);
        let wake = wake.map(|wake| {
            let left = wall.duration_until(wake).as_millis();
            Ms::try_from(left).unwrap_or(Ms::MAX / 4).max(1_000)
        });
        let lease = self.agents[agent]
            .lease_ends(part, now, bugs)
            .map(|at| (at - now).max(1_000));
        let next = [wake, lease, Some(RESYNC)].into_iter().flatten().min();
        // What it wrote comes back by the watch.
        if !wrote {
            self.pass_later(place, next.unwrap_or(RESYNC).min(RESYNC));
        }
    }

    fn pass_later(&mut self, place: Place, after: Ms) {
        let due = self.now + after;
        // One timer is enough: a later one finds nothing to do.
        if self.ghost.timer(place, self.now, due) {
            self.pass_soon(place, after);
        }
    }

    pub(super) fn dial(&mut self, agent: usize, life: u64) {
        if !self.lives(agent, life) {
            return;
        }
        let up = self.agents[agent]
            .process
            .as_ref()
            .is_some_and(|process| process.link.is_some());
        if up {
            return;
        }
        let hub = self.random.below(self.hubs.len());
        let own = &self.agents[agent];
        let alone = own.alone_until.max(own.unknown_until) > self.now;
        if alone || !self.hubs[hub].alive || !self.is_member(agent) {
            let after = self.some(250, 5_000);
            return self.put(after, Event::Dial { agent, life });
        }
        let hello = self.hello_of(agent);
        let connection = self.connect(agent, hub);
        if let Some(process) = &mut self.agents[agent].process {
            process.link = Some((connection, None));
        }
        self.send_up(connection, Up::Hello(Box::new(hello)));
        // Without a Welcome in time it tries again.
        self.put(15_000, Event::Beat { agent, connection });
    }

    pub(super) fn connect(&mut self, agent: usize, hub: usize) -> u64 {
        self.opened += 1;
        let link = Connection {
            agent,
            agent_life: self.agents[agent].life,
            hub,
            hub_life: self.hubs[hub].life,
            cut: false,
            up_after: self.now,
            down_after: self.now,
        };
        self.connections.insert(self.opened, link);
        self.opened
    }

    pub(super) fn beat(&mut self, agent: usize, connection: u64) {
        let link = self.agents[agent]
            .process
            .as_ref()
            .and_then(|process| process.link);
        match link {
            Some((own, Some(_))) if own == connection => {
                self.send_up(connection, Up::Beat);
                self.put(HEARTBEAT, Event::Beat { agent, connection });
                let moment = self.agents[agent].moment(self.now, false);
                let half = self.agents[agent].pending.is_some();
                if !half && let Some(ack) = self.agents[agent].catch_up(moment) {
                    let name = self.agents[agent].name.clone();
                    self.tell(format!("{name}: the Gate is written again"));
                    self.changed_all(agent);
                    self.send_up(connection, Up::Ack(ack));
                }
            }
            Some((own, None)) if own == connection => self.hang_up(agent, connection, 250),
            Some(_) | None => {}
        }
    }

    /// The agent's end is over; it dials again.
    fn hang_up(&mut self, agent: usize, connection: u64, least: Ms) {
        if !self.agents[agent].lost(connection, self.now) {
            return;
        }
        if let Some(link) = self.connections.get_mut(&connection) {
            link.cut = true;
        }
        let event = Event::Broken {
            connection,
            agent_end: false,
        };
        let noticed = self.some(10, 5_000);
        self.put(noticed, event);
        self.passes_soon(agent, 10);
        let (after, life) = (self.some(least, least + 5_000), self.agents[agent].life);
        // The planted bug: whoever was refused once stays away.
        if least < REFUSED || !self.bugs.has(Planted::RefusedForGood) {
            self.put(after, Event::Dial { agent, life });
        }
    }

    pub(super) fn broken(&mut self, connection: u64, agent_end: bool) {
        let Some(link) = self.connections.get(&connection).copied() else {
            return;
        };
        if agent_end {
            if self.lives(link.agent, link.agent_life) {
                self.hang_up(link.agent, connection, 250);
            }
            return;
        }
        if self.hubs[link.hub].life == link.hub_life && self.hubs[link.hub].alive {
            self.end_session(link.hub, connection);
        }
        // The other end learns it, too.
        if let Some(link) = self.connections.get_mut(&connection) {
            let known = std::mem::replace(&mut link.cut, true);
            if !known {
                let after = self.some(10, 5_000);
                let agent_end = true;
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

    pub(super) fn down(&mut self, connection: u64, message: Down) {
        let Some(link) = self.connections.get(&connection).copied() else {
            return;
        };
        let agent = link.agent;
        let known = self.agents[agent]
            .process
            .as_ref()
            .and_then(|process| process.link);
        let own = known.is_some_and(|(known, _)| known == connection);
        if link.cut || !own || !self.lives(agent, link.agent_life) {
            return;
        }
        if self.is_deaf_to(agent, connection, &message) {
            return;
        }
        self.comes_in_turn(agent, connection, message);
    }

    /// What comes while a fence is being stored waits until it is.
    fn comes_in_turn(&mut self, agent: usize, connection: u64, message: Down) {
        if let Some(pending) = &mut self.agents[agent].pending
            && pending.connection == connection
        {
            return pending.later.push_back(message);
        }
        self.told_by_hub(agent, connection, message);
    }

    fn told_by_hub(&mut self, agent: usize, connection: u64, message: Down) {
        match message {
            Down::Welcome(session, head, at) => {
                self.told_time(agent, at, HubClock::welcome);
                self.agents[agent].welcome(connection, session);
                self.agents[agent].note_head(head);
                self.put(HEARTBEAT, Event::Beat { agent, connection });
                self.passes_soon(agent, 10);
            }
            Down::Set(set) => self.take(agent, connection, &set),
            Down::ReportAck(sequence) => self.told(agent, sequence),
            Down::Renewal(fence, at) => {
                self.told_time(agent, at, HubClock::say);
                let by_wall = self.bugs.has(Planted::LeaseByWallClock);
                let moment = self.agents[agent].moment(self.now, by_wall);
                self.agents[agent].renew(&fence, moment);
                self.lease_goes_on(agent, agent::wire::fence(Some(&fence)));
            }
            Down::Refusal { later } => {
                let least = if later { REFUSED } else { 250 };
                self.hang_up(agent, connection, least);
            }
        }
        self.send_reports(agent);
    }

    /// A hub has said its time. That the agent looks again when that is news of its own clock only makes it quicker.
    fn told_time(&mut self, agent: usize, said: Ms, take: Take) {
        let by_wall = self.bugs.has(Planted::LeaseByWallClock);
        let moment = self.agents[agent].moment(self.now, by_wall);
        if let Some(process) = &mut self.agents[agent].process {
            take(&mut process.hub_clock, super::stamp(said), moment);
        }
    }

    fn take(&mut self, agent: usize, connection: u64, set: &v1::DesiredSet) {
        let cut = if self.mishap(120) {
            let all = [Cut::BeforeFence, Cut::BeforeAnswer, Cut::Pause, Cut::Pause];
            let cut = self.random.pick(&all);
            // There is something between Gates only where there are several.
            let amid = self.rollouts.len() > 1 && self.random.percent(30);
            if amid { Cut::AmidGates } else { cut }
        } else {
            Cut::Never
        };
        let by_wall = self.bugs.has(Planted::LeaseByWallClock);
        let moment = self.agents[agent].moment(self.now, by_wall);
        let before = self.gate_versions(agent);
        let stored = self.agents[agent]
            .member
            .as_ref()
            .map(|member| member.fence);
        self.is_the_same_set(agent, set);
        self.words_come(agent, set);
        let answer = self.agents[agent].take((connection, set), moment, cut, self.bugs);
        let name = self.agents[agent].name.clone();
        let fence = agent::wire::fence(set.fence.as_ref());
        let said = answer.as_ref().map(v1::Ack::result);
        self.tell(format!("{name}: set {fence} full {} is {said:?}", set.full));
        let after = self.gate_versions(agent);
        for (place, (before, after)) in self.places(agent).zip(before.iter().zip(&after)) {
            if before != after {
                self.ghost.granted_here(place, self.now);
                self.lease_begins(place, stored);
            }
        }
        self.goes_by_its_number(agent, set, (stored, &before), answer.as_ref());
        self.written(agent, set, &before);
        self.nothing_is_guessed(agent, set, &before);
        self.stored(agent);
        self.gates_go(agent);
        if answer.is_none() && self.bugs.has(Planted::AckBeforeFence) {
            self.send_up(connection, Up::Ack(unstored(set)));
        }
        match answer {
            Some(ack) => {
                self.changed_all(agent);
                self.send_up(connection, Up::Ack(ack));
            }
            None if self.agents[agent].pending.is_some() => {
                self.changed_all(agent);
                let (after, life) = (self.some(50, 2_000), self.agents[agent].life);
                self.put(after, Event::Fence { agent, life });
            }
            None => self.kill_agent(agent),
        }
    }

    pub(crate) fn gate_versions(&self, agent: usize) -> Vec<u64> {
        let parts = self.agents[agent].parts.iter();
        parts.map(|part| part.gate_version).collect()
    }

    /// The fence of a set whose Gates were written before: from now on its permits count.
    pub(super) fn fence_stored(&mut self, agent: usize, life: u64) {
        if !self.lives(agent, life) {
            return;
        }
        let Some((ack, pending)) = self.agents[agent].finish() else {
            return;
        };
        let name = self.agents[agent].name.clone();
        self.tell(format!("{name}: the fence is stored"));
        self.stored(agent);
        self.gates_go(agent);
        self.changed_all(agent);
        let link = self.agents[agent].process.as_ref();
        let current = link.and_then(|process| process.link);
        if current.is_none_or(|(known, _)| known != pending.connection) {
            return;
        }
        self.send_up(pending.connection, Up::Ack(ack));
        for message in pending.later {
            self.comes_in_turn(agent, pending.connection, message);
        }
    }
}

/// The planted bug: an answer that comes before the fence.
fn unstored(set: &v1::DesiredSet) -> v1::Ack {
    v1::Ack {
        fence: set.fence,
        set_hash: set.set_hash.clone(),
        problems: Vec::new(),
        result: v1::ack::Result::Stored.into(),
    }
}
