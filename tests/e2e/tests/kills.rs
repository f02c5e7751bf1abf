//! The agent killed at every write. In: a canary with a pause and an analysis, whose writes a proxy before the API server
//! counts. Out: whether the final objects, and the pods that were ever started, are the same as if nobody had died,
//! wherever the agent was killed: before a write reached the server, or after the server's reply to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use agent_api::names::gate_name;
use serde_json::{Value, json};
use tests_e2e::bed::Bed;
use tests_e2e::names::Names;
use tests_e2e::object::{self, Kind, differences, number, text};
use tests_e2e::quiet::quiet;
use tests_e2e::shop::{NAME, SOON, Shop};
use tests_fleet::agent::NAMESPACE;
use tests_fleet::proxy::api::ApiProxy;
use tests_fleet::proxy::trigger::{KillPoint, Moment};
use tests_fleet::records::{self, Happening, JournalLine};
use tests_fleet::{
    Agent, AgentAccess, AgentOptions, Cli, Error, Hub, HubOptions, Prometheus, Result, eventually,
};

use self::Leave::{Alone, Governed};

/// A canary of less would not show much.
const WRITES_MIN: u64 = 8;
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

/// Who lets the canary go.
enum Leave {
    /// Nobody has to.
    Alone,
    /// A hub, by a permit for each version.
    Governed,
}

struct Stage {
    // The agent goes first, then what it talks to.
    agent: Agent,
    hub: Option<(Cli, Hub)>,
    proxy: ApiProxy,
    _prometheus: Prometheus,
    shop: Shop,
    journal: PathBuf,
    bed: Bed,
    round: u32,
}

#[tokio::test]
async fn a_canary_comes_out_the_same_wherever_the_agent_is_killed() {
    let stage = Stage::set(Alone).await.expect("the stage");
    killed_everywhere(stage, |_| vec![Moment::BeforeForward, Moment::AfterReply]).await;
}

