//! After a restored database (gate.md L5). In: a reason from an administrator. Out: a higher incarnation, and deciding goes
//! on. It must not look at what was lost: agents tell it.

use hub_engine::name::Person;
use proto::v1::{RecoverHubRequest, RecoverHubResponse};
use tonic::Status;

use crate::fleet::{Fleet, MAX_REASON};
use crate::identity::{Authorized, Recover};
use crate::status;

/// Recovers, with a signed row in the history.
pub async fn run(
    fleet: &Fleet,
    allowed: &Authorized<Recover>,
    request: RecoverHubRequest,
) -> Result<RecoverHubResponse, Status> {
    if request.reason.trim().is_empty() || request.reason.len() > MAX_REASON {
        return Err(Status::invalid_argument(
            "the hub recovers with a reason of 1 to 4096 bytes",
        ));
    }
    let person = Person(allowed.name().to_owned());
    let sign = |text: &str| fleet.authority.sign_recovery(text);
    let incarnation = fleet
        .store
        .recover(&person, &request.reason, &sign)
        .await
        .map_err(|error| status::of(&error))?;
    let person = person.as_str();
    tracing::warn!(incarnation, person, reason = %request.reason, "recovered after a restored database");
    // Deciding waits for it no more than for any change.
    let store = fleet.store.clone();
    tokio::spawn(async move {
        match store.renumber().await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "rows from another server have numbers of this one"),
            Err(error) => {
                tracing::warn!(%error, "rows from another server keep their numbers: decisions take longer")
            }
        }
    });
    let message = format!(
        "deciding goes on in incarnation {incarnation}; every agent gets its whole set again, and what was decided after the \
         backup is lost: look at `groundswell get clusters` and `groundswell get releases`"
    );
    Ok(RecoverHubResponse { message })
}
