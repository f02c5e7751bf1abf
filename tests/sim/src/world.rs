//! The whole: hubs, store, clusters, what is on its way between them, virtual time. In: a seed, bugs. Out: the first thing that
//! went wrong, and the trace. Everything random comes from the seed. It must not look at a clock.

mod again;
mod agents;
pub(crate) mod begin;
mod deaf;
mod decide;
mod faults;
mod hubs;
mod kinds;
mod late;
mod losses;
mod measures;
mod member;
mod misread;
mod observe;
mod people;
mod repeats;
mod shown;
mod skew;
mod stops;
mod strategies;
mod told;
mod verbs;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use hub_engine::overlap::Labels;
use hub_engine::{ClusterName, RolloutName};
use jiff::{SignedDuration, Timestamp};
use tests_golden::hub_random::Random;

use crate::agent::{Agent, Part};
use crate::check::Ghost;
use crate::event::{Event, Ms, Place, Queue};
use crate::hub::Hub;
use crate::keys::Keys;
use crate::planted::Bugs;
use crate::store::Store;
use crate::trace::Trace;

pub use begin::Config;
pub(crate) use skew::known_words;

/// When every life begins.
const START: Timestamp = Timestamp::constant(1_767_225_600, 0);
/// Events in one life for each cluster; more is a loop that does not end.
const EVENTS_MAX: u64 = 50_000;
/// Most events that may wait of each cluster: everything in the model has a bound.
const WAITING_MAX: usize = 500;

/// A moment of the true time, which is the database's.
#[must_use]
pub fn stamp(at: Ms) -> Timestamp {
    START
        .checked_add(SignedDuration::from_millis(at))
        .unwrap_or(START)
}

/// Its inverse.
#[must_use]
pub fn millis(at: Timestamp) -> Ms {
    at.as_millisecond() - START.as_millisecond()
}

/// A stream between an agent and a hub.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connection {
    pub(crate) agent: usize,
    pub(crate) agent_life: u64,
    pub(crate) hub: usize,
    pub(crate) hub_life: u64,
    /// Nothing passes any more.
    pub(crate) cut: bool,
    /// What was sent later arrives later.
    pub(crate) up_after: Ms,
    pub(crate) down_after: Ms,
}

/// What went wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The rule, as `rules.tsv` has it.
    pub rule: String,
    /// The rule and what breaks it.
    pub what: String,
    /// When.
    pub at: Ms,
}

/// What came of one life.
#[derive(Debug)]
pub struct Told {
    /// The first thing that went wrong.
    pub failure: Option<Failure>,
    /// Of the trace.
    pub hash: u64,
    /// The trace.
    pub lines: Vec<String>,
    /// What was met, and how often: kinds of actions that were committed, of what broke, and of what was waited for.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Events that happened.
    pub events: u64,
}

