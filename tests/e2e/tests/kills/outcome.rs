//! What a round leaves, comparable between rounds. In: the cluster after it. Out: objects without what differs from run to
//! run, and the pods that were ever started.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests_e2e::names::Names;
use tests_e2e::object::{Kind, text};
use tests_fleet::Result;
use tests_fleet::proxy::api::Write;
use tests_fleet::records::{self, Happening, JournalLine};

use super::Stage;

/// What one canary leaves.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The objects, with names and times that differ from run to run taken out.
    pub(super) objects: Value,
    /// Pods whose process was ever started, by ReplicaSet.
    pub(super) started: BTreeMap<String, usize>,
    /// Writes of the agent.
    pub(super) writes: u64,
    /// What they were.
    pub(super) last_writes: Vec<Write>,
    /// Whether the agent was killed.
    pub(super) struck: bool,
}

impl Stage {
    /// What the kubelet did with its pods.
    pub(super) fn journal(&self) -> Result<Vec<JournalLine>> {
        let mut lines: Vec<JournalLine> = records::read(&self.ground.cluster()?.journal())?;
        lines.retain(|line| line.namespace == self.lane.shop.namespace());
        Ok(lines)
    }

    /// UID and ReplicaSet of every pod whose process was ever started.
    pub(super) fn started(&self) -> Result<BTreeSet<(String, String)>> {
        let started = self.journal()?.into_iter();
        let started = started.filter(|line| line.event == Happening::Started);
        Ok(started.map(|line| (line.uid, line.hash)).collect())
    }

    /// What is there now, comparable between canaries.
    pub(super) async fn objects(&self, names: &mut Names, rollout: &Value) -> Result<Value> {
        let mut sets = BTreeMap::new();
        let all = self.lane.shop.all(Kind::ReplicaSet).await?;
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
        for run in self.lane.shop.all(Kind::AnalysisRun).await? {
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
        for service in self.lane.shop.all(Kind::Service).await? {
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
