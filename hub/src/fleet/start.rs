//! Opening a release by a person's word. In: a FleetRollout and a reason from an administrator. Out: the release that the
//! deciding hub made of it, or why it made none. It must not open one itself.

use hub_engine::FleetRolloutName;
use hub_engine::name::Person;
use hub_engine::verb::Verb;
use hub_store::request::{NewRequest, Requested};
use proto::v1::{StartReleaseRequest, StartReleaseResponse};
use tonic::Status;

use crate::fleet::Fleet;
use crate::fleet::act::decided;
use crate::identity::{Authorized, StartRelease};

/// Stores the request and waits for what becomes of it.
pub async fn run(
    fleet: &Fleet,
    allowed: &Authorized<StartRelease>,
    request: StartReleaseRequest,
) -> Result<StartReleaseResponse, Status> {
    let name = FleetRolloutName(request.fleet_rollout);
    let new = NewRequest {
        fleet_rollout: name.clone(),
        release: None,
        verb: Verb::Start {
            expedite: request.expedite,
        },
        person: Person(allowed.name().to_owned()),
        reason: request.reason,
        key: request.key,
    };
    match decided(fleet, &new).await? {
        Requested::Opened(release) => {
            let message = format!("{release} is open");
            Ok(StartReleaseResponse {
                release: release.to_string(),
                message,
            })
        }
        Requested::Obeyed(message) => Ok(StartReleaseResponse {
            release: String::new(),
            message,
        }),
        Requested::Refused(why) => Err(Status::failed_precondition(why)),
        Requested::Undecided => Err(Status::unavailable(format!(
            "the request is stored, but no hub has decided on it yet; see `groundswell get releases --fleetrollout {name}`"
        ))),
    }
}
