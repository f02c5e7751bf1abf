//! Storing FleetRollouts. In: a YAML file from an administrator. Out: what became of each document, or every problem. It
//! must not store a part of a file.

use hub_engine::name::Person;
use hub_store::Store;
use hub_store::fleet_rollout::Apply as Stored;
use proto::v1::{ApplyRequest, ApplyResponse};
use tonic::Status;

use crate::identity::{Apply, Authorized};
use crate::{status, wire};

/// A FleetRollout is a page; a thousand of them fit.
const MAX_FILE: usize = 1024 * 1024;

/// Reads, checks against the fleet, stores.
pub async fn run(
    store: &Store,
    allowed: &Authorized<Apply>,
    request: ApplyRequest,
) -> Result<ApplyResponse, Status> {
    if request.document.len() > MAX_FILE {
        return Err(Status::invalid_argument(
            "the file is longer than 1 MiB; apply it in parts",
        ));
    }
    let problems = |problems: Vec<hub_engine::Problem>| ApplyResponse {
        applied: Vec::new(),
        problems: problems.into_iter().map(wire::fleet::problem).collect(),
    };
    let file = match hub_engine::parse_file(&request.document) {
        Ok(file) => file,
        Err(found) => return Ok(problems(found)),
    };
    let person = Person(allowed.name().to_owned());
    let stored = store
        .fleet_rollout_apply(&file, &person, request.dry_run)
        .await;
    match stored.map_err(|error| status::of(&error))? {
        Stored::Problems(found) => Ok(problems(found)),
        Stored::Done(applied) => Ok(ApplyResponse {
            applied: applied.into_iter().map(wire::fleet::applied).collect(),
            problems: Vec::new(),
        }),
    }
}
