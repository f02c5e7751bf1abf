//! Becoming a member of the fleet, and staying one.
//!
//! In: the stored identity, or a join token. Out: a link that runs for ever. It must not stop the agent: a cluster that
//! cannot join goes on serving what it serves, and says why.

use std::sync::Arc;
use std::time::Duration;

use agent_api::{FleetMemberSpec, Uid};
use http::Uri;
use jiff::Timestamp;
use kube::Client;
use secrecy::SecretString;
use tokio::sync::watch;

use super::dial::Proxy;
use super::report::Reports;
use super::session::Link;
use crate::backoff::Backoff;
use crate::cache::{Caches, Work};
use crate::fleet::Fleet;
use crate::gate_store::GateStore;
use crate::identity::{self, Identity, IdentityStore, Stored};
use crate::join::{self, Joining, Token};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::renewal::Renewal;
use crate::workloads::Workloads;
use crate::writer::Writer;
use crate::written::Written;

/// Between tries that may help.
const RETRY: Backoff = Backoff {
    first: Duration::from_millis(500),
    most: Duration::from_secs(15),
};
/// Between tries that need a person first.
const HOPELESS: Duration = Duration::from_secs(60);

/// Everything that a member needs.
pub struct Member {
    /// The hub.
    pub hub: Uri,
    /// The way there.
    pub proxy: Option<Proxy>,
    /// The name to join under.
    pub cluster: Option<String>,
    /// The token to join with.
    pub token: Option<SecretString>,
    /// UID of kube-system.
    pub cluster_uid: Uid,
    /// The agent's own namespace.
    pub namespace: String,
    /// The API server.
    pub client: Client,
    /// Writes.
    pub writer: Writer,
    /// What was written.
    pub written: Arc<Written>,
    /// What there is.
    pub caches: Arc<Caches>,
    /// The fleet's side of this agent.
    pub fleet: Arc<Fleet>,
    /// What the hub is told.
    pub reports: Arc<Reports>,
    /// The workloads that Rollouts name.
    pub workloads: Arc<Workloads>,
    /// What is to be looked at again.
    pub queue: Arc<Queue<Work>>,
    /// Counters.
    pub metrics: Metrics,
}

/// Why there is no identity yet.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Identity(#[from] identity::Error),
    #[error(transparent)]
    Join(#[from] join::Error),
    #[error(
        "this cluster has no identity and no join token: start the agent once with --join-token"
    )]
    NoToken,
}

impl Error {
    fn is_final(&self) -> bool {
        match self {
            Self::Identity(_) => false,
            Self::Join(error) => error.is_final(),
            Self::NoToken => true,
        }
    }
}

impl Member {
    /// Joins if need be, and keeps the link for ever.
    pub async fn run(self) {
        let identity = self.identity().await;
        self.fleet.set_permit_key(identity.permit_key.clone());
        self.fleet.set_member_name(&identity.cluster);
        for rollout in self.caches.rollouts.keys() {
            self.queue.add(Work::Rollout(rollout));
        }
        let member = FleetMemberSpec {
            cluster: identity.cluster.clone(),
            hub: self.hub.to_string(),
            kube_system_uid: self.cluster_uid.clone(),
            ..FleetMemberSpec::default()
        };
        let identities = IdentityStore::new(self.client.clone(), &self.namespace);
        let store = Arc::new(GateStore {
            namespace: self.namespace,
            member,
            client: self.client,
            writer: self.writer,
            written: self.written,
            workloads: self.workloads,
            caches: Arc::clone(&self.caches),
            fleet: Arc::clone(&self.fleet),
        });
        let (renewed, current) = watch::channel(identity);
        let renewal = Renewal {
            hub: self.hub.clone(),
            proxy: self.proxy.clone(),
            cluster_uid: self.cluster_uid.clone(),
            store: identities,
            current: renewed,
        };
        let link = Link {
            hub: self.hub,
            proxy: self.proxy,
            identity: current,
            cluster_uid: self.cluster_uid,
            store,
            reports: self.reports,
            fleet: self.fleet,
            caches: self.caches,
            queue: self.queue,
            metrics: self.metrics,
        };
        tokio::join!(Arc::new(link).run(), renewal.run());
    }

    async fn identity(&self) -> Identity {
        let mut failures = 0_u32;
        loop {
            let error = match self.try_identity().await {
                Ok(identity) => return identity,
                Err(error) => error,
            };
            failures = failures.saturating_add(1);
            let wait = if error.is_final() {
                HOPELESS
            } else {
                RETRY.after(failures)
            };
            tracing::error!("not a member of the fleet: {error}");
            tokio::time::sleep(wait).await;
        }
    }

    async fn try_identity(&self) -> Result<Identity, Error> {
        let store = IdentityStore::new(self.client.clone(), &self.namespace);
        let expired = match store.load().await? {
            Stored::Complete(identity) => {
                let over = identity.validity()?.to <= Timestamp::now();
                // Away for longer than its certificate lives: with a new token it joins again.
                if !over || self.token.is_none() || self.cluster.is_none() {
                    return Ok(*identity);
                }
                true
            }
            Stored::Absent | Stored::Pending(_) => false,
        };
        let (Some(token), Some(cluster)) = (&self.token, &self.cluster) else {
            return Err(Error::NoToken);
        };
        let joining = Joining {
            hub: &self.hub,
            proxy: self.proxy.as_ref(),
            cluster,
            cluster_uid: &self.cluster_uid,
            token: &Token::parse(token)?,
        };
        let identity = if expired {
            join::again(&store, &joining).await?
        } else {
            join::join(&store, &joining).await?
        };
        tracing::info!(cluster = identity.cluster, hub = %self.hub, "joined the fleet");
        Ok(identity)
    }
}
