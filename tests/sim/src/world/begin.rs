//! How a life begins: sizes, FleetRollouts, clusters with Rollouts that nothing has deployed yet, and how long things break.
//! In: a seed. Out: the whole. It must not decide what happens later.

mod declared;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use agent_engine::{GateObserved, GateRecord};
use hub_engine::document::FleetRollout;
use hub_engine::name::RolloutName;
use hub_engine::observed::{Cluster, Observed, Predecessor};
use hub_engine::{ClusterName, Fence};
use serde_json::{Value, json};
use tests_golden::agent_cluster;
use tests_golden::agent_fixture::{self, template};
use tests_golden::hub_random::Random;

use super::World;
use crate::agent::{Agent, Part};
use crate::check::Ghost;
use crate::event::{Event, Ms, Queue};
use crate::hub::Hub;
use crate::keys::Keys;
use crate::planted::Bugs;
use crate::store::{Row, Store};
use crate::trace::Trace;
use crate::world::stamp;
use declared::Declared;
pub(crate) use declared::Opening;

/// In so many of a hundred lives with several Rollouts clusters have images of their own.
const DIFFER: usize = 40;
/// In so many of a hundred lives hubs are of a later version, whose permits go to a step and no further now and then.
const BOUNDS: usize = 20;
/// In so many of a hundred lives sets lack something now and then.
const SETS_LACK: usize = 20;
/// In so many of a hundred lives Git does not tell the revision of a version now and then.
const UNTOLD: usize = 20;
/// In so many of a hundred lives API servers do not answer an agent that starts at once.
const UNSURE: usize = 20;
/// What an overlay makes of a version: nothing, or the version's build for one place.
pub(super) const OVERLAYS: [&str; 2] = ["", "-eu"];

/// What a life is made from.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Where everything random comes from.
    pub seed: u64,
    /// Clusters; none: mostly 3 to 5, up to 20, by the seed.
    pub agents: Option<usize>,
    /// FleetRollouts, each with a Rollout of its own; none: 1 to 3, by the seed.
    pub fleets: Option<usize>,
    /// How long things break, in milliseconds.
    pub chaos: Ms,
    /// Whether anything breaks at all.
    pub faults: bool,
}

impl Config {
    /// The usual life of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self {
            seed,
            agents: None,
            fleets: None,
            chaos: 240_000,
            faults: true,
        }
    }
}

impl World {
    pub(super) fn new(config: Config, bugs: Bugs) -> Self {
        let mut random = Random::new(config.seed);
        let Declared {
            documents,
            refused,
            clusters,
            joiner,
            names,
            labels,
            rollouts,
            opening,
        } = Declared::new(config, bugs, &mut random);
        let rows = rows(&clusters);
        let fleets = documents.into_iter().map(|one| tables(one, &clusters));
        let mut store = Store::new(fleets.collect(), rows);
        store.bugs = bugs;
        let overlays = overlays(names.len(), rollouts.len(), &mut random.aside(43));
        let agents = agents(&names, &rollouts, &mut random);
        let hubs = hubs(&mut random);
        let mut world = Self {
            now: 0,
            random,
            queue: Queue::default(),
            store,
            hubs,
            agents,
            connections: BTreeMap::new(),
            opened: 0,
            chaos: config.faults,
            config,
            labels,
            versions: vec![1; rollouts.len()],
            git: vec![("v1".to_owned(), "r1".to_owned()); rollouts.len()],
            rollouts,
            overlays,
            bad: std::collections::BTreeSet::new(),
            keys: Keys::new(),
            bugs,
            ghost: Ghost::default(),
            trace: Trace::default(),
            failure: None,
            quiet_since: 0,
            copies: super::losses::Copies::default(),
            kept_stopped: None,
            mends: BTreeMap::new(),
            met: BTreeMap::new(),
            looked: None,
            alarm_until: 0,
            bounds: Random::new(config.seed).aside(125).percent(BOUNDS),
            sets_lack: Random::new(config.seed).aside(89).percent(SETS_LACK),
            opening,
            late: super::late::come_late(config),
            older: super::losses::older(config),
            untold: Random::new(config.seed).aside(211).percent(UNTOLD),
            unsure: config.faults && Random::new(config.seed).aside(223).percent(UNSURE),
            repeats: super::repeats::Repeats::of(config),
            stops: super::stops::stops(config),
            measures: super::measures::Measures::of(config),
            restepped: super::strategies::changes(config),
            steps: BTreeMap::new(),
            locals: super::verbs::Locals::of(config),
            identities: super::member::Identities::default(),
            deaf: BTreeMap::new(),
            joiner,
        };
        world.begins(&refused);
        world
    }

