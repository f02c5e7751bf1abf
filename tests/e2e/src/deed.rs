//! What a person does to a cluster. In: a cluster. Out: changed objects, with the exact patches that existing clients send.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use tests_fleet::{Cluster, Error, Result, eventually};

use crate::shop::SOON;

/// The kinds that only a fleet needs.
const OUR_KINDS: [&str; 2] = [
    "gates.fleet.groundswell.dev",
    "fleetmembers.fleet.groundswell.dev",
];

/// Takes our own kinds out of a cluster, so that it is one for a stand-alone controller.
pub async fn remove_our_kinds(cluster: &Cluster) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client().await?);
    for name in OUR_KINDS {
        crds.delete(name, &DeleteParams::default())
            .await
            .map_err(Error::kube(format!("delete {name}")))?;
        eventually(&format!("{name} is gone"), SOON, async || {
            match crds.get_opt(name).await {
                Ok(None) => Ok(()),
                Ok(Some(_)) => Err(String::from("still there")),
                Err(error) => Err(error.to_string()),
            }
        })
        .await?;
    }
    Ok(())
}

/// `abort`, on the status.
pub fn abort() -> Value {
    json!({"status": {"abort": true}})
}

/// `retry rollout`, on the status.
pub fn retry() -> Value {
    json!({"status": {"abort": false}})
}

/// `promote` of a paused Rollout, on the status.
pub fn promote() -> Value {
    json!({"status": {"pauseConditions": null}})
}

/// `promote --full`, on the status.
pub fn promote_full() -> Value {
    json!({"status": {"promoteFull": true}})
}

/// `restart`: pods older than this moment are replaced.
pub fn restart(at: jiff::Timestamp) -> Value {
    let at = jiff::Timestamp::from_second(at.as_second()).unwrap_or(at);
    json!({"spec": {"restartAt": at.to_string()}})
}
