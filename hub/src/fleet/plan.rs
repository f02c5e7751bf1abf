//! What a release would do. In: a FleetRollout's name, or documents that nobody has stored. Out: waves, clusters, windows
//! and an estimate of when. It must not store anything.

use hub_engine::FleetRolloutName;
use hub_store::Store;
use proto::v1::{PlanRequest, PlanResponse};
use tonic::Status;

use crate::identity::{Authorized, Read};
use crate::{status, wire};

/// Plans of so many documents in one answer.
const DOCUMENTS_MAX: usize = 20;

/// Reads, estimates, answers.
pub async fn run(
    store: &Store,
    _allowed: &Authorized<Read>,
    request: PlanRequest,
) -> Result<PlanResponse, Status> {
    if request.document.is_empty() {
        let name = FleetRolloutName(request.fleet_rollout);
        let found = store
            .preview(&name)
            .await
            .map_err(|error| status::of(&error))?;
        let Some(found) = found else {
            return Err(Status::not_found(format!(
                "there is no FleetRollout {name}; `groundswell get fleetrollouts` lists them"
            )));
        };
        return Ok(PlanResponse {
            plans: vec![wire::fleet::preview(found)],
            problems: Vec::new(),
        });
    }
    let file = match hub_engine::parse_file(&request.document) {
        Ok(file) => file,
        Err(problems) => {
            return Ok(PlanResponse {
                plans: Vec::new(),
                problems: problems.into_iter().map(wire::fleet::problem).collect(),
            });
        }
    };
    if file.documents.len() > DOCUMENTS_MAX {
        return Err(Status::invalid_argument(format!(
            "the file has {} FleetRollouts; plan {DOCUMENTS_MAX} at once at most",
            file.documents.len()
        )));
    }
    let mut plans = Vec::new();
    for document in &file.documents {
        let found = store
            .preview_of(&document.fleet_rollout)
            .await
            .map_err(|error| status::of(&error))?;
        plans.push(wire::fleet::preview(found));
    }
    Ok(PlanResponse {
        plans,
        problems: Vec::new(),
    })
}
