//! What is lost and comes back older: databases put back from a copy, clusters put back from theirs, Rollouts deleted and
//! made again, clusters that reach no hub. In: the chance of the moment. Out: the same whole with an older part. It must not
//! know what an invariant is: `check` is told what was lost.

use agent_api::RolloutStatus;
use tests_golden::agent_fixture::template;

use tests_golden::hub_random::Random;

use super::World;
use super::begin::Config;
use crate::agent::Copied;
use crate::event::{Event, Ms, Place};
use crate::store::Store;

/// How far the clock of a cluster is set back: by less than an agent takes for a jump, and by more.
const SET_BACK: [Ms; 2] = [-45_000, -3_600_000];

/// How far it is set ahead while a canary pauses: by less than what ends a lease, mostly. So often in a hundred, and in so many of a
/// hundred lives far more often.
const SET_AHEAD: [Ms; 4] = [15_000, 30_000, 50_000, 3_600_000];
const SET_IN_PAUSE: usize = 8;
const SET_OFTEN: usize = 60;
const JUMPY: usize = 20;

/// So many of a hundred ends of permits are lost with their clusters, where there is a copy at their fence, within so many
/// milliseconds: about as long as it takes until the hub's next set is there.
const END_LOST: usize = 60;
const END_LOST_WITHIN: usize = 2_500;

/// In so many of a hundred lives a copy of the database is put back again and again, also over a recovery: so often at most, and
/// so soon after one.
const OLDER: usize = 20;
const OLDER_TIMES: u32 = 3;
const OLDER_AFTER: (Ms, Ms) = (2_000, 25_000);
/// So many of a hundred recoveries are copied before, while nothing is decided.
const COPIED_HELD: usize = 30;

/// What a copy lacks that is put back at once, at most: little more than a heartbeat's time.
const MOMENT_MAX: Ms = 6_000;

/// Copies that are kept for later.
#[derive(Default)]
pub(crate) struct Copies {
    pub(crate) store: Option<(Box<Store>, Ms)>,
    /// How often that was put back after a recovery.
    pub(crate) again: u32,
    pub(crate) moment: Option<(Box<Store>, Ms)>,
    pub(crate) agents: std::collections::BTreeMap<usize, (Box<Copied>, Ms)>,
}

/// Whether copies of the database outlast its recoveries by intent in this life.
pub(super) fn older(config: Config) -> bool {
    config.faults && Random::new(config.seed).aside(109).percent(OLDER)
}

impl World {
    /// The database is copied, or put back from its copy.
    pub(super) fn database_lost(&mut self) {
        let Some((copy, at)) = self.copies.store.take() else {
            return self.database_copied();
        };
        if self.older {
            self.copies.store = Some((copy.clone(), at));
        }
        self.put_back(*copy, at);
    }

    fn database_copied(&mut self) {
        self.copies.store = Some((Box::new(self.store.clone()), self.now));
        self.tell("the database is copied".to_owned());
    }

    /// A person is about to recover the database, and the copy from which it was put back is still there. Drawn aside, so that
    /// every other life stays what it was.
    pub(super) fn older_copy_soon(&mut self) {
        let mut aside = self.random.aside(113);
        if !self.older || !self.chaos || self.copies.again >= OLDER_TIMES {
            return;
        }
        if self.copies.store.is_none() || aside.percent(COPIED_HELD) {
            self.database_copied();
        }
        self.copies.again += 1;
        let (least, most) = OLDER_AFTER;
        let span = usize::try_from(most - least).unwrap_or(0);
        let after = least + Ms::try_from(aside.below(span)).unwrap_or(0);
        self.put(after, Event::OlderCopy);
    }

    pub(super) fn older_copy(&mut self) {
        if let Some((copy, at)) = self.copies.store.clone()
            && self.chaos
        {
            self.put_back(*copy, at);
        }
    }

