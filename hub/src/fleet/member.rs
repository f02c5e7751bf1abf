//! A cluster's labels, name, identity, and its end as a member (gate.md L4). In: a person's word from an administrator. Out: one
//! committed change. It must not look at releases: their plans say what becomes of targets.

use hub_engine::ClusterName;
use hub_engine::name::Person;
use hub_store::Store;
use hub_store::membership::{Change, NewMembership};
use proto::v1::{ChangeMemberRequest, ChangeMemberResponse, change_member_request as wire};
use tonic::Status;

use crate::fleet::MAX_REASON;
use crate::identity::{Authorized, ChangeMember, check_cluster};
use crate::status;

/// A UID is 36 bytes.
const MAX_UID: usize = 128;
/// The longest label key that Kubernetes takes has 317 bytes, the longest value 63.
const MAX_LABEL: usize = 317;
/// More labels than this is a typing error.
const MAX_LABELS: usize = 64;

/// Changes it.
pub async fn run(
    store: &Store,
    allowed: &Authorized<ChangeMember>,
    request: ChangeMemberRequest,
) -> Result<ChangeMemberResponse, Status> {
    if request.reason.len() > MAX_REASON {
        return Err(Status::invalid_argument("a reason has at most 4096 bytes"));
    }
    let new = NewMembership {
        cluster: ClusterName(request.cluster),
        change: change(request.change)?,
        person: Person(allowed.name().to_owned()),
        reason: request.reason,
    };
    let done = store.membership(&new).await;
    let message = done.map_err(|error| status::of(&error))?;
    tracing::warn!(person = new.person.as_str(), cluster = %new.cluster, "{message}");
    Ok(ChangeMemberResponse { message })
}

fn change(change: Option<wire::Change>) -> Result<Change, Status> {
    let wrong = |message: String| Err(Status::invalid_argument(message));
    match change {
        None => wrong("this hub does not know that change; upgrade it".to_owned()),
        Some(wire::Change::Leave(_)) => Ok(Change::Leave),
        Some(wire::Change::RebindUid(uid)) if uid.is_empty() || uid.len() > MAX_UID => wrong(
            "say the UID of the namespace kube-system of the cluster that takes its place"
                .to_owned(),
        ),
        Some(wire::Change::RebindUid(uid)) => Ok(Change::Rebind { uid }),
        Some(wire::Change::RenameTo(to)) => match check_cluster(&to) {
            Ok(()) => Ok(Change::Rename {
                to: ClusterName(to),
            }),
            Err(error) => wrong(error.to_string()),
        },
        Some(wire::Change::Relabel(labels)) => {
            let keys = labels.set.keys().chain(&labels.unset);
            let bad = keys
                .clone()
                .find(|key| key.is_empty() || key.len() > MAX_LABEL);
            if let Some(key) = bad {
                return wrong(format!("{key:?} is no label's key"));
            }
            if keys.count() > MAX_LABELS || labels.set.values().any(|value| value.len() > MAX_LABEL)
            {
                return wrong("these are more or longer labels than a cluster has".to_owned());
            }
            Ok(Change::Relabel {
                set: labels.set.into_iter().collect(),
                unset: labels.unset,
            })
        }
    }
}
