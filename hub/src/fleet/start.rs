//! Opening a release by a person's word. In: a FleetRollout and a reason from an administrator. Out: the release that the
//! deciding hub made of it, or why it made none. It must not open one itself.

use std::time::Duration;

use hub_engine::FleetRolloutName;
use hub_engine::name::Person;
use hub_store::request::Requested;
use proto::v1::{StartReleaseRequest, StartReleaseResponse};
use tokio::time::{Instant, timeout};
use tonic::Status;

use crate::fleet::Fleet;
use crate::identity::{Authorized, StartRelease};
use crate::status;

/// A hub that just took over decides within its lease; clients wait 30 s.
const PATIENCE: Duration = Duration::from_secs(15);
/// Beside the hints.
const POLL: Duration = Duration::from_millis(250);
/// A reason is a few sentences.
const MAX_REASON: usize = 4096;

/// Stores the request and waits for what becomes of it.
pub async fn run(
    fleet: &Fleet,
    allowed: &Authorized<StartRelease>,
    request: StartReleaseRequest,
) -> Result<StartReleaseResponse, Status> {
    if request.reason.trim().is_empty() || request.reason.len() > MAX_REASON {
        return Err(Status::invalid_argument(
            "a release is started with a reason of 1 to 4096 bytes",
        ));
    }
    let name = FleetRolloutName(request.fleet_rollout);
    let person = Person(allowed.name().to_owned());
    let asked = fleet
        .store
        .request_add(&name, &person, &request.reason)
        .await;
    let id = asked.map_err(|error| status::of(&error))?;
    let mut hints = fleet.hints.clone();
    let end = Instant::now() + PATIENCE;
    loop {
        match fleet
            .store
            .request_get(id)
            .await
            .map_err(|error| status::of(&error))?
        {
            Requested::Opened(release) => {
                let message = format!("{release} is open");
                return Ok(StartReleaseResponse {
                    release: release.to_string(),
                    message,
                });
            }
            Requested::Refused(why) => return Err(Status::failed_precondition(why)),
            Requested::Undecided if Instant::now() >= end => {
                return Err(Status::unavailable(format!(
                    "the request is stored, but no hub has decided on it yet; see `groundswell get releases --fleetrollout {name}`"
                )));
            }
            Requested::Undecided => {
                // A hint or the poll, whichever comes first.
                let _ = timeout(POLL, hints.changed()).await;
            }
        }
    }
}
