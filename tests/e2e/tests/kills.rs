//! The agent killed at every write. In: a canary with a pause and an analysis, whose writes a proxy before the API server
//! counts. Out: whether the final objects, and the pods that were ever started, are the same as if nobody had died,
//! wherever the agent was killed: before a write reached the server, or after the server's reply to it.

mod governed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tests_e2e::bed::Bed;
use tests_e2e::deed;
use tests_e2e::names::Names;
use tests_e2e::object::{Kind, differences, number, text};
use tests_e2e::quiet::quiet;
use tests_e2e::shop::{NAME, SOON, Shop};
use tests_fleet::proxy::api::ApiProxy;
use tests_fleet::proxy::trigger::{KillPoint, Moment};
use tests_fleet::records::{self, Happening, JournalLine};
use tests_fleet::{Agent, AgentAccess, AgentOptions, Cli, Hub, Prometheus, Result, eventually};

use self::Leave::{Alone, Governed};
use self::governed::{govern, passed};

/// A canary of less would not show much.
const WRITES_MIN: u64 = 8;
/// Nor would a restart or a scaling.
const OTHER_WRITES_MIN: u64 = 3;
/// Replicas of the Rollout.
const REPLICAS: u64 = 2;
/// What an autoscaler wants in between.
const MORE_REPLICAS: u64 = 4;
/// So long without a write means that the agent has nothing more to do.
const STILL: Duration = Duration::from_millis(1500);
/// How long nothing at all may be written when nothing happens.
const IDLE: Duration = Duration::from_secs(5);

/// What one canary leaves.
#[derive(Debug)]
struct Outcome {
    /// The objects, with names and times that differ from run to run taken out.
    objects: Value,
    /// Pods whose process was ever started, by ReplicaSet.
    started: BTreeMap<String, usize>,
    /// Writes of the agent.
    writes: u64,
    /// Whether the agent was killed.
    struck: bool,
}

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

/// Who lets the canary go.
enum Leave {
    /// Nobody has to.
    Alone,
    /// A hub, by a permit for each version.
    Governed,
}

/// What is done once a round, and must come out the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// The next version.
    Version,
    /// A restart of all pods.
    Restart,
    /// An autoscaler wants more pods; they go again before the next round.
    Scale,
}

impl Deed {
    fn writes_min(self) -> u64 {
        match self {
            Deed::Version => WRITES_MIN,
            Deed::Restart | Deed::Scale => OTHER_WRITES_MIN,
        }
    }
}

struct Stage {
    deed: Deed,
    // The agent goes first, then what it talks to.
    agent: Agent,
    hub: Option<(Cli, Hub)>,
    proxy: ApiProxy,
    _prometheus: Prometheus,
    shop: Shop,
    journal: PathBuf,
    bed: Bed,
    round: u32,
    how: How,
}

#[tokio::test]
async fn a_canary_comes_out_the_same_wherever_the_agent_is_killed() {
    let stage = Stage::set(Alone, How::Canary).await.expect("the stage");
    killed_everywhere(stage, |_| vec![Moment::BeforeForward, Moment::AfterReply]).await;
}

#[tokio::test]
async fn a_blue_green_update_comes_out_the_same_wherever_the_agent_is_killed() {
    let stage = Stage::set(Alone, How::BlueGreen).await.expect("the stage");
    killed_everywhere(stage, |_| vec![Moment::BeforeForward, Moment::AfterReply]).await;
}

#[tokio::test]
async fn a_permitted_canary_comes_out_the_same_wherever_the_agent_is_killed() {
    let stage = Stage::set(Governed, How::Canary).await.expect("the stage");
    // Its writes are more, and the two sides take turns: what the sides differ by is tried above.
    let sides = [Moment::BeforeForward, Moment::AfterReply];
    killed_everywhere(stage, |number| vec![sides[usize::from(number % 2 == 0)]]).await;
}