    fn begins(&mut self, refused: &[FleetRollout]) {
        self.clocks_are_behind();
        self.identities();
        self.some_lack_the_policy();
        self.measured_strictly();
        self.first_contents();
        self.declared(refused);
        self.schedule();
    }

    /// What the overlays make of the first version is what every Rollout begins with.
    fn first_contents(&mut self) {
        for agent in 0..self.agents.len() {
            for place in self.places(agent) {
                let first = template(&self.version_in(agent, "v1"));
                let observed = &mut self.part_mut(place).cluster.observed;
                observed.rollout.spec.template = Some(first);
                self.has(place);
            }
        }
    }

    fn schedule(&mut self) {
        self.put(0, Event::HubStart(0));
        self.put(500, Event::HubStart(1));
        for agent in 0..self.agents.len() {
            let last = agent + 1 == self.agents.len();
            let after = if last && self.joiner.is_some() {
                self.some(20_000, 150_000)
            } else {
                self.some(0, 2_000)
            };
            self.put(after, Event::AgentStart(agent));
        }
        for part in 0..self.rollouts.len() {
            let first = self.some(15_000, 40_000);
            self.put(first, Event::Push(part));
        }
        self.put(10_000, Event::Person);
        self.enforced_later();
        if self.config.faults {
            self.put(5_000, Event::Fault);
        }
        self.put(self.config.chaos, Event::Calm);
    }
}

/// In some lives some clusters have an overlay beside Git's one, with images of their own: only where there are several
/// Rollouts, so that the lives of one stay what they were.
fn overlays(clusters: usize, rollouts: usize, random: &mut Random) -> Vec<&'static str> {
    let differ = rollouts > 1 && random.percent(DIFFER);
    let own = if differ {
        &OVERLAYS[..]
    } else {
        &OVERLAYS[..1]
    };
    (0..clusters)
        .map(|_| own[random.below(own.len())])
        .collect()
}

/// A FleetRollout that nothing was decided about yet.
fn tables(document: FleetRollout, clusters: &[Cluster]) -> Observed {
    let selected = clusters
        .iter()
        .filter(|own| document.clusters.selects(&own.labels));
    let selected: Vec<_> = selected.cloned().map(Arc::new).collect();
    let before = document.after.iter().map(|name| Predecessor {
        name: name.clone(),
        newest: None,
    });
    Observed {
        clusters: selected,
        before: before.collect(),
        ..Observed::new(document, stamp(0))
    }
}

/// What the database has of clusters that have just joined.
pub(crate) fn rows(clusters: &[Cluster]) -> BTreeMap<ClusterName, Row> {
    let row = |own: &Cluster| Row {
        uid: format!("uid-{}", own.name),
        desired: own.desired,
        ..Row::default()
    };
    let rows = clusters.iter().map(|own| (own.name.clone(), row(own)));
    rows.collect()
}

/// A cluster that was never heard.
pub(crate) fn empty(name: &ClusterName) -> Cluster {
    let fence = Fence {
        incarnation: 1,
        version: 0,
    };
    Cluster {
        name: name.clone(),
        labels: Arc::default(),
        selected: true,
        connected: false,
        last_seen: None,
        desired: fence,
        stored: Fence::default(),
        regressed: false,
        gone: None,
        replaced: None,
        restored: None,
        clock_ahead: 0,
        gate: None,
        rollout: None,
    }
}

