//! What the agent asks the cluster before it begins (gate.md G7).
//!
//! In: a kubeconfig or a ServiceAccount. Out: a client, who the cluster is, whether it has the fleet's kinds. It must not
//! take an error for an answer: only the API server's own "not there" means that the kinds are not there.

use std::time::Duration;

use agent_api::Uid;
use agent_api::names::{FLEET_GROUP, VERSION};
use k8s_openapi::api::core::v1::Namespace;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::args::Args;
use crate::backoff::Backoff;
use crate::break_glass;
use crate::fleet::{Fleet, Kinds};
use crate::identity::{self, IdentityStore, Stored};
use crate::metrics::requests::Counting;

/// A watch is opened for 60 s; an answer that has said nothing for longer will say nothing more.
const READ_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a connection to the API server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between questions that were not answered.
const RETRY: Backoff = Backoff {
    first: Duration::from_millis(500),
    most: Duration::from_secs(10),
};

/// Why the agent cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// There is no ServiceAccount.
    #[error("no --kubeconfig, and not inside a cluster: {0}")]
    InCluster(#[from] kube::config::InClusterError),
    /// The client cannot be made.
    #[error("cannot make a client of the API server: {0}")]
    Client(#[from] kube::Error),
}

/// A client of the cluster.
pub async fn client(args: &Args, counting: Counting) -> Result<Client, Error> {
    let mut config = match args.kubeconfig.as_deref() {
        None => Config::incluster()?,
        Some(path) => {
            let bad = |source| Error::Kubeconfig {
                path: path.display().to_string(),
                source,
            };
            let read = Kubeconfig::read_from(path).map_err(bad)?;
            let options = KubeConfigOptions {
                context: args.context.clone(),
                user: args.user.clone(),
                ..KubeConfigOptions::default()
            };
            Config::from_custom_kubeconfig(read, &options)
                .await
                .map_err(bad)?
        }
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    // Each object is tried again by its own back-off. The client's own repeats would sit on an eviction that a budget refuses
    // (429) for minutes, and on every other answer that a pass has to see.
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(&counting).build())
}

/// Who the cluster is: the UID of its kube-system namespace. Asked until it is answered.
pub async fn cluster_uid(client: &Client) -> Uid {
    let api: Api<Namespace> = Api::all(client.clone());
    let mut failures = 0_u32;
    loop {
        match api.get_metadata("kube-system").await {
            Ok(found) => return Uid(found.metadata.uid.unwrap_or_default()),
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(%error, "cannot read namespace kube-system; trying again");
                tokio::time::sleep(RETRY.after(failures)).await;
            }
        }
    }
}

/// Whether the fleet's kinds are there. With a hub they have to be: the question is asked until they are.
pub async fn kinds(client: &Client, has_hub: bool) -> Kinds {
    let group = format!("{FLEET_GROUP}/{VERSION}");
    let mut failures = 0_u32;
    loop {
        let answer = client.list_api_group_resources(&group).await;
        failures = failures.saturating_add(1);
        match answer {
            Ok(list) => {
                let has = |kind: &str| list.resources.iter().any(|one| one.kind == kind);
                if has("Gate") && has("FleetMember") {
                    return Kinds::Present;
                }
                tracing::warn!(
                    "{group} lacks Gate or FleetMember; apply deploy/crds. Nothing new is started meanwhile"
                );
            }
            // For a group that nobody serves the answer is plain text: only the code tells.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.code == 404 => {
                if !has_hub {
                    return Kinds::Absent;
                }
                tracing::warn!(
                    "{group} is not there; apply deploy/crds. Nothing new is started meanwhile"
                );
            }
            Err(error) => {
                tracing::warn!(%error, "cannot ask for {group}; trying again, nothing new is started meanwhile")
            }
        }
        tokio::time::sleep(RETRY.after(failures)).await;
    }
}

/// Says at once where nobody can break the glass, and not only when somebody has to. Asked once: each word is judged anew.
pub async fn say_break_glass(client: &Client) {
    match break_glass::standing(client).await {
        Ok(standing) => {
            if let Some(says) = standing.says() {
                tracing::warn!("{says}");
            }
        }
        Err(error) => tracing::info!("{error}"),
    }
}

/// The hub's key for permits, if this cluster has joined: Gates count with or without --hub. Asked until it is answered.
pub async fn permit_key(client: &Client, namespace: &str, fleet: &Fleet) {
    let store = IdentityStore::new(client.clone(), namespace);
    let mut failures = 0_u32;
    loop {
        match store.load().await {
            Ok(Stored::Complete(identity)) => return fleet.set_permit_key(identity.permit_key),
            Ok(Stored::Absent | Stored::Pending(_)) => return,
            Err(error @ (identity::Error::Field(_) | identity::Error::PermitKey(_))) => {
                tracing::error!("{error}; no permit counts meanwhile");
                return;
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(%error, "trying again");
                tokio::time::sleep(RETRY.after(failures)).await;
            }
        }
    }
}
