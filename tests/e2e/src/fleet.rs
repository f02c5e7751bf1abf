//! A hub and clusters that are its members. In: names. Out: a fleet, each cluster labelled with its own name, and what its
//! command line says of it. It decides nothing.

use std::time::Duration;

use serde_json::{Value, json};
use tests_fleet::{
    Agent, AgentAccess, AgentOptions, Cli, Error, Hub, HubOptions, Result, RunDir, eventually,
};

use crate::bed::Bed;
use crate::object::text;
use crate::shop::{NAME, SOON, Shop};

/// For a release through two clusters.
pub const RELEASE: Duration = Duration::from_secs(120);

/// A FleetRollout of the Rollout `checkout` in a namespace: the cluster `one`, then, once somebody of sre has approved,
/// `two`.
pub fn in_two_waves(name: &str, namespace: &str) -> Value {
    json!({
        "apiVersion": "fleet.groundswell.dev/v1alpha1",
        "kind": "FleetRollout",
        "metadata": {"name": name},
        "spec": {
            "rollout": {"namespace": namespace, "name": NAME},
            "enforcement": "Enforce",
            "waves": [
                {"name": "first", "clusters": {"matchLabels": {"name": "one"}}},
                {"name": "rest", "clusters": {"matchLabels": {"name": "two"}},
                 "approval": {"before": {"required": 1, "groups": ["sre"]}}},
            ],
            "onFailure": {"action": "Rollback", "scope": "Touched"},
            "progressDeadline": "3m",
            "onHubLoss": "Finish",
        },
    })
}

/// A manifest with the Git revision that a version came with.
pub fn revised(mut manifest: Value, version: &str) -> Value {
    let annotations = json!({"fleet.groundswell.dev/revision": format!("revision-of-{version}")});
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("annotations".to_owned(), annotations);
    }
    manifest
}

/// Everything that runs. It is taken down from the first field to the last.
#[derive(Debug)]
pub struct Fleet {
    /// In the order of the clusters.
    pub agents: Vec<Agent>,
    /// An administrator.
    pub admin: Cli,
    /// The hub.
    pub hub: Hub,
    /// The clusters.
    pub bed: Bed,
}

impl Fleet {
    /// Starts all of it and waits until every cluster is connected. `between` says by which URL a
    /// cluster reaches the hub.
    pub async fn up(
        test: &str,
        names: &[&str],
        hub: &HubOptions,
        between: impl AsyncFnMut(&Hub) -> Result<String>,
    ) -> Result<Self> {
        Self::up_with(test, names, hub, &AgentOptions::default(), between).await
    }

    /// The same with agents that are started otherwise.
    pub async fn up_with(
        test: &str,
        names: &[&str],
        hub: &HubOptions,
        agent: &AgentOptions,
        mut between: impl AsyncFnMut(&Hub) -> Result<String>,
    ) -> Result<Self> {
        tests_fleet::init();
        let bed = Bed::up(test, names).await?;
        let hub = Hub::start(&bed.run, hub).await?;
        let admin = hub.admin()?;
        let mut fleet = Self {
            agents: Vec::new(),
            admin,
            hub,
            bed,
        };
        for cluster in fleet.bed.sandbox.clusters() {
            let access = AgentAccess::install(&fleet.bed.run, cluster).await?;
            let label = format!("name={}", cluster.name());
            let token = ["cluster", "token", cluster.name(), "--label", &label];
            let options = AgentOptions {
                hub: Some(between(&fleet.hub).await?),
                join_token: Some(fleet.admin.run(&token).await?.trim().to_owned()),
                ..agent.clone()
            };
            fleet
                .agents
                .push(Agent::start(&fleet.bed.run, &access, &options)?);
        }
        fleet.connected(names.len()).await?;
        Ok(fleet)
    }

    /// Waits until so many clusters are connected.
    pub async fn connected(&mut self, wanted: usize) -> Result<()> {
        eventually(
            &format!("{wanted} clusters are connected"),
            SOON,
            async || {
                for agent in &mut self.agents {
                    agent
                        .process()
                        .must_run()
                        .map_err(|error| error.to_string())?;
                }
                let clusters = self.admin.json(&["get", "clusters"]).await;
                let clusters = clusters.map_err(|error| error.to_string())?;
                let all = clusters.as_array().cloned().unwrap_or_default();
                let is = |cluster: &&Value| cluster.get("connected") == Some(&json!(true));
                match all.iter().filter(is).count() {
                    count if count == wanted => Ok(()),
                    _ => Err(clusters.to_string()),
                }
            },
        )
        .await
    }

