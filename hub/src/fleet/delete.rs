//! Deleting documents. In: kind, name and reason from an administrator. Out: one recorded deletion, or why it is refused. It
//! must not free anything: a FleetRollout that governs something is not deleted (gate.md G9).

use hub_engine::document::{KIND, WINDOW_KIND};
use hub_engine::name::Person;
use hub_store::Store;
use proto::v1::{DeleteDocumentRequest, DeleteDocumentResponse};
use tonic::Status;

use crate::fleet::act::checked;
use crate::identity::{Apply, Authorized};
use crate::status;

/// Deletes it.
pub async fn run(
    store: &Store,
    allowed: &Authorized<Apply>,
    request: DeleteDocumentRequest,
) -> Result<DeleteDocumentResponse, Status> {
    checked(&request.reason, "")?;
    let (person, reason) = (Person(allowed.name().to_owned()), &request.reason);
    let done = match request.kind.as_str() {
        KIND => {
            store
                .fleet_rollout_delete(&request.name.into(), &person, reason)
                .await
        }
        WINDOW_KIND => {
            store
                .fleet_window_delete(&request.name, &person, reason)
                .await
        }
        other => {
            return Err(Status::invalid_argument(format!(
                "{other:?} is no kind of document; say {KIND} or {WINDOW_KIND}"
            )));
        }
    };
    let message = done.map_err(|error| status::of(&error))?;
    tracing::warn!(person = person.as_str(), "{message}");
    Ok(DeleteDocumentResponse { message })
}
