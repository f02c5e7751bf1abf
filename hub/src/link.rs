//! The agents' service. In: `Join` without a certificate, `Renew` and `Open` with a cluster's. Out: a certificate, or a session on its
//! own task. It must not look at a message before the sender is authorised.

pub mod fences;
pub mod gather;
pub mod hello;
pub mod opening;
pub mod outbox;
pub mod pace;
pub mod session;

use std::sync::Arc;
use std::time::Duration;

use hub_engine::ClusterName;
use hub_store::Store;
use hub_store::session::HEARTBEAT_SECONDS;
use proto::v1::link_server::Link as LinkService;
use proto::v1::{AgentMessage, JoinRequest, JoinResponse, RenewRequest, RenewResponse};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::acceptor::{fingerprint_of, peer_of};
use crate::identity::{OpenLink, Renew, authorize};
use crate::join::{self, Certifier};
use crate::link::fences::Fences;
use crate::link::gather::Gather;
use crate::link::opening::Openings;
use crate::link::outbox::{Outgoing, outbox};
use crate::link::pace::Paces;

/// Each heartbeat is answered by a renewal, so that a lease outlives three lost ones.
const RENEWALS_A_LEASE: u32 = 4;

/// After a restart every agent says Hello at once: so many are on their way into the transactions that open many together (four
/// full ones), and the others wait their turn where it is still seen that nobody reads them any more.
pub const HELLOS_AT_ONCE: usize = 200;
/// Whoever has a transaction of its own takes one of the store's sixteen connections, of which what is gathered may take eight
/// and strangers two: people are answered meanwhile.
pub const HELLOS_ALONE: usize = 4;

/// Whoever joins is a stranger until the token is checked, and checking writes: strangers share two connections.
pub const JOINS_AT_ONCE: usize = 2;
/// How long one stranger waits for the others.
const JOIN_PATIENCE: Duration = Duration::from_secs(10);

/// What every session shares.
#[derive(Debug, Clone)]
pub struct Link {
    /// Where sets come from.
    pub store: Store,
    /// Where what agents say goes.
    pub gather: Gather,
    /// The hub's keys, and how long what they certify lives.
    pub certifier: Certifier,
    /// The fence of every cluster's committed set.
    pub fences: Fences,
    /// This hub's name, for people who ask which hub has a stream.
    pub hub: String,
    /// How often agents have to be heard.
    pub heartbeat: Duration,
    /// Sessions that are being opened.
    pub openings: Openings,
    /// How much each cluster's word has left for good.
    pub paces: Paces,
    /// Joins that may be looked at a time.
    pub joins: Arc<Semaphore>,
    /// Ends every session.
    pub stop: CancellationToken,
}

/// How often agents have to be heard for leases of this length to be renewed in time.
#[must_use]
pub fn heartbeat(lease: Duration) -> Duration {
    (lease / RENEWALS_A_LEASE).clamp(
        Duration::from_secs(1),
        Duration::from_secs(u64::from(HEARTBEAT_SECONDS)),
    )
}

#[tonic::async_trait]
impl LinkService for Link {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let Ok(_turn) = timeout(JOIN_PATIENCE, self.joins.acquire()).await else {
            return Err(Status::resource_exhausted(
                "too many clusters join at once; try again",
            ));
        };
        join::run(&self.store, &self.certifier, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let fingerprint = fingerprint_of(&request);
        let allowed = authorize(&peer_of(&request), Renew { fingerprint })?;
        join::renew(&self.store, &self.certifier, &allowed, request.get_ref())
            .await
            .map(Response::new)
    }

    type OpenStream = Outgoing;

    async fn open(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Outgoing>, Status> {
        let allowed = authorize(&peer_of(&request), OpenLink)?;
        let member = hello::Member {
            cluster: ClusterName(allowed.name().to_owned()),
            fingerprint: fingerprint_of(&request),
        };
        let (outbox, outgoing) = outbox();
        let place = self.openings.place(&member.cluster);
        let inbound = request.into_inner();
        tokio::spawn(session::run(self.clone(), member, inbound, (outbox, place)));
        Ok(Response::new(outgoing))
    }
}