    /// The database is copied, and put back from that copy a moment later: in it every session is the current one.
    pub(super) fn moment_is_lost(&mut self) {
        if self.copies.moment.is_none() {
            self.copies.moment = Some((Box::new(self.store.clone()), self.now));
            let after = self.some(20, MOMENT_MAX);
            self.put(after, Event::MomentLost);
        }
    }

    pub(super) fn moment_lost(&mut self) {
        if let Some((copy, at)) = self.copies.moment.take()
            && self.chaos
        {
            self.put_back(*copy, at);
        }
    }

    fn put_back(&mut self, copy: Store, at: Ms) {
        self.tell(format!("the database is put back from its copy of {at}"));
        self.meets("DatabasePutBack");
        if copy.recovery.incarnation < self.store.recovery.incarnation {
            self.meets("OlderCopyPutBack");
        }
        // A later copy is one of what is lost.
        self.copies.moment = None;
        self.chains_hold(false);
        self.store.put_back(copy, self.now);
        self.ghost
            .put_back(&self.store, &self.agents, &self.rollouts);
        self.ghost.behind.clear();
        self.order_noted();
        for agent in 0..self.agents.len() {
            if self.agents[agent].life > 0 {
                self.joins(agent);
            }
        }
        for hub in 0..self.hubs.len() {
            self.hubs[hub].held = None;
            self.hubs[hub].deciding.clear();
        }
    }

    /// A cluster is copied, or put back from its copy: everything that its API server has.
    pub(super) fn cluster_lost(&mut self, agent: usize) {
        let name = self.agents[agent].name.clone();
        let Some((copy, at)) = self.copies.agents.remove(&agent) else {
            let copy = Box::new(self.agents[agent].copied());
            self.copies.agents.insert(agent, (copy, self.now));
            return self.tell(format!("{name} is copied"));
        };
        self.kill_agent(agent);
        self.tell(format!("{name} is put back from its copy of {at}"));
        self.meets("ClusterPutBack");
        self.agents[agent].put_back(*copy);
        self.ghost.cluster_put_back(agent, &self.agents[agent], at);
        for place in self.places(agent) {
            self.glass_forgotten(place);
        }
        for place in self.places(agent) {
            let (version, revision) = self.git[place.part].clone();
            let after = self.some(1_000, 30_000);
            self.put(
                after,
                Event::Applied {
                    place,
                    version,
                    revision,
                },
            );
        }
    }

    /// A permit has just ended, and the cluster has a copy of before, at the fence that it still has: now and then it is put back to
    /// that while the end is told. Drawn aside, so that every other life stays what it was.
    pub(super) fn end_is_lost(&mut self, agent: usize) {
        let fence = self.agents[agent]
            .member
            .as_ref()
            .map(|member| member.fence);
        let copy = self.copies.agents.get(&agent);
        let mut aside = self.random.aside(71);
        let same = copy.is_some_and(|(copy, _)| copy.fence() == fence);
        if same && self.chaos && aside.percent(END_LOST) {
            let after = Ms::try_from(aside.below(END_LOST_WITHIN)).unwrap_or(0);
            self.put(after, Event::EndLost(agent));
        }
    }

    pub(super) fn end_lost(&mut self, agent: usize) {
        if self.chaos && self.copies.agents.contains_key(&agent) {
            self.meets("EndLost");
            self.cluster_lost(agent);
        }
    }

    /// A Rollout is deleted, and made again after a while.
    pub(super) fn rollout_lost(&mut self, place: Place) {
        if self.part(place).gone {
            return;
        }
        let name = self.name_of(place);
        self.tell(format!("the Rollout in {name} is deleted"));
        self.meets("RolloutDeleted");
        self.agents[place.agent].delete_rollout(place.part);
        self.ghost.rollout_lost(place);
        self.glass_goes_on(place);
        self.changed(place);
        let after = self.some(3_000, 40_000);
        self.put(after, Event::RolloutMade(place));
    }

