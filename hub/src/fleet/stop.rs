//! Stops and their end (gate.md G30). In: what and why, from an administrator. Out: one committed row. It must not wait for
//! agents: the deciding hub tells them.

use hub_engine::FleetRolloutName;
use hub_engine::name::Person;
use hub_store::Store;
use hub_store::stop::NewStop;
use proto::v1::{StopRequest, StopResponse};
use tonic::Status;

use crate::fleet::act::checked;
use crate::identity::{Authorized, Stop};
use crate::status;

/// Stops, or lets go.
pub async fn run(
    store: &Store,
    allowed: &Authorized<Stop>,
    request: StopRequest,
) -> Result<StopResponse, Status> {
    checked(&request.reason, &request.key)?;
    if request.all != request.fleet_rollout.is_empty() {
        return Err(Status::invalid_argument(
            "say either which FleetRollout, or that all are meant",
        ));
    }
    let new = NewStop {
        fleet_rollout: (!request.all).then_some(FleetRolloutName(request.fleet_rollout)),
        lift: request.lift,
        person: Person(allowed.name().to_owned()),
        reason: request.reason,
        key: request.key,
    };
    let message = store.stop(&new).await.map_err(|error| status::of(&error))?;
    tracing::warn!(person = new.person.as_str(), "{message}");
    Ok(StopResponse { message })
}