/// The whole.
pub struct World {
    pub(crate) now: Ms,
    pub(crate) random: Random,
    pub(crate) queue: Queue,
    pub(crate) store: Store,
    pub(crate) hubs: Vec<Hub>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) connections: BTreeMap<u64, Connection>,
    pub(crate) opened: u64,
    pub(crate) chaos: bool,
    pub(crate) config: Config,
    /// Of every cluster, from the beginning.
    pub(crate) labels: Labels,
    /// By Rollout: its name in every cluster.
    pub(crate) rollouts: Vec<RolloutName>,
    /// By Rollout: what Git has had, and has.
    pub(crate) versions: Vec<u64>,
    pub(crate) git: Vec<(String, String)>,
    /// By cluster: what its overlay makes of Git's versions; empty: it has none.
    pub(crate) overlays: Vec<&'static str>,
    /// Rollouts with contents (by hash) that their analyses will find bad.
    pub(crate) bad: BTreeSet<(usize, String)>,
    pub(crate) keys: Keys,
    pub(crate) bugs: Bugs,
    pub(crate) ghost: Ghost,
    pub(crate) trace: Trace,
    pub(crate) failure: Option<Failure>,
    pub(crate) quiet_since: Ms,
    pub(crate) copies: losses::Copies,
    /// A FleetRollout that stays stopped when nothing breaks any more.
    pub(crate) kept_stopped: Option<usize>,
    /// What was met, and how often.
    pub(crate) met: BTreeMap<&'static str, u64>,
    /// By FleetRollout: how often a person has mended what others waited for, and when last.
    pub(crate) mends: BTreeMap<usize, (u32, Ms)>,
    /// What was said in an alarm stays said until then.
    pub(crate) alarm_until: Ms,
    /// What somebody looked at last: a wave of a FleetRollout's release.
    pub(crate) looked: Option<((usize, u64, u32), hub_engine::release::Shown)>,
    /// Permits go to a step and no further now and then.
    pub(crate) bounds: bool,
    /// Sets lack something now and then.
    pub(crate) sets_lack: bool,
    /// When FleetRollouts that have windows begin something.
    pub(crate) opening: begin::Opening,
    /// Permits come late now and then.
    pub(crate) late: bool,
    /// The database is put back from copies of before its recovery now and then.
    pub(crate) older: bool,
    /// Git does not tell the revision of a version now and then.
    pub(crate) untold: bool,
    /// Agents do not learn at once whether the fleet's kinds are there.
    pub(crate) unsure: bool,
    /// What comes again, and what goes.
    pub(crate) repeats: repeats::Repeats,
    /// Processes are stopped in the midst of a pass.
    pub(crate) stops: bool,
    /// How runs end.
    pub(crate) measures: measures::Measures,
    /// Git changes steps now and then, and what it has of them by now, by Rollout.
    pub(crate) restepped: bool,
    pub(crate) steps: BTreeMap<usize, Vec<agent_api::CanaryStep>>,
    /// What persons do in the clusters.
    pub(crate) locals: verbs::Locals,
    /// What agents have to say who they are.
    pub(crate) identities: member::Identities,
    /// Until when an agent reads nothing.
    pub(crate) deaf: BTreeMap<usize, Ms>,
    /// The last cluster, where it joins later than the others.
    pub(crate) joiner: Option<hub_engine::observed::Cluster>,
}

/// Lives one life.
#[must_use]
pub fn live(config: Config, bugs: Bugs) -> Told {
    let mut world = World::new(config, bugs);
    let mut events = 0;
    let clusters = u64::try_from(world.agents.len()).unwrap_or(1);
    while world.failure.is_none() {
        let Some((at, event)) = world.queue.take() else {
            break;
        };
        events += 1;
        world.now = world.now.max(at);
        if world.over() {
            break;
        }
        world.handle(event);
        world.check();
        if events > EVENTS_MAX * clusters {
            world.fail("L5", "it goes on and on".to_owned());
        }
        if world.queue.len() > WAITING_MAX * world.agents.len() {
            world.fail("S11", "more and more waits".to_owned());
        }
    }
    Told {
        kinds: world.met,
        failure: world.failure,
        hash: world.trace.hash(),
        lines: world.trace.lines().to_vec(),
        events,
    }
}

impl World {
    pub(crate) fn fail(&mut self, rule: &str, message: String) {
        self.tell(format!("WRONG {rule}: {message}"));
        if self.failure.is_none() {
            self.failure = Some(Failure {
                rule: rule.to_owned(),
                what: format!("{rule}: {message}"),
                at: self.now,
            });
        }
    }

    pub(crate) fn tell(&mut self, line: String) {
        let (seconds, millis) = (self.now / 1_000, self.now % 1_000);
        self.trace.add(format!("{seconds:>5}.{millis:03} {line}"));
    }

    pub(crate) fn put(&mut self, after: Ms, event: Event) {
        self.queue.put(self.now + after, event);
    }

    /// So many milliseconds, from `least` up to `most`.
    pub(crate) fn some(&mut self, least: Ms, most: Ms) -> Ms {
        let span = usize::try_from(most - least).unwrap_or(0);
        least + Ms::try_from(self.random.below(span + 1)).unwrap_or(0)
    }

    /// One of so many; nothing is drawn where there is no choice.
    pub(crate) fn one_of(&mut self, count: usize) -> usize {
        if count < 2 {
            0
        } else {
            self.random.below(count)
        }
    }