    /// The applier makes it again, another object of the same name.
    pub(super) fn rollout_made(&mut self, place: Place) {
        if !self.part(place).gone {
            return;
        }
        let (version, revision) = self.git[place.part].clone();
        let name = self.name_of(place);
        let version = self.version_in(place.agent, &version);
        self.steps_brought(place);
        let own = self.part_mut(place);
        own.gone = false;
        own.made += 1;
        // What a cache has of the old one is of no use: its UID is in every write.
        own.own_writes += 1;
        let made = own.made;
        let rollout = &mut own.cluster.observed.rollout;
        rollout.metadata.uid = Some(format!("rollout-{name}-{made}"));
        rollout.metadata.generation = Some(1);
        rollout.spec.template = Some(template(&version));
        rollout.status = Some(RolloutStatus::default());
        own.says(&revision);
        own.unsaid();
        own.rollout_written();
        self.ghost.made.insert(place, self.now);
        self.has(place);
        self.tell(format!(
            "{name} has a new Rollout with {version} ({revision})"
        ));
        self.changed(place);
    }

    /// A cluster reaches no hub for a while: often one with something under way, whose clock is set back and whose analysis
    /// takes longer than a lease.
    pub(super) fn partition(&mut self, agent: usize) {
        let under_way = (0..self.agents.len()).find(|agent| self.agents[*agent].under_way());
        let slow = self.random.percent(50);
        let agent = under_way.filter(|_| slow).unwrap_or(agent);
        let skew = self.random.pick(&SET_BACK);
        self.alone(agent, slow.then_some(skew));
    }

    /// The same in the moment in which a lease matters most: an analysis has begun.
    pub(super) fn alone_while_it_analyses(&mut self, agent: usize, writes: &[String]) {
        let analyses = writes.iter().any(|write| write.starts_with("analyse"));
        if analyses && self.mishap(60) {
            self.alone(agent, Some(SET_BACK[0]));
        }
    }

    /// A canary has begun to pause: now and then the clock of its cluster is set ahead. Drawn aside, so that every other life stays
    /// what it was.
    pub(super) fn clock_is_set_while_it_pauses(&mut self, place: Place, writes: &[String]) {
        let agent = place.agent;
        let step = agent_api::names::pause_reason::CANARY_PAUSE_STEP;
        let status = self.part(place).status();
        let paused = writes
            .iter()
            .any(|write| write.starts_with("status Paused"))
            && status.pause_conditions.iter().any(|one| one.reason == step);
        let mut aside = self.random.aside(127);
        let jumpy = Random::new(self.config.seed).aside(223).percent(JUMPY);
        let often = if jumpy { SET_OFTEN } else { SET_IN_PAUSE };
        if paused && self.chaos && aside.percent(often) {
            let skew = self.agents[agent].skew + aside.pick(&SET_AHEAD);
            self.clock_is_set(agent, skew);
        }
    }

    fn alone(&mut self, agent: usize, slow: Option<Ms>) {
        let until = self.now + self.some(20_000, 70_000);
        self.agents[agent].alone_until = until;
        let name = self.agents[agent].name.clone();
        self.tell(format!("{name} reaches no hub until {until}"));
        self.meets("ClusterAlone");
        self.break_connections(|link| link.agent == agent);
        if let Some(skew) = slow {
            self.agents[agent].slow_until = self.now + self.some(22_000, 35_000);
            self.clock_is_set(agent, skew);
        }
    }

    /// The wall clock of a cluster jumps.
    pub(super) fn clock_is_set(&mut self, agent: usize, skew: Ms) {
        let before = std::mem::replace(&mut self.agents[agent].skew, skew);
        self.ghost.unsettled(agent, self.now);
        if skew < before {
            self.ghost.set_back(agent);
        }
        let name = self.agents[agent].name.clone();
        self.tell(format!("the clock of {name} is {skew} ms off"));
        self.meets("ClockSet");
        self.passes_soon(agent, 10);
    }
}
