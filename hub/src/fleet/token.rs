//! Making join tokens. In: a cluster's name and labels from an administrator. Out: a token, shown once. It must not store
//! its secret.

use hub_engine::ClusterName;
use hub_engine::name::Person;
use hub_store::Store;
use hub_store::join::NewToken;
use proto::v1::{CreateTokenRequest, CreateTokenResponse};
use tonic::Status;

use crate::authority::Authority;
use crate::identity::{Authorized, MakeToken, check_cluster};
use crate::join::{Parts, secret_hash};
use crate::status;

/// Labels of one cluster.
const MAX_LABELS: usize = 64;
/// As for Kubernetes labels, with a prefix.
const MAX_LABEL: usize = 317;

/// Makes one.
pub async fn run(
    store: &Store,
    authority: &Authority,
    allowed: &Authorized<MakeToken>,
    request: CreateTokenRequest,
) -> Result<CreateTokenResponse, Status> {
    check_cluster(&request.cluster).map_err(|error| Status::invalid_argument(error.to_string()))?;
    if request.labels.len() > MAX_LABELS {
        return Err(Status::invalid_argument("a cluster has at most 64 labels"));
    }
    for (key, value) in &request.labels {
        if key.is_empty()
            || key.len() > MAX_LABEL
            || value.len() > MAX_LABEL
            || value.contains('\0')
        {
            return Err(Status::invalid_argument(format!(
                "label {key:?} is not usable; write key=value"
            )));
        }
    }
    let parts = Parts::random().map_err(|error| Status::internal(error.to_string()))?;
    let token = NewToken {
        id: parts.id.clone(),
        secret_hash: secret_hash(&parts.secret),
        cluster: ClusterName(request.cluster),
        labels: request.labels,
        valid_seconds: request.valid_seconds,
        person: Person(allowed.name().to_owned()),
    };
    let expires = store
        .token_create(&token)
        .await
        .map_err(|error| status::of(&error))?;
    Ok(CreateTokenResponse {
        token: parts.token(authority),
        expires_at: Some(proto::time::to_wire(expires)),
    })
}