fn agents(names: &[ClusterName], rollouts: &[RolloutName], random: &mut Random) -> Vec<Agent> {
    let base = Instant::now();
    let agents = names.iter();
    let agents = agents.map(|name| agent(name, base, rollouts, random));
    agents.collect()
}

/// Two, whose clocks are wrong.
fn hubs(random: &mut Random) -> Vec<Hub> {
    let hubs = (0..2).map(|_| Hub {
        skew: Ms::try_from(random.below(120_001)).unwrap_or(0) - 60_000,
        ..Hub::default()
    });
    hubs.collect()
}

/// The first Rollout comes from the life's own numbers, the others from numbers beside them.
fn agent(
    name: &ClusterName,
    base: Instant,
    rollouts: &[RolloutName],
    random: &mut Random,
) -> Agent {
    let (steps, replicas) = shape(random);
    let mut aside = random.aside(13);
    let mut agent = agent_of(name, base, &steps, replicas);
    for rollout in rollouts.iter().skip(1) {
        let (steps, replicas) = shape(&mut aside);
        let mut observed = observed(name, &steps, replicas);
        let metadata = &mut observed.rollout.metadata;
        metadata.name = Some(rollout.name.clone());
        metadata.uid = Some(format!("rollout-{name}-{}", rollout.name));
        agent
            .parts
            .push(Part::new(agent_cluster::Cluster::new(observed)));
    }
    agent
}

/// Steps and replicas.
fn shape(random: &mut Random) -> (Vec<Value>, usize) {
    let mut steps = vec![json!({"setWeight": 50})];
    if random.percent(50) {
        steps.push(json!({"pause": {"duration": 3 + random.below(8)}}));
    }
    steps.push(json!({"analysis": {"templates": [{"templateName": "errors"}]}}));
    if random.percent(30) {
        steps.push(json!({"setWeight": 75}));
        steps.push(json!({"pause": {"duration": 5}}));
    }
    (steps, 2 + random.below(3))
}

/// A Rollout that nothing has deployed yet.
fn observed(name: &ClusterName, steps: &[Value], replicas: usize) -> agent_engine::Observed {
    let fixture = json!({
        "about": "a life", "now": stamp(0).to_string(),
        "templates": [{"name": "errors", "spec": {"metrics": [{
            "name": "error-rate", "interval": "10s", "count": 1, "successCondition": "result[0] >= 0.95",
            "provider": {"prometheus": {"address": "http://prometheus", "query": "ok"}},
        }]}}],
        "rollout": {
            "version": "v1", "replicas": replicas, "steps": steps, "canary": {"maxSurge": 1, "maxUnavailable": 0},
            "annotations": {"fleet.groundswell.dev/revision": "r1"},
        },
    });
    let mut observed =
        agent_fixture::observed(&fixture.to_string()).expect("the fixture above can be read");
    observed.gate = GateObserved {
        record: GateRecord::Missing,
        ..GateObserved::stand_alone()
    };
    observed.rollout.metadata.uid = Some(format!("rollout-{name}"));
    observed
}

/// A cluster with one Rollout, and its agent, which does not run.
pub(crate) fn agent_of(
    name: &ClusterName,
    base: Instant,
    steps: &[Value],
    replicas: usize,
) -> Agent {
    let first = observed(name, steps, replicas);
    Agent {
        name: name.clone(),
        uid: format!("uid-{name}"),
        parts: vec![Part::new(agent_cluster::Cluster::new(first))],
        member: None,
        member_writes: 0,
        process: None,
        life: 0,
        skew: 0,
        base,
        alone_until: 0,
        slow_until: 0,
        unknown_until: 0,
        glass_admitted: true,
        pending: None,
    }
}
