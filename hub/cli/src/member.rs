//! Words about members of the fleet: `cluster relabel`, `rename`, `rebind`, `remove`; `ungovern`, `govern`, `delete`. In:
//! arguments. Out: the hub's sentences. It must not decide whether a word makes sense.

use proto::v1::change_member_request::Change;
use proto::v1::ungovern_request::Mode;
use proto::v1::{
    ChangeMemberRequest, DeleteDocumentRequest, Leave, Relabel as Labels, UngovernRequest,
};

use crate::args::Look;
use crate::args::member::{
    Deletable, Delete, Govern, LabelChange, Rebind, Relabel, Remove, Rename, Ungovern,
};
use crate::args::word::Why;
use crate::client::Client;
use crate::failure::{Answer, Failure};
use crate::word::{key, lost, said};

/// What shows the outcome.
const CLUSTERS: &str = "groundswell get clusters";

async fn change(
    client: &mut Client,
    look: Look,
    cluster: &str,
    reason: &str,
    change: Change,
) -> Result<Answer, Failure> {
    let request = ChangeMemberRequest {
        cluster: cluster.to_owned(),
        reason: reason.to_owned(),
        change: Some(change),
    };
    let mut result = client.service().change_member(request.clone()).await;
    // The same word again changes nothing.
    if lost(&result) {
        result = client.service().change_member(request).await;
    }
    let message = client.answer(result)?.message;
    Ok(said(look, &message, CLUSTERS))
}

/// `cluster relabel`.
pub async fn relabel(client: &mut Client, look: Look, args: &Relabel) -> Result<Answer, Failure> {
    let mut labels = Labels::default();
    for one in &args.changes {
        match one {
            LabelChange::Set(key, value) => {
                labels.set.insert(key.clone(), value.clone());
            }
            LabelChange::Unset(key) => labels.unset.push(key.clone()),
        }
    }
    change(
        client,
        look,
        &args.name,
        &args.reason,
        Change::Relabel(labels),
    )
    .await
}

/// `cluster rename`.
pub async fn rename(client: &mut Client, look: Look, args: &Rename) -> Result<Answer, Failure> {
    let to = Change::RenameTo(args.to.clone());
    change(client, look, &args.name, &args.reason, to).await
}

/// `cluster rebind`.
pub async fn rebind(client: &mut Client, look: Look, args: &Rebind) -> Result<Answer, Failure> {
    let uid = Change::RebindUid(args.uid.clone());
    change(client, look, &args.name, &args.reason, uid).await
}

/// `cluster remove`.
pub async fn remove(client: &mut Client, look: Look, args: &Remove) -> Result<Answer, Failure> {
    change(
        client,
        look,
        &args.name,
        &args.reason,
        Change::Leave(Leave {}),
    )
    .await
}

/// `ungovern`.
pub async fn ungovern(client: &mut Client, look: Look, args: &Ungovern) -> Result<Answer, Failure> {
    let mode = if args.release_held {
        Mode::ReleaseHeld
    } else {
        Mode::KeepServing
    };
    let cluster = args.cluster.as_deref();
    governance(client, look, &args.fleet_rollout, cluster, mode, &args.why).await
}

/// `govern`.
pub async fn govern(client: &mut Client, look: Look, args: &Govern) -> Result<Answer, Failure> {
    let cluster = args.cluster.as_deref();
    governance(
        client,
        look,
        &args.fleet_rollout,
        cluster,
        Mode::Govern,
        &args.why,
    )
    .await
}

async fn governance(
    client: &mut Client,
    look: Look,
    fleet_rollout: &str,
    cluster: Option<&str>,
    mode: Mode,
    why: &Why,
) -> Result<Answer, Failure> {
    let request = UngovernRequest {
        fleet_rollout: fleet_rollout.to_owned(),
        cluster: cluster.unwrap_or_default().to_owned(),
        mode: mode.into(),
        reason: why.reason.clone(),
        key: key(why)?,
    };
    let mut result = client.service().ungovern(request.clone()).await;
    if lost(&result) {
        result = client.service().ungovern(request).await;
    }
    let message = client.answer(result)?.message;
    Ok(said(look, &message, CLUSTERS))
}

/// `delete`.
pub async fn delete(client: &mut Client, look: Look, args: &Delete) -> Result<Answer, Failure> {
    let kind = match args.kind {
        Deletable::Fleetrollout => "FleetRollout",
        Deletable::Fleetwindow => "FleetWindow",
    };
    let request = DeleteDocumentRequest {
        kind: kind.to_owned(),
        name: args.name.clone(),
        reason: args.reason.clone(),
    };
    let result = client.service().delete_document(request).await;
    let message = client.answer(result)?.message;
    Ok(said(look, &message, "groundswell get fleetrollouts"))
}
