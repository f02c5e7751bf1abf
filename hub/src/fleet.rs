//! The people's service. In: requests with the peer's identity. Out: answers of the files beside this one. It must not do
//! anything itself: each handler asks `authorize` and hands the proof on.

pub mod act;
pub mod apply;
pub mod approve;
pub mod audit;
pub mod check;
pub mod delete;
pub mod member;
pub mod plan;
pub mod read;
pub mod recover;
pub mod revoke;
pub mod start;
pub mod stop;
pub mod token;
pub mod ungovern;

use std::sync::Arc;

use hub_engine::ReleaseId;
use hub_store::Store;
use proto::v1::fleet_server::Fleet as FleetService;
use proto::v1::{
    ActRequest, ActResponse, ApplyRequest, ApplyResponse, ApproveRequest, ApproveResponse,
    ChangeMemberRequest, ChangeMemberResponse, CheckHubRequest, CheckHubResponse,
    CreateTokenRequest, CreateTokenResponse, DeleteDocumentRequest, DeleteDocumentResponse,
    GetAuditRequest, GetAuditResponse, GetReleaseRequest, ListClustersRequest,
    ListClustersResponse, ListFleetRolloutsRequest, ListFleetRolloutsResponse, ListHistoryRequest,
    ListHistoryResponse, ListRefusalsRequest, ListRefusalsResponse, ListReleasesRequest,
    ListReleasesResponse, PlanRequest, PlanResponse, RecoverHubRequest, RecoverHubResponse,
    Release, RevokeClusterRequest, RevokeClusterResponse, StartReleaseRequest,
    StartReleaseResponse, StopRequest, StopResponse, UngovernRequest, UngovernResponse,
};
use tonic::{Request, Response, Status};

use crate::acceptor::peer_of;
use crate::authority::Authority;
use crate::hints::Hints;
use crate::identity::{
    Act, Action, Apply, Authorized, ChangeMember, Denied, MakeToken, Peer, Read, Recover, Revoke,
    StartRelease, Stop, Ungovern, authorize,
};

/// A reason is a few sentences.
const MAX_REASON: usize = 4096;

/// What every call works with.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// Where everything is.
    pub store: Store,
    /// For the pin in join tokens.
    pub authority: Arc<Authority>,
    /// Wakes whoever waits for a decision.
    pub hints: Hints,
}

impl Fleet {
    /// Asks the one function; a refusal is recorded (S22): who tried what.
    async fn allow<A: Action>(&self, peer: &Peer, action: A) -> Result<Authorized<A>, Status> {
        match authorize(peer, action) {
            Ok(allowed) => Ok(allowed),
            Err(denied) => {
                self.record(peer, &denied).await;
                Err(denied.into())
            }
        }
    }
}

impl Fleet {
    /// Not for strangers, of whom nobody knows anything. The store says it in the log, too.
    async fn record(&self, peer: &Peer, denied: &Denied) {
        match peer {
            Peer::Anonymous => tracing::debug!("{denied}"),
            Peer::Person { .. } | Peer::Cluster(_) => {
                let who = peer.actor();
                if let Err(error) = self
                    .store
                    .refusal_add("Denied", &who, &denied.to_string())
                    .await
                {
                    tracing::warn!(%error, "a refusal was not recorded");
                }
            }
        }
    }
}

/// The name of a release out of a request.
fn release_id(text: &str) -> Result<ReleaseId, Status> {
    text.parse::<ReleaseId>()
        .map_err(|error| Status::invalid_argument(error.to_string()))
}

#[tonic::async_trait]
impl FleetService for Fleet {
    async fn apply(
        &self,
        request: Request<ApplyRequest>,
    ) -> Result<Response<ApplyResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Apply).await?;
        apply::run(&self.store, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn list_clusters(
        &self,
        request: Request<ListClustersRequest>,
    ) -> Result<Response<ListClustersResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Read).await?;
        read::clusters(&self.store, &allowed)
            .await
            .map(Response::new)
    }

    async fn list_fleet_rollouts(
        &self,
        request: Request<ListFleetRolloutsRequest>,
    ) -> Result<Response<ListFleetRolloutsResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Read).await?;
        read::fleet_rollouts(&self.store, &allowed)
            .await
            .map(Response::new)
    }

    async fn list_releases(
        &self,
        request: Request<ListReleasesRequest>,
    ) -> Result<Response<ListReleasesResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Read).await?;
        read::releases(&self.store, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn get_release(
        &self,
        request: Request<GetReleaseRequest>,
    ) -> Result<Response<Release>, Status> {
        let allowed = self.allow(&peer_of(&request), Read).await?;
        read::release(&self.store, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn approve(
        &self,
        request: Request<ApproveRequest>,
    ) -> Result<Response<ApproveResponse>, Status> {
        let peer = peer_of(&request);
        approve::run(self, &peer, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn list_history(
        &self,
        request: Request<ListHistoryRequest>,
    ) -> Result<Response<ListHistoryResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Read).await?;
        read::history(&self.store, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn get_audit(
        &self,
        request: Request<GetAuditRequest>,
    ) -> Result<Response<GetAuditResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Read).await?;
        audit::heads(&self.store, &self.authority, &allowed)
            .await
            .map(Response::new)
    }

    async fn list_refusals(
        &self,
        request: Request<ListRefusalsRequest>,
    ) -> Result<Response<ListRefusalsResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Read).await?;
        audit::refusals(&self.store, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn recover_hub(
        &self,
        request: Request<RecoverHubRequest>,
    ) -> Result<Response<RecoverHubResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Recover).await?;
        recover::run(self, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn check_hub(
        &self,
        request: Request<CheckHubRequest>,
    ) -> Result<Response<CheckHubResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Read).await?;
        check::run(&self.store, &allowed).await.map(Response::new)
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), MakeToken).await?;
        token::run(&self.store, &self.authority, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn revoke_cluster(
        &self,
        request: Request<RevokeClusterRequest>,
    ) -> Result<Response<RevokeClusterResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Revoke).await?;
        revoke::run(&self.store, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn start_release(
        &self,
        request: Request<StartReleaseRequest>,
    ) -> Result<Response<StartReleaseResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), StartRelease).await?;
        start::run(self, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn plan(&self, request: Request<PlanRequest>) -> Result<Response<PlanResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Read).await?;
        plan::run(&self.store, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn act(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Act).await?;
        act::run(self, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Stop).await?;
        stop::run(&self.store, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn change_member(
        &self,
        request: Request<ChangeMemberRequest>,
    ) -> Result<Response<ChangeMemberResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), ChangeMember).await?;
        member::run(&self.store, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn ungovern(
        &self,
        request: Request<UngovernRequest>,
    ) -> Result<Response<UngovernResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Ungovern).await?;
        ungovern::run(self, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn delete_document(
        &self,
        request: Request<DeleteDocumentRequest>,
    ) -> Result<Response<DeleteDocumentResponse>, Status> {
        let allowed = self.allow(&peer_of(&request), Apply).await?;
        delete::run(&self.store, &allowed, request.into_inner())
            .await
            .map(Response::new)
    }
}