#[tokio::test]
async fn a_restart_comes_out_the_same_wherever_the_agent_is_killed() {
    let mut stage = Stage::set(Alone, How::Canary).await.expect("the stage");
    stage.deed = Deed::Restart;
    killed_everywhere(stage, |_| vec![Moment::BeforeForward, Moment::AfterReply]).await;
}

#[tokio::test]
async fn a_scaling_comes_out_the_same_wherever_the_agent_is_killed() {
    let mut stage = Stage::set(Alone, How::Canary).await.expect("the stage");
    stage.deed = Deed::Scale;
    killed_everywhere(stage, |_| vec![Moment::BeforeForward, Moment::AfterReply]).await;
}

/// Kills the agent at every write of a canary, on these sides of it.
async fn killed_everywhere(mut stage: Stage, sides: impl Fn(u64) -> Vec<Moment>) {
    // So many that old ReplicaSets are deleted in every canary from now on.
    for _ in 0..3 {
        stage.canary(None).await.expect("a canary");
    }
    let whole = stage.canary(None).await.expect("the fault-free canary");
    let count = whole.writes;
    println!("a fault-free canary takes N = {count} writes");
    let writes = stage.proxy.writes();
    for write in writes
        .iter()
        .rev()
        .take(usize::try_from(count).unwrap_or_default())
        .rev()
    {
        println!("  {} {}", write.verb, write.path);
    }
    let least = stage.deed.writes_min();
    assert!(count >= least, "only {count} writes");
    let settled = stage.proxy.trigger().count();
    let still = quiet("nothing is written", IDLE, SOON, || {
        stage.proxy.trigger().count()
    })
    .await;
    assert_eq!(
        still.expect("quiet"),
        settled,
        "writes although nothing happened"
    );

    let (mut wrong, mut kills) = (Vec::new(), 0);
    for number in 1..=count {
        for moment in sides(number) {
            let outcome = stage.canary(Some((number, moment))).await;
            let outcome = outcome
                .unwrap_or_else(|error| panic!("killed at write {number}, {moment:?}: {error}"));
            let mut found = differences(&whole.objects, &outcome.objects);
            if outcome.started != whole.started {
                found.push(format!(
                    "pods started: {:?}, not {:?}",
                    outcome.started, whole.started
                ));
            }
            // Two events that are seen together are answered with one write, so not every canary takes all of N.
            if !outcome.struck && outcome.writes >= number {
                found.push(format!(
                    "never killed, although there were {} writes",
                    outcome.writes
                ));
            }
            kills += u64::from(outcome.struck);
            wrong.extend(
                found
                    .into_iter()
                    .map(|what| format!("write {number} {moment:?}: {what}")),
            );
        }
    }
    println!("the agent was killed {kills} times");
    assert!(kills >= least, "killed only {kills} times");
    stage.agent.assert_no_forbidden().expect("every right");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

impl Stage {
    async fn set(leave: Leave, how: How) -> Result<Self> {
        let bed = Bed::up("kills", &["kills"]).await?;
        let cluster = bed.first()?.clone();
        let prometheus = Prometheus::start(&bed.run, bed.sandbox.clusters()).await?;
        let access = AgentAccess::install(&bed.run, &cluster).await?;
        let proxy = ApiProxy::start(access.server(), &["/leases", "/events"]).await?;
        let access = access.through(&bed.run, "kills", proxy.url(), None)?;
        let mut options = AgentOptions {
            prometheus: Some(prometheus.url()),
            ..AgentOptions::default()
        };
        let hub = match leave {
            Alone => None,
            Governed => Some(govern(&bed, &mut options).await?),
        };
        let agent = Agent::start(&bed.run, &access, &options)?;
        let shop = Shop::open(&cluster, "kills").await?;
        shop.service(PREVIEW).await?;
        shop.apply(&instant_analysis(shop.namespace())).await?;
        let mut stage = Self {
            deed: Deed::Version,
            agent,
            hub,
            proxy,
            _prometheus: prometheus,
            shop,
            journal: cluster.journal(),
            bed,
            round: 0,
            how,
        };
        stage.deploy().await?;
        stage.settled().await?;
        Ok(stage)
    }

    /// The next version: the same program with another environment.
    async fn deploy(&mut self) -> Result<()> {
        self.round += 1;
        let steps = json!([
            {"setWeight": 50}, {"pause": {"duration": "1s"}},
            {"analysis": {"templates": [{"templateName": "instant"}]}},
        ]);
        let mut manifest = self.shop.manifest("v1", &steps);
        if let How::BlueGreen = self.how {
            let analysis = json!({"templates": [{"templateName": "instant"}]});
            manifest["spec"]["strategy"] = json!({"blueGreen": {
                "activeService": NAME, "previewService": PREVIEW, "previewReplicaCount": 1,
                "prePromotionAnalysis": analysis, "postPromotionAnalysis": analysis,
                "autoPromotionSeconds": 1, "scaleDownDelaySeconds": 1,
            }});
        }
        manifest["spec"]["replicas"] = json!(REPLICAS);
        manifest["spec"]["revisionHistoryLimit"] = json!(1);
        let container = &mut manifest["spec"]["template"]["spec"]["containers"][0];
        container["env"] = json!([{"name": "ROUND", "value": self.round.to_string()}]);
        // Ready as soon as it runs.
        container
            .as_object_mut()
            .map(|fields| fields.remove("readinessProbe"));
        self.shop.apply(&manifest).await
    }

    /// Begins a round.
    async fn begin(&mut self) -> Result<()> {
        match self.deed {
            Deed::Version => self.deploy().await,
            Deed::Restart => {
                // A pod's age is in whole seconds: one that was made in this one is not older.
                let before = self.newest_second();
                let now = eventually("the next second", SOON, async || {
                    let now = jiff::Timestamp::now();
                    let later = Some(now.as_second()) > before;
                    later.then_some(now).ok_or_else(|| now.to_string())
                });
                self.shop.patch(&deed::restart(now.await?)).await
            }
            Deed::Scale => {
                let more = json!({"spec": {"replicas": MORE_REPLICAS}});
                self.shop.patch(&more).await
            }
        }
    }

    /// The second in which the last pod was started.
    fn newest_second(&self) -> Option<i64> {
        let lines: Vec<JournalLine> = records::read(&self.journal).ok()?;
        lines.iter().map(|line| line.time.as_second()).max()
    }

    /// Whether the Rollout, as it is, shows the end of the round.
    fn is_done(&self, rollout: &Value) -> bool {
        let round = self.round.to_string();
        let served = text(rollout, "/spec/template/spec/containers/0/env/0/value") == round
            && text(rollout, "/status/phase") == "Healthy"
            && text(rollout, "/status/stableRS") == text(rollout, "/status/currentPodHash");
        let restarted = text(rollout, "/status/restartedAt") == text(rollout, "/spec/restartAt");
        let scaled =
            number(rollout, "/status/availableReplicas") == number(rollout, "/spec/replicas");
        served && restarted && scaled
    }

    /// Waits until the newest version is served and nothing is written any more; gives the Rollout.
    async fn settled(&mut self) -> Result<Value> {
        let waited = self
            .shop
            .until("done", |rollout| self.is_done(rollout))
            .await;
        self.agent.process().must_run()?;
        let rollout = waited?;
        if let (Some((admin, _)), 2..) = (&self.hub, self.round) {
            passed(admin, self.round - 1).await?;
        }
        let trigger = self.proxy.trigger();
        quiet("nothing more is written", STILL, SOON, || trigger.count()).await?;
        let replicas = usize::try_from(number(&rollout, "/spec/replicas")).unwrap_or_default();
        self.shop.serves(&[("v1", replicas)]).await?;
        self.shop.rollout().await
    }

    /// What the next round begins from.
    async fn reset(&mut self) -> Result<()> {
        if self.deed == Deed::Scale {
            let fewer = json!({"spec": {"replicas": REPLICAS}});
            self.shop.patch(&fewer).await?;
            self.settled().await?;
        }
        Ok(())
    }

    /// One round from rest to rest.
    async fn canary(&mut self, kill: Option<(u64, Moment)>) -> Result<Outcome> {
        let before = self.shop.rollout().await?;
        let old = text(&before, "/status/stableRS").to_owned();
        let known = self.started()?;
        let pid = self.agent.process().pid();
        self.proxy
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
        let outcome = Outcome {
            objects: self.objects(&mut names, &after).await?,
            started,
            writes: self.proxy.trigger().count(),
            struck,
        };
        self.reset().await?;
        Ok(outcome)
    }

    /// Waits for the kill and starts the agent again; false: the canary was done before.
    async fn killed_or_done(&mut self) -> Result<bool> {
        let struck = eventually("the agent is killed", SOON, async || {
            if self.agent.process().ended().is_some() {
                return Ok(true);
            }
            let rollout = self
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
                Err(format!("{} writes", self.proxy.trigger().count()))
            }
        })
        .await?;
        if !struck {
            // The last writes may still come.
            let still = quiet("nothing more is written", STILL, SOON, || {
                self.proxy.trigger().count()
            });
            still.await?;
            if self.agent.process().ended().is_none() {
                return Ok(false);
            }
        }
        self.agent.process().killed(SOON).await?;
        self.proxy.trigger().release();
        self.agent.again(&self.bed.run)?;
        Ok(true)
    }

    /// UID and ReplicaSet of every pod whose process was ever started.
    fn started(&self) -> Result<BTreeSet<(String, String)>> {
        let lines: Vec<JournalLine> = records::read(&self.journal)?;
        let started = lines
            .into_iter()
            .filter(|line| line.event == Happening::Started);
        Ok(started.map(|line| (line.uid, line.hash)).collect())
    }

    /// What is there now, comparable between canaries.
    async fn objects(&self, names: &mut Names, rollout: &Value) -> Result<Value> {
        let mut sets = BTreeMap::new();
        let all = self.shop.all(Kind::ReplicaSet).await?;
        for set in &all {
            let digest = text(set, "/metadata/annotations/fleet.groundswell.dev~1digest");
            names.learn(
                text(set, "/metadata/labels/rollouts-pod-template-hash"),
                digest,
            );
        }
        let names = &*names;
        for set in &all {
            let own = json!({
                "annotations": set["metadata"]["annotations"],
                "replicas": set["spec"]["replicas"],
                "status": set["status"],
            });
            let hash = text(set, "/metadata/labels/rollouts-pod-template-hash");
            sets.insert(names.replaced(hash), names.normal(&own));
        }
        let mut runs = BTreeMap::new();
        for run in self.shop.all(Kind::AnalysisRun).await? {
            let hash = text(&run, "/metadata/labels/rollouts-pod-template-hash");
            if names.replaced(hash) == "NEW" {
                let name = names.replaced(text(&run, "/metadata/name"));
                runs.insert(
                    name,
                    names.normal(&json!({"spec": run["spec"], "status": run["status"]})),
                );
            }
        }
        let mut services = BTreeMap::new();
        for service in self.shop.all(Kind::Service).await? {
            let managed = "argo-rollouts.argoproj.io/managed-by-rollouts";
            let own = json!({
                "selector": service["spec"]["selector"],
                "managedBy": service["metadata"]["annotations"][managed],
            });
            services.insert(
                text(&service, "/metadata/name").to_owned(),
                names.normal(&own),
            );
        }
        Ok(json!({
            "services": services,
            "rollout": names.normal(&json!({"status": rollout["status"], "annotations": rollout["metadata"]["annotations"]})),
            "replicaSets": sets,
            "analysisRuns": runs,
            "gate": self.gate(names).await?,
        }))
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
