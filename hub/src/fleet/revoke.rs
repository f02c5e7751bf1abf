//! Denying a cluster's certificates. In: its name and a reason from an administrator. Out: nothing that it shows is good any
//! more, until it joins again. It must not touch what runs in the cluster.

use hub_engine::ClusterName;
use hub_engine::name::Person;
use hub_store::Store;
use proto::v1::{RevokeClusterRequest, RevokeClusterResponse};
use tonic::Status;

use crate::fleet::MAX_REASON;
use crate::identity::{Authorized, Revoke};
use crate::status;

/// Denies them, and ends the cluster's session.
pub async fn run(
    store: &Store,
    allowed: &Authorized<Revoke>,
    request: RevokeClusterRequest,
) -> Result<RevokeClusterResponse, Status> {
    if request.reason.trim().is_empty() || request.reason.len() > MAX_REASON {
        return Err(Status::invalid_argument(
            "certificates are revoked with a reason of 1 to 4096 bytes",
        ));
    }
    let cluster = ClusterName(request.cluster);
    let person = Person(allowed.name().to_owned());
    store
        .revoke(&cluster, &person, &request.reason)
        .await
        .map_err(|error| status::of(&error))?;
    tracing::warn!(%cluster, person = person.as_str(), "certificates revoked");
    let message = format!(
        "no certificate of {cluster} is good any more; what it serves it goes on serving, and it can join again with \
         `groundswell cluster token {cluster}`"
    );
    Ok(RevokeClusterResponse { message })
}