    /// Stores a FleetRollout.
    pub async fn apply(&self, document: &Value) -> Result<String> {
        let name = text(document, "/metadata/name");
        let path = self.run().join(&format!("{name}.yaml"));
        // JSON is YAML.
        std::fs::write(&path, document.to_string()).map_err(Error::io("write", &path))?;
        self.admin
            .run(&["apply", "-f", &path.display().to_string()])
            .await
    }

    /// Where its logs are.
    pub fn run(&self) -> &RunDir {
        &self.bed.run
    }

    /// A release.
    pub async fn release(&self, name: &str) -> Result<Value> {
        self.admin.json(&["release", "show", name]).await
    }

    /// Waits until a release is as wanted.
    pub async fn release_until(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        eventually(&format!("{name} {what}"), RELEASE, async || {
            let release = self
                .release(name)
                .await
                .map_err(|error| error.to_string())?;
            if wanted(&release) {
                Ok(release)
            } else {
                Err(release.to_string())
            }
        })
        .await
    }

    /// Waits until the second wave asks for an approval.
    pub async fn asks_for_approval(&self, name: &str) -> Result<()> {
        let asks = |release: &Value| wave_phase(release, "rest") == "WaitingForApproval";
        self.release_until(name, "asks for approval", asks)
            .await
            .map(|_| ())
    }

    /// Somebody of sre approves the second wave; for each FleetRollout another one.
    pub async fn approve(&self, name: &str) -> Result<()> {
        let (fleet_rollout, _) = name.split_once('#').unwrap_or((name, ""));
        let person = format!("sre-of-{fleet_rollout}");
        let person = self.hub.person(&person, &["sre"])?;
        person.run(&approval(name)).await.map(|_| ())
    }

    /// The application in a namespace, in every cluster.
    pub async fn shops(&self, namespace: &str) -> Result<Vec<Shop>> {
        let mut shops = Vec::new();
        for cluster in self.bed.sandbox.clusters() {
            shops.push(Shop::open(cluster, namespace).await?);
        }
        Ok(shops)
    }

    /// Waits until it has ended in a phase.
    pub async fn ends(&self, name: &str, phase: &str) -> Result<Value> {
        self.release_until(name, phase, |release| text(release, "/phase") == phase)
            .await
    }

    /// Rows of the history of a kind.
    pub async fn history(&self, kind: &str) -> Result<Vec<Value>> {
        let rows = self.admin.json(&["history"]).await?;
        let rows = rows.as_array().cloned().unwrap_or_default();
        Ok(rows
            .into_iter()
            .filter(|row| text(row, "/kind") == kind)
            .collect())
    }

    /// An error if an agent has ended, ever lacked a right or made a plan that its audit refuses, or the hub made one.
    pub fn check(&mut self) -> Result<()> {
        self.hub.assert_no_fault()?;
        for agent in &mut self.agents {
            agent.process().must_run()?;
            agent.assert_no_fault()?;
        }
        Ok(())
    }
}

/// How a person approves the second wave.
pub fn approval(release: &str) -> [&str; 7] {
    [
        "approve",
        release,
        "--wave",
        "rest",
        "--comment",
        "looks good",
        "--yes",
    ]
}

/// The phase of a wave of a release.
pub fn wave_phase<'a>(release: &'a Value, wave: &str) -> &'a str {
    let waves = release.get("waves").and_then(Value::as_array);
    let found = waves
        .into_iter()
        .flatten()
        .find(|one| text(one, "/name") == wave);
    found.map(|wave| text(wave, "/phase")).unwrap_or_default()
}

/// The state of a cluster in a release.
pub fn state<'a>(release: &'a Value, cluster: &str) -> &'a str {
    let waves = release.get("waves").and_then(Value::as_array);
    let targets = waves
        .into_iter()
        .flatten()
        .filter_map(|wave| wave.get("targets")?.as_array());
    let found = targets
        .flatten()
        .find(|one| text(one, "/cluster") == cluster);
    found
        .map(|target| text(target, "/state"))
        .unwrap_or_default()
}
