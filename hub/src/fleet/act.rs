//! A person's word about a release. In: a verb, a release and a reason from an administrator. Out: the deciding hub's answer.
//! It must not obey it itself.

use std::time::Duration;

use hub_engine::ClusterName;
use hub_engine::name::Person;
use hub_engine::verb::{Scope, Verb};
use hub_store::request::{NewRequest, Requested};
use proto::v1::{ActRequest, ActResponse, act_request};
use tokio::time::{Instant, timeout};
use tonic::Status;

use crate::fleet::{Fleet, MAX_REASON, release_id};
use crate::identity::{Act, Authorized};
use crate::status;

/// A hub that just took over decides within its lease; clients wait 30 s.
const PATIENCE: Duration = Duration::from_secs(15);
/// Beside the hints.
const POLL: Duration = Duration::from_millis(250);
/// A key is as long as a UUID or a digest.
const MAX_KEY: usize = 128;

/// Stores the word and waits for what becomes of it.
pub async fn run(
    fleet: &Fleet,
    allowed: &Authorized<Act>,
    request: ActRequest,
) -> Result<ActResponse, Status> {
    let id = release_id(&request.release)?;
    let new = NewRequest {
        fleet_rollout: id.fleet_rollout.clone(),
        release: Some(id.number),
        verb: verb(&request)?,
        person: Person(allowed.name().to_owned()),
        reason: request.reason,
        key: request.key,
    };
    match decided(fleet, &new).await? {
        Requested::Obeyed(message) => Ok(ActResponse { message }),
        Requested::Opened(release) => Ok(ActResponse {
            message: format!("{release} is open"),
        }),
        Requested::Refused(why) => Err(Status::failed_precondition(why)),
        Requested::Undecided => Err(Status::unavailable(format!(
            "the word is stored, but no hub has decided on it yet; see `groundswell history {id}`"
        ))),
    }
}

fn verb(request: &ActRequest) -> Result<Verb, Status> {
    let wrong = |message: &str| Err(Status::invalid_argument(message));
    let cluster = || {
        if request.cluster.is_empty() {
            return Err(Status::invalid_argument("say which cluster"));
        }
        Ok(ClusterName(request.cluster.clone()))
    };
    let wave = (!request.wave.is_empty()).then(|| request.wave.clone());
    let scope = match request.scope() {
        act_request::Scope::Unspecified => None,
        act_request::Scope::Touched => Some(Scope::Touched),
        act_request::Scope::Unfinished => Some(Scope::Unfinished),
    };
    Ok(match request.verb() {
        act_request::Verb::Unspecified => {
            return wrong("this hub does not know that verb; upgrade it");
        }
        act_request::Verb::Pause => Verb::Pause,
        act_request::Verb::Resume => Verb::Resume,
        act_request::Verb::Abort => Verb::Abort { scope },
        act_request::Verb::Rollback => Verb::Rollback,
        act_request::Verb::Retry => Verb::Retry {
            cluster: cluster()?,
        },
        act_request::Verb::Skip => match wave {
            Some(_) if !request.cluster.is_empty() => {
                return wrong("skip either a cluster or a wave");
            }
            Some(wave) => Verb::SkipWave { wave },
            None => Verb::SkipTarget {
                cluster: cluster()?,
            },
        },
        act_request::Verb::Promote => Verb::Promote { wave },
        act_request::Verb::Expedite => Verb::Expedite,
    })
}

/// Stores a person's request and waits for the deciding hub; undecided when that takes too long.
pub(super) async fn decided(fleet: &Fleet, new: &NewRequest) -> Result<Requested, Status> {
    checked(&new.reason, &new.key)?;
    let asked = fleet.store.request_add(new).await;
    let id = asked.map_err(|error| status::of(&error))?;
    let mut hints = fleet.hints.clone();
    let end = Instant::now() + PATIENCE;
    loop {
        let found = fleet.store.request_get(id).await;
        let found = found.map_err(|error| status::of(&error))?;
        if found != Requested::Undecided || Instant::now() >= end {
            return Ok(found);
        }
        // A hint or the poll, whichever comes first.
        let _ = timeout(POLL, hints.changed()).await;
    }
}

/// What every word of a person needs.
pub(super) fn checked(reason: &str, key: &str) -> Result<(), Status> {
    if reason.trim().is_empty() || reason.len() > MAX_REASON {
        return Err(Status::invalid_argument(
            "a person's word needs a reason of 1 to 4096 bytes",
        ));
    }
    if key.len() > MAX_KEY {
        return Err(Status::invalid_argument(
            "an idempotency key has at most 128 bytes",
        ));
    }
    Ok(())
}
