//! A hub over the one Rollout. In: the bed. Out: a hub, its administrator, and whether a release is a success.

use agent_api::names::gate_name;
use serde_json::{Value, json};
use tests_e2e::bed::Bed;
use tests_e2e::names::Names;
use tests_e2e::object::{self, Kind, text};
use tests_e2e::shop::{NAME, SOON};
use tests_fleet::agent::NAMESPACE;
use tests_fleet::{AgentOptions, Cli, Error, Hub, HubOptions, Result, eventually};

use super::Stage;

/// A hub that governs the one Rollout, and what the agent needs to be its member.
pub(super) async fn govern(bed: &Bed, options: &mut AgentOptions) -> Result<(Cli, Hub)> {
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
pub(super) async fn passed(admin: &Cli, number: u32) -> Result<()> {
    let release = format!("{NAME}#{number}");
    eventually(&format!("{release} succeeds"), SOON, async || {
        let shown = admin.json(&["release", "show", &release]).await;
        let shown = shown.map_err(|error| error.to_string())?;
        let succeeded = text(&shown, "/phase") == "Succeeded";
        succeeded.then_some(()).ok_or(shown.to_string())
    })
    .await
}

impl Stage {
    /// What the Gate says of the version; which templates are kept beside it depends on the ones before.
    pub(super) async fn gate(&self, names: &Names) -> Result<Value> {
        if self.hub.is_none() {
            return Ok(Value::Null);
        }
        let cluster = self.ground.cluster()?;
        let gates = Kind::Gate.of(&cluster.client().await?, NAMESPACE);
        let name = gate_name(self.lane.shop.namespace(), NAME);
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