#[tokio::test]
async fn a_permitted_canary_comes_out_the_same_wherever_the_agent_is_killed() {
    let stage = Stage::set(Governed).await.expect("the stage");
    // Its writes are more, and the two sides take turns: what the sides differ by is tried above.
    let sides = [Moment::BeforeForward, Moment::AfterReply];
    killed_everywhere(stage, |number| vec![sides[usize::from(number % 2 == 0)]]).await;
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
    assert!(count >= WRITES_MIN, "only {count} writes");
    let still = quiet("nothing is written", IDLE, SOON, || {
        stage.proxy.trigger().count()
    })
    .await;
    assert_eq!(
        still.expect("quiet"),
        count,
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
    assert!(kills >= WRITES_MIN, "killed only {kills} times");
    stage.agent.assert_no_forbidden().expect("every right");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

impl Stage {
    async fn set(leave: Leave) -> Result<Self> {
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
        shop.apply(&instant_analysis(shop.namespace())).await?;
        let mut stage = Self {
            agent,
            hub,
            proxy,
            _prometheus: prometheus,
            shop,
            journal: cluster.journal(),
            bed,
            round: 0,
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
        manifest["spec"]["replicas"] = json!(2);
        manifest["spec"]["revisionHistoryLimit"] = json!(1);
        let container = &mut manifest["spec"]["template"]["spec"]["containers"][0];
        container["env"] = json!([{"name": "ROUND", "value": self.round.to_string()}]);
        // Ready as soon as it runs.
        container
            .as_object_mut()
            .map(|fields| fields.remove("readinessProbe"));
        self.shop.apply(&manifest).await
    }

    /// Waits until the newest version is served and nothing is written any more; gives the Rollout.
    async fn settled(&mut self) -> Result<Value> {
        let round = self.round.to_string();
        let served = |rollout: &Value| {
            text(rollout, "/spec/template/spec/containers/0/env/0/value") == round
                && text(rollout, "/status/phase") == "Healthy"
                && text(rollout, "/status/stableRS") == text(rollout, "/status/currentPodHash")
        };
        let (shop, agent) = (&self.shop, &mut self.agent);
        let waited = shop.until("served", served).await;
        agent.process().must_run()?;
        waited?;
        if let (Some((admin, _)), 2..) = (&self.hub, self.round) {
            passed(admin, self.round - 1).await?;
        }
        let trigger = self.proxy.trigger();
        quiet("nothing more is written", STILL, SOON, || trigger.count()).await?;
        self.shop.serves(&[("v1", 2)]).await?;
        self.shop.rollout().await
    }

    /// One canary from the version that is served to the next one.
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
        self.deploy().await?;
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
        Ok(Outcome {
            objects: self.objects(&mut names, &after).await?,
            started,
            writes: self.proxy.trigger().count(),
            struck,
        })
    }

    /// Waits for the kill and starts the agent again; false: the canary was done before.
    async fn killed_or_done(&mut self) -> Result<bool> {
        let round = self.round.to_string();
        let struck = eventually("the agent is killed", SOON, async || {
            if self.agent.process().ended().is_some() {
                return Ok(true);
            }
            let rollout = self
                .shop
                .rollout()
                .await
                .map_err(|error| error.to_string())?;
            let done = text(&rollout, "/spec/template/spec/containers/0/env/0/value") == round
                && text(&rollout, "/status/phase") == "Healthy"
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
        Ok(json!({
            "rollout": names.normal(&json!({"status": rollout["status"], "annotations": rollout["metadata"]["annotations"]})),
            "replicaSets": sets,
            "analysisRuns": runs,
            "gate": self.gate(names).await?,
        }))
    }
}

impl Stage {
    /// What the Gate says of the version; which templates are kept beside it depends on the ones before.
    async fn gate(&self, names: &Names) -> Result<Value> {
        if self.hub.is_none() {
            return Ok(Value::Null);
        }
        let cluster = self.bed.first()?;
        let gates = Kind::Gate.of(&cluster.client().await?, NAMESPACE);
        let name = gate_name(self.shop.namespace(), NAME);
        let gate = gates
            .get(&name)
            .await
            .map_err(Error::kube(format!("get Gate {name}")))?;
        let gate = object::json(&gate)?;
        let status = &gate["status"];
        let parts = [
            "served",
            "held",
            "effective",
            "outcome",
            "observedDigest",
            "localPermit",
        ];
        let parts = parts
            .into_iter()
            .map(|part| (part.to_owned(), names.normal(&status[part])));
        Ok(parts.collect())
    }
}

/// A hub that governs the one Rollout, and what the agent needs to be its member.
async fn govern(bed: &Bed, options: &mut AgentOptions) -> Result<(Cli, Hub)> {
    let hub = Hub::start(&bed.run, &HubOptions::default()).await?;
    let admin = hub.admin()?;
    let intent = json!({
        "apiVersion": "fleet.groundswell.dev/v1alpha1",
        "kind": "FleetRollout",
        "metadata": {"name": NAME},
        "spec": {
            "rollout": {"namespace": "kills", "name": NAME},
            "enforcement": "Enforce",
            "waves": [{"name": "all"}],
        },
    });
    let path = bed.run.join("document.yaml");
    std::fs::write(&path, intent.to_string()).map_err(Error::io("write", &path))?;
    admin
        .run(&["apply", "-f", &path.display().to_string()])
        .await?;
    let token = admin.run(&["cluster", "token", "kills"]).await?;
    options.hub = Some(hub.url());
    options.join_token = Some(token.trim().to_owned());
    Ok((admin, hub))
}

/// Waits until the hub has recorded a release as a success.
async fn passed(admin: &Cli, number: u32) -> Result<()> {
    let release = format!("{NAME}#{number}");
    eventually(&format!("{release} succeeds"), SOON, async || {
        let shown = admin.json(&["release", "show", &release]).await;
        let shown = shown.map_err(|error| error.to_string())?;
        let succeeded = text(&shown, "/phase") == "Succeeded";
        succeeded.then_some(()).ok_or(shown.to_string())
    })
    .await
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
