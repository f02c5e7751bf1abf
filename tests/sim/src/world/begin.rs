//! How a life begins: sizes, the FleetRollout, clusters with a Rollout that nothing has deployed yet, and how long things
//! break. In: a seed. Out: the whole. It must not decide what happens later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use agent_engine::{GateObserved, GateRecord};
use hub_engine::amount::Seconds;
use hub_engine::document::FleetRollout;
use hub_engine::name::RolloutName;
use hub_engine::observed::{Cluster, Observed, Predecessor};
use hub_engine::{ClusterName, Fence};
use serde_json::json;
use tests_golden::agent_cluster;
use tests_golden::agent_fixture;
use tests_golden::hub_random::{LABEL, Random, fleet_rollout};

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

/// In so many lives of a hundred the last cluster joins when others are under way.
const LATE: usize = 40;

/// What a life is made from.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Where everything random comes from.
    pub seed: u64,
    /// Clusters; none: 3 to 5, by the seed.
    pub agents: Option<usize>,
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
            chaos: 240_000,
            faults: true,
        }
    }
}

impl World {
    pub(super) fn new(config: Config, bugs: Bugs) -> Self {
        let mut random = Random::new(config.seed);
        let fleet_rollout = quick(fleet_rollout(&mut random), &mut random);
        let waves = fleet_rollout.waves.len() + 1;
        let count = config.agents.unwrap_or_else(|| 3 + random.below(3));
        let names: Vec<ClusterName> = (0..count).map(|at| format!("c{at}").into()).collect();
        let clusters = names.iter().map(|name| Cluster {
            name: name.clone(),
            labels: Arc::new([(LABEL.to_owned(), random.below(waves).to_string())].into()),
            ..empty(name)
        });
        let mut clusters: Vec<Cluster> = clusters.collect();
        let labels = clusters
            .iter()
            .map(|own| (own.name.clone(), own.labels.as_ref().clone()));
        let labels = labels.collect();
        let late = random.aside(7).percent(LATE);
        let joiner = if late { clusters.pop() } else { None };
        let before = fleet_rollout.after.iter().map(|name| Predecessor {
            name: name.clone(),
            newest: None,
        });
        let before = before.collect();
        let rollouts = vec![fleet_rollout.rollout.clone()];
        let rows = rows(&clusters);
        let tables = Observed {
            clusters: clusters.into_iter().map(Arc::new).collect(),
            before,
            ..Observed::new(fleet_rollout, stamp(0))
        };
        let store = Store::new(vec![tables], rows);
        let base = Instant::now();
        let agents = names.iter().map(|name| agent(name, base, &mut random));
        let agents: Vec<Agent> = agents.collect();
        let hubs = (0..2).map(|_| Hub {
            skew: Ms::try_from(random.below(120_001)).unwrap_or(0) - 60_000,
            ..Hub::default()
        });
        let hubs = hubs.collect();
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
            bad: std::collections::BTreeSet::new(),
            keys: Keys::new(),
            bugs,
            ghost: Ghost::default(),
            trace: Trace::default(),
            failure: None,
            quiet_since: 0,
            copies: super::losses::Copies::default(),
            joiner,
        };
        world.schedule();
        world
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
        let first = self.some(15_000, 40_000);
        self.put(first, Event::Push(0));
        self.put(10_000, Event::Person);
        if self.config.faults {
            self.put(5_000, Event::Fault);
        }
        self.put(self.config.chaos, Event::Calm);
    }
}

/// The policies of the random document with times that fit into a life.
fn quick(mut document: FleetRollout, random: &mut Random) -> FleetRollout {
    document.rollout = RolloutName {
        namespace: "shop".into(),
        name: agent_fixture::NAME.into(),
    };
    for wave in &mut document.waves {
        wave.bake = random.pick(&[Seconds(0), Seconds(5), Seconds(20)]);
    }
    // A life is minutes long, and what it comes after is a part of its world.
    document.calendar = hub_engine::window::Calendar {
        on_close: document.calendar.on_close,
        ..hub_engine::window::Calendar::default()
    };
    // What only observes permits nothing, so nothing of it could be checked here.
    document.enforcement = hub_engine::document::Enforcement::Enforce;
    document.progress_deadline = random.pick(&[Seconds(90), Seconds(240)]);
    document.membership.unreachable_after = random.pick(&[Seconds(25), Seconds(60)]);
    document.on_hub_loss = random.pick(&[
        hub_engine::document::OnHubLoss::Finish,
        hub_engine::document::OnHubLoss::Hold,
        hub_engine::document::OnHubLoss::Abort { after: Seconds(10) },
    ]);
    document
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
        gate: None,
        rollout: None,
    }
}

fn agent(name: &ClusterName, base: Instant, random: &mut Random) -> Agent {
    let mut steps = vec![json!({"setWeight": 50})];
    if random.percent(50) {
        steps.push(json!({"pause": {"duration": 3 + random.below(8)}}));
    }
    steps.push(json!({"analysis": {"templates": [{"templateName": "errors"}]}}));
    if random.percent(30) {
        steps.push(json!({"setWeight": 75}));
        steps.push(json!({"pause": {"duration": 5}}));
    }
    agent_of(name, base, &steps, 2 + random.below(3))
}

/// A cluster with a Rollout that nothing has deployed yet, and its agent, which does not run.
pub(crate) fn agent_of(
    name: &ClusterName,
    base: Instant,
    steps: &[serde_json::Value],
    replicas: usize,
) -> Agent {
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
    Agent {
        name: name.clone(),
        uid: format!("uid-{name}"),
        parts: vec![Part::new(agent_cluster::Cluster::new(observed))],
        member: None,
        member_writes: 0,
        process: None,
        life: 0,
        skew: 0,
        base,
        alone_until: 0,
        slow_until: 0,
        pending: None,
    }
}