    /// Every Rollout of a cluster.
    pub(crate) fn places(&self, agent: usize) -> impl Iterator<Item = Place> + use<> {
        (0..self.rollouts.len()).map(move |part| Place { agent, part })
    }

    /// One of the Rollouts of a cluster.
    pub(crate) fn some_place(&mut self, agent: usize) -> Place {
        let part = self.one_of(self.rollouts.len());
        Place { agent, part }
    }

    /// A Rollout in its cluster.
    pub(crate) fn part(&self, place: Place) -> &Part {
        &self.agents[place.agent].parts[place.part]
    }

    pub(crate) fn part_mut(&mut self, place: Place) -> &mut Part {
        &mut self.agents[place.agent].parts[place.part]
    }

    /// As the trace names it: the cluster, and the Rollout where there are several.
    pub(crate) fn name_of(&self, place: Place) -> String {
        let name = &self.agents[place.agent].name;
        match self.rollouts.len() {
            1 => name.to_string(),
            _ => format!("{name}/{}", self.rollouts[place.part].name),
        }
    }

    /// Whether a FleetRollout selects a cluster.
    pub(crate) fn selects(&self, fleet: usize, cluster: &ClusterName) -> bool {
        let document = &self.store.fleets[fleet].fleet_rollout;
        let labels = self.labels.get(cluster);
        labels.is_some_and(|labels| document.clusters.selects(labels))
    }

    /// The Rollout that a FleetRollout names.
    pub(crate) fn part_of(&self, fleet: usize) -> usize {
        let wanted = &self.store.fleets[fleet].fleet_rollout.rollout;
        let place = self.rollouts.iter().position(|name| name == wanted);
        place.unwrap_or_default()
    }

    /// For reach: this has happened.
    pub(crate) fn meets(&mut self, kind: &'static str) {
        *self.met.entry(kind).or_default() += 1;
    }

    /// A chance that there is only while things break.
    pub(crate) fn mishap(&mut self, per_thousand: usize) -> bool {
        self.chaos && self.random.below(1_000) < per_thousand
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::HubTick { hub, life } => self.hub_tick(hub, life),
            Event::Thaw { hub, life } => self.thaw(hub, life),
            Event::Commit { hub, life, draft } => self.commit(hub, life, draft),
            Event::HubStart(hub) => self.hub_start(hub),
            Event::AgentStart(agent) => self.agent_start(agent),
            Event::Pass { place, life } => self.pass(place, life),
            Event::Watch { place, life } => self.watch(place, life),
            Event::Dial { agent, life } => self.dial(agent, life),
            Event::Renew { agent, life } => self.renew_certificate(agent, life),
            Event::Beat { agent, connection } => self.beat(agent, connection),
            Event::Up {
                connection,
                message,
            } => self.up(connection, message),
            Event::Down {
                connection,
                message,
            } => self.down(connection, message),
            Event::Broken {
                connection,
                agent_end,
            } => self.broken(connection, agent_end),
            Event::GoesOn {
                agent,
                left,
                renewed,
            } => self.goes_on_late(agent, *left, renewed),
            Event::Kubelet(place) => self.kubelet(place),
            Event::Answered {
                place,
                life,
                asked,
                answer,
            } => self.answered(place, life, &asked, answer),
            Event::RunsEnd(place) => self.runs_end(place),
            Event::Fence { agent, life } => self.fence_stored(agent, life),
            Event::RolloutMade(place) => self.rollout_made(place),
            Event::Push(part) => self.push(part),
            Event::Applied {
                place,
                version,
                revision,
            } => self.applied(place, &version, &revision),
            Event::AppliedLate {
                place,
                version,
                revision,
            } => self.applied_late(place, &version, &revision),
            Event::Person => self.person(),
            Event::Enforced(fleet) => self.enforced(fleet),
            Event::Fault => self.fault(),
            Event::DatabaseUp => {
                self.store.up = true;
                self.tell("Postgres answers again".to_owned());
            }
            Event::MomentLost => self.moment_lost(),
            Event::OlderCopy => self.older_copy(),
            Event::EndLost(agent) => self.end_lost(agent),
            Event::Calm => self.calm(),
            Event::Alarm => self.alarm(),
        }
    }
}
