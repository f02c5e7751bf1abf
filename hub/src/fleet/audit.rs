//! What the history is verified against. In: nothing. Out: ends of chains, what agents were handed, refused attempts. It must
//! not verify for the person: whoever asks does it, over the rows.

use hub_store::Store;
use proto::v1::{
    AuditAnchor, ChainHead, GetAuditResponse, ListRefusalsRequest, ListRefusalsResponse,
    RefusedAttempt,
};
use tonic::Status;

use crate::authority::Authority;
use crate::identity::{Authorized, Read};
use crate::status;

/// Refusals in one answer, and how many come when nobody says.
const REFUSALS_MAX: u32 = 1000;
const REFUSALS_DEFAULT: u32 = 100;

/// Ends of chains and anchors.
pub async fn heads(
    store: &Store,
    authority: &Authority,
    _allowed: &Authorized<Read>,
) -> Result<GetAuditResponse, Status> {
    let (heads, anchors) = store
        .history_heads()
        .await
        .map_err(|error| status::of(&error))?;
    let head = |head: hub_engine::chain::ChainHead| ChainHead {
        stream: head.stream,
        position: head.position,
        hash: head.hash,
    };
    let anchor = |(cluster, head): (hub_engine::ClusterName, String)| AuditAnchor {
        cluster: cluster.0,
        signed: authority.own_head(&head).is_some(),
        head,
    };
    Ok(GetAuditResponse {
        heads: heads.into_iter().map(head).collect(),
        anchors: anchors.into_iter().map(anchor).collect(),
    })
}

/// The newest first.
pub async fn refusals(
    store: &Store,
    _allowed: &Authorized<Read>,
    request: ListRefusalsRequest,
) -> Result<ListRefusalsResponse, Status> {
    let limit = match request.limit {
        0 => REFUSALS_DEFAULT,
        limit => limit.min(REFUSALS_MAX),
    };
    let rows = store
        .refusal_list(limit)
        .await
        .map_err(|error| status::of(&error))?;
    let refusal = |row: hub_store::refusal::Refusal| RefusedAttempt {
        at: Some(proto::time::to_wire(row.at)),
        kind: row.kind,
        who: row.who,
        message: row.message,
        again: row.again,
    };
    Ok(ListRefusalsResponse {
        refusals: rows.into_iter().map(refusal).collect(),
    })
}
