//! The agent killed at every write. In: a canary with a pause and an analysis, whose writes a proxy before the API server
//! counts. Out: whether the final objects, and the pods that were ever started, are the same as if nobody had died,
//! wherever the agent was killed: before a write reached the server, or after the server's reply to it.

mod governed;
mod outcome;
mod round;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tests_e2e::bed::{Bed, Shared};
use tests_e2e::lane::{Lane, UNCOUNTED};
use tests_e2e::names::Names;
use tests_e2e::object::{differences, number, text};
use tests_e2e::quiet::quiet;
use tests_e2e::shop::{SOON, Shop};
use tests_e2e::turns::Turns;
use tests_fleet::proxy::api::ApiProxy;
use tests_fleet::proxy::trigger::{KillPoint, Moment};
use tests_fleet::{
    Agent, AgentAccess, AgentOptions, Cli, Cluster, Hub, Prometheus, Result, RunDir, eventually,
};

use self::governed::{govern, passed};
use self::outcome::Outcome;
use self::round::{Deed, WRITES_MIN};

/// Replicas of the Rollout.
const REPLICAS: u64 = 2;
/// So long without a write means that the agent has nothing more to do.
const STILL: Duration = Duration::from_millis(1500);
/// Agents without a hub that are killed side by side, each at a part of the writes: most of a round is waiting.
const LANES: usize = 3;
/// How long nothing at all may be written when nothing happens.
const IDLE: Duration = Duration::from_secs(5);

/// How a version goes out.
#[derive(Clone, Copy)]
enum How {
    /// Half the pods, a pause, an analysis.
    Canary,
    /// A preview, an analysis, a pause, a switch, an analysis, a delay.
    BlueGreen,
}

/// The Service of the preview.
const PREVIEW: &str = "preview";

/// Where it happens.
enum Ground {
    /// Side by side with other tests.
    Shared(&'static Shared),
    /// A cluster of its own: there is one member of the fleet in a cluster.
    Own(Box<(Prometheus, Bed)>),
}

impl Ground {
    fn cluster(&self) -> Result<&Cluster> {
        match self {
            Ground::Shared(shared) => shared.cluster(),
            Ground::Own(own) => own.1.first(),
        }
    }

