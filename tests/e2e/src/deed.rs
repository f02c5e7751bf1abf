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
    let client = cluster.client().await?;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for name in OUR_KINDS {
        // The API server empties a kind before it lets go of it. One that it does not serve yet it tries again later and later.
        let plural = name.split('.').next().unwrap_or_default();
        eventually(&format!("{name} is served"), SOON, async || {
            let path = format!("/apis/fleet.groundswell.dev/v1alpha1/{plural}");
            let list = http::Request::get(path).body(Vec::new());
            let list = list.map_err(|error| error.to_string())?;
            let served = client.request::<Value>(list).await;
            served.map(|_| ()).map_err(|error| error.to_string())
        })
        .await?;
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
