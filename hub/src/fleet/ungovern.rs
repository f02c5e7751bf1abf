//! The explicit end of governance (gate.md G9). In: which FleetRollout, where and how, from an administrator. Out: the deciding
//! hub's answer. It must not touch a set itself: that is fenced.

use hub_engine::member::LetGo;
use hub_engine::name::Person;
use hub_engine::verb::Verb;
use hub_engine::{ClusterName, FleetRolloutName};
use hub_store::request::{NewRequest, Requested};
use proto::v1::{UngovernRequest, UngovernResponse, ungovern_request::Mode};
use tonic::Status;

use crate::fleet::Fleet;
use crate::fleet::act::decided;
use crate::identity::{Authorized, Ungovern};

/// Stores the word and waits for what becomes of it.
pub async fn run(
    fleet: &Fleet,
    allowed: &Authorized<Ungovern>,
    request: UngovernRequest,
) -> Result<UngovernResponse, Status> {
    let cluster = (!request.cluster.is_empty()).then(|| ClusterName(request.cluster.clone()));
    let verb = match request.mode() {
        Mode::Unspecified => {
            return Err(Status::invalid_argument(
                "say what becomes of held content: --keep-serving or --release-held",
            ));
        }
        Mode::KeepServing => Verb::Ungovern {
            cluster,
            mode: LetGo::KeepServing,
        },
        Mode::ReleaseHeld => Verb::Ungovern {
            cluster,
            mode: LetGo::ReleaseHeld,
        },
        Mode::Govern => Verb::Govern { cluster },
    };
    let new = NewRequest {
        fleet_rollout: FleetRolloutName(request.fleet_rollout),
        release: None,
        verb,
        person: Person(allowed.name().to_owned()),
        reason: request.reason,
        key: request.key,
    };
    match decided(fleet, &new).await? {
        Requested::Obeyed(message) => Ok(UngovernResponse { message }),
        Requested::Opened(release) => Ok(UngovernResponse {
            message: format!("{release} is open"),
        }),
        Requested::Refused(why) => Err(Status::failed_precondition(why)),
        Requested::Undecided => Err(Status::unavailable(format!(
            "the word is stored, but no hub has decided on it yet; see `groundswell history` for {}",
            new.fleet_rollout
        ))),
    }
}