    fn run(&self) -> &RunDir {
        match self {
            Ground::Shared(shared) => shared.run(),
            Ground::Own(own) => &own.1.run,
        }
    }
}

struct Stage {
    deed: Deed,
    how: How,
    round: u32,
    // The agent goes first, then what it talks to.
    lane: Lane,
    hub: Option<(Cli, Hub)>,
    ground: Ground,
}

/// One write, and on which side of it the agent dies.
type Kill = (u64, Moment);

fn both_sides(number: u64) -> Vec<Kill> {
    let sides = [Moment::BeforeForward, Moment::AfterReply];
    sides.map(|side| (number, side)).to_vec()
}

#[tokio::test]
async fn a_canary_comes_out_the_same_wherever_the_agent_is_killed() {
    side_by_side("kills-canary", Deed::Version, How::Canary).await;
}

#[tokio::test]
async fn a_blue_green_update_comes_out_the_same_wherever_the_agent_is_killed() {
    side_by_side("kills-blue-green", Deed::Version, How::BlueGreen).await;
}

#[tokio::test]
async fn a_permitted_canary_comes_out_the_same_wherever_the_agent_is_killed() {
    let stage = Stage::governed().await.expect("the stage");
    // Its writes are more, and the two sides take turns: what the sides differ by is tried above.
    let one_side = |number| match number % 2 {
        1 => vec![(number, Moment::BeforeForward)],
        _ => vec![(number, Moment::AfterReply)],
    };
    killed_everywhere(vec![stage], one_side).await;
}

#[tokio::test]
async fn a_restart_comes_out_the_same_wherever_the_agent_is_killed() {
    side_by_side("kills-restart", Deed::Restart, How::Canary).await;
}

#[tokio::test]
async fn a_scaling_comes_out_the_same_wherever_the_agent_is_killed() {
    side_by_side("kills-scale", Deed::Scale, How::Canary).await;
}

#[tokio::test]
async fn an_abort_comes_out_the_same_wherever_the_agent_is_killed() {
    side_by_side("kills-abort", Deed::Abort, How::Canary).await;
}

#[tokio::test]
async fn an_undo_comes_out_the_same_wherever_the_agent_is_killed() {
    side_by_side("kills-undo", Deed::Undo, How::Canary).await;
}

/// Several agents, each with an application of its own, share the kills.
async fn side_by_side(name: &str, deed: Deed, how: How) {
    let stages = (0..LANES).map(async |lane| {
        let stage = Stage::alone(&format!("{name}-{lane}"), deed, how).await;
        stage.expect("the stage")
    });
    let stages = join_all(stages).await;
    killed_everywhere(stages, both_sides).await;
}

/// Kills the agent at every write of a canary, on these sides of it.
async fn killed_everywhere(mut stages: Vec<Stage>, sides: impl Fn(u64) -> Vec<Kill>) {
    let wholes = join_all(stages.iter_mut().map(Stage::whole)).await;
    let count = wholes.iter().map(|whole| whole.writes).max();
    let count = count.unwrap_or_default();
    println!("a fault-free canary takes N = {count} writes");
    for write in &wholes.first().expect("a lane").last_writes {
        println!("  {} {}", write.verb, write.path);
    }
    let least = stages
        .first()
        .map_or(WRITES_MIN, |stage| stage.deed.writes_min());
    assert!(count >= least, "only {count} writes");

    let kills = Turns::of((1..=count).flat_map(sides));
    let lanes = stages.iter_mut().zip(&wholes).map(async |(stage, whole)| {
        let (mut wrong, mut struck) = (Vec::new(), 0);
        while let Some(kill) = kills.next() {
            let (died, found) = stage.killed(kill, whole).await;
            struck += u64::from(died);
            wrong.extend(found);
        }
        (wrong, struck)
    });
    let (mut wrong, mut struck) = (Vec::new(), 0);
    for (found, kills) in join_all(lanes).await {
        wrong.extend(found);
        struck += kills;
    }
    println!("the agent was killed {struck} times");
    assert!(struck >= least, "killed only {struck} times");
    for stage in stages {
        stage.lane.close().await.expect("every right");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

impl Stage {
    /// One without a hub.
    async fn alone(name: &str, deed: Deed, how: How) -> Result<Self> {
        let shared = Shared::get().await?;
        let lane = Lane::open(shared, name).await?;
        Self::set(Ground::Shared(shared), lane, None, deed, how).await
    }

    /// One under a hub, by a permit for each version.
    async fn governed() -> Result<Self> {
        let bed = Bed::up("kills", &["kills"]).await?;
        let cluster = bed.first()?.clone();
        let prometheus = Prometheus::start(&bed.run, bed.sandbox.clusters()).await?;
        let access = AgentAccess::install(&bed.run, &cluster).await?;
        let proxy = ApiProxy::start(access.server(), &UNCOUNTED).await?;
        let access = access.through(&bed.run, "kills", proxy.url(), None)?;
        let mut options = AgentOptions {
            prometheus: Some(prometheus.url()),
            ..AgentOptions::default()
        };
        let hub = govern(&bed, &mut options).await?;
        let agent = Agent::start(&bed.run, &access, &options)?;
        let shop = Shop::open(&cluster, "kills").await?;
        let lane = Lane { agent, proxy, shop };
        let ground = Ground::Own(Box::new((prometheus, bed)));
        Self::set(ground, lane, Some(hub), Deed::Version, How::Canary).await
    }

    /// The first version.
    async fn set(
        ground: Ground,
        lane: Lane,
        hub: Option<(Cli, Hub)>,
        deed: Deed,
        how: How,
    ) -> Result<Self> {
        let mut stage = Self {
            deed,
            how,
            round: 0,
            lane,
            hub,
            ground,
        };
        let shop = &stage.lane.shop;
        shop.service(PREVIEW).await?;
        let analysis = shop.labelled(instant_analysis(shop.namespace()));
        shop.apply(&analysis).await?;
        stage.deploy().await?;
        stage.settled().await?;
        Ok(stage)
    }

    /// A round without a fault, after which nothing more is written.
    async fn whole(&mut self) -> Outcome {
        // So many that old ReplicaSets are deleted in every canary from now on.
        for _ in 0..3 {
            self.canary(None).await.expect("a canary");
        }
        let whole = self.canary(None).await.expect("the fault-free canary");
        let trigger = self.lane.proxy.trigger();
        let still = async || quiet("nothing is written", IDLE, SOON, || trigger.count()).await;
        // Events follow what they tell of, on a busy machine by a while.
        let settled = still().await.expect("quiet");
        let after = still().await.expect("quiet");
        assert_eq!(after, settled, "writes although nothing happened");
        whole
    }

    /// A round with a kill in it: whether the agent died, and what is otherwise than after a whole one.
    async fn killed(&mut self, kill: Kill, whole: &Outcome) -> (bool, Vec<String>) {
        let (number, moment) = kill;
        let outcome = self.canary(Some(kill)).await;
        let outcome =
            outcome.unwrap_or_else(|error| panic!("killed at write {number}, {moment:?}: {error}"));
        let mut found = differences(&whole.objects, &outcome.objects);
        if outcome.started != whole.started {
            let (is, was) = (&outcome.started, &whole.started);
            found.push(format!("pods started: {is:?}, not {was:?}"));
        }
        // Two events that are seen together are answered with one write, so not every canary takes all of N.
        if !outcome.struck && outcome.writes >= number {
            let writes = outcome.writes;
            found.push(format!("never killed, although there were {writes} writes"));
        }
        let named = |what| format!("write {number} {moment:?}: {what}");
        (outcome.struck, found.into_iter().map(named).collect())
    }

    /// Waits until the newest version is served and nothing is written any more; gives the Rollout.
    async fn settled(&mut self) -> Result<Value> {
        let waited = self
            .lane
            .shop
            .until("done", |rollout| self.is_done(rollout))
            .await;
        self.lane.agent.process().must_run()?;
        let rollout = waited?;
        if let (Some((admin, _)), 2..) = (&self.hub, self.round) {
            passed(admin, self.round - 1).await?;
        }
        self.sets_rest().await?;
        let trigger = self.lane.proxy.trigger();
        quiet("nothing more is written", STILL, SOON, || trigger.count()).await?;
        let replicas = usize::try_from(number(&rollout, "/spec/replicas")).unwrap_or_default();
        self.lane.shop.serves(&[("v1", replicas)]).await?;
        self.lane.shop.rollout().await
    }

    /// One round from rest to rest.
    async fn canary(&mut self, kill: Option<(u64, Moment)>) -> Result<Outcome> {
        self.prepare().await?;
        let before = self.lane.shop.rollout().await?;
        let old = text(&before, "/status/stableRS").to_owned();
        let known = self.started()?;
        let pid = self.lane.agent.process().pid();
        self.lane
            .proxy
            .trigger()
            .arm(kill.map(|(number, moment)| KillPoint {
                number,
                moment,
                pid,
            }));
        self.begin().await?;
        let mut struck = false;
        if kill.is_some() {
            struck = self.killed_or_done().await?;
        }
        let after = self.settled().await?;
        let mut started = BTreeMap::new();
        let mut names = Names::of(&old, &after);
        for (uid, hash) in self.started()? {
            if !known.contains(&(uid, hash.clone())) {
                *started.entry(names.replaced(&hash)).or_default() += 1;
            }
        }
        let writes = self.lane.proxy.trigger().count();
        let earlier = usize::try_from(writes).unwrap_or_default();
        let mut last_writes = self.lane.proxy.writes();
        last_writes.drain(..last_writes.len().saturating_sub(earlier));
        let outcome = Outcome {
            objects: self.objects(&mut names, &after).await?,
            started,
            writes,
            last_writes,
            struck,
        };
        // A round with fewer writes than the chosen one is over, and nobody dies between rounds.
        self.lane.proxy.trigger().release();
        self.reset().await?;
        Ok(outcome)
    }

    /// Waits for the kill and starts the agent again; false: the canary was done before.
    async fn killed_or_done(&mut self) -> Result<bool> {
        let struck = eventually("the agent is killed", SOON, async || {
            if self.lane.agent.process().ended().is_some() {
                return Ok(true);
            }
            let rollout = self
                .lane
                .shop
                .rollout()
                .await
                .map_err(|error| error.to_string())?;
            let done = self.is_done(&rollout)
                && text(&rollout, "/status/observedGeneration")
                    == number(&rollout, "/metadata/generation").to_string();
            if done {
                Ok(false)
            } else {
                Err(format!("{} writes", self.lane.proxy.trigger().count()))
            }
        })
        .await?;
        if !struck {
            // The last writes may still come.
            let still = quiet("nothing more is written", STILL, SOON, || {
                self.lane.proxy.trigger().count()
            });
            still.await?;
            if self.lane.agent.process().ended().is_none() {
                return Ok(false);
            }
        }
        self.lane.agent.process().killed(SOON).await?;
        self.lane.proxy.trigger().release();
        self.lane.agent.again(self.ground.run())?;
        Ok(true)
    }
}

/// A template whose answer is there at once: a constant, from a real Prometheus.
fn instant_analysis(namespace: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "instant", "namespace": namespace},
        "spec": {"metrics": [{
            "name": "constant",
            "count": 1,
            "successCondition": "result[0] == 1",
            "provider": {"prometheus": {"query": "vector(1)"}},
        }]},
    })
}
