//! Reading the fleet. In: what to look at. Out: what is committed. It must not answer "nothing" when it does not know: an
//! error of the store is an error here.

use hub_engine::FleetRolloutName;
use hub_store::history::Filter;
use hub_store::{Error, Store};
use proto::v1::{
    GetReleaseRequest, ListClustersResponse, ListFleetRolloutsResponse, ListHistoryRequest,
    ListHistoryResponse, ListReleasesRequest, ListReleasesResponse, Reason, Release,
};
use tonic::Status;

use crate::fleet::release_id;
use crate::identity::{Authorized, Read};
use crate::{status, wire};

/// Releases in one answer: an answer stays below the 4 MiB that clients take.
const RELEASES_MAX: u32 = 100;
/// Rows of the history in one answer, and how many come when nobody says.
const HISTORY_MAX: u32 = 1000;
const HISTORY_DEFAULT: u32 = 500;

fn refused(error: Error) -> Status {
    status::of(&error)
}

/// Every cluster.
pub async fn clusters(
    store: &Store,
    _allowed: &Authorized<Read>,
) -> Result<ListClustersResponse, Status> {
    let rows = store.cluster_list().await.map_err(refused)?;
    Ok(ListClustersResponse {
        clusters: rows.into_iter().map(wire::fleet::cluster).collect(),
    })
}

/// Every FleetRollout.
pub async fn fleet_rollouts(
    store: &Store,
    _allowed: &Authorized<Read>,
) -> Result<ListFleetRolloutsResponse, Status> {
    let rows = store.fleet_rollout_list().await.map_err(refused)?;
    let stops = store.stop_list().await.map_err(refused)?;
    let barred = store.barred_list().await.map_err(refused)?;
    let one = |row: hub_store::fleet_rollout::FleetRolloutRow| {
        let name = row.fleet_rollout.name.clone();
        let own = barred
            .iter()
            .filter(|(release, _)| release.fleet_rollout == name);
        let own = own.map(|(release, digest)| proto::v1::Barred {
            digest: digest.0.clone(),
            release: release.to_string(),
        });
        // One of the whole fleet comes first.
        let stop = stops
            .iter()
            .find(|(own, _)| own.as_ref().is_none_or(|own| *own == name));
        proto::v1::FleetRollout {
            stopped: stop.map(|(_, stop)| stop.message()).unwrap_or_default(),
            barred: own.collect(),
            ..wire::fleet::fleet_rollout(row)
        }
    };
    Ok(ListFleetRolloutsResponse {
        fleet_rollouts: rows.into_iter().map(one).collect(),
    })
}

/// The newest releases, of one FleetRollout or of all.
pub async fn releases(
    store: &Store,
    _allowed: &Authorized<Read>,
    request: ListReleasesRequest,
) -> Result<ListReleasesResponse, Status> {
    let name = FleetRolloutName(request.fleet_rollout);
    let of = if name.as_str().is_empty() {
        None
    } else {
        Some(&name)
    };
    let rows = store
        .release_list(of, RELEASES_MAX)
        .await
        .map_err(refused)?;
    Ok(ListReleasesResponse {
        releases: rows.iter().map(wire::fleet::release).collect(),
    })
}

/// One release.
pub async fn release(
    store: &Store,
    _allowed: &Authorized<Read>,
    request: GetReleaseRequest,
) -> Result<Release, Status> {
    let row = store
        .release_get(&release_id(&request.release)?)
        .await
        .map_err(refused)?;
    let mut release = wire::fleet::release(&row);
    // While nothing is decided, that is the first thing to know (gate.md L5).
    if let Some(message) = store.held().await.map_err(refused)? {
        let reason = Reason {
            code: "HubHolds".to_owned(),
            message,
            next: "groundswell get clusters".to_owned(),
        };
        release.reasons.insert(0, reason);
    }
    Ok(release)
}

/// A page of the history.
pub async fn history(
    store: &Store,
    _allowed: &Authorized<Read>,
    request: ListHistoryRequest,
) -> Result<ListHistoryResponse, Status> {
    if !request.release.is_empty() {
        release_id(&request.release)?;
    }
    let limit = if request.limit == 0 {
        HISTORY_DEFAULT
    } else {
        request.limit.min(HISTORY_MAX)
    };
    let filter = Filter {
        since: request.since.as_ref().and_then(proto::time::from_wire),
        until: request.until.as_ref().and_then(proto::time::from_wire),
        release: request.release,
        cluster: request.cluster,
        actor: request.actor,
        kind: request.kind,
    };
    let rows = store
        .history_find(&filter, request.after, limit)
        .await
        .map_err(refused)?;
    Ok(ListHistoryResponse {
        rows: rows.into_iter().map(wire::fleet::history).collect(),
    })
}
