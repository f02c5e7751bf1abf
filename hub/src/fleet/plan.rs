//! What a release would do. In: a FleetRollout's name, or documents that nobody has stored. Out: waves, clusters, windows
//! and an estimate of when. It must not store anything.

use hub_engine::FleetRolloutName;
use hub_store::Store;
use hub_store::preview::Previewed;
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
    if request.document.is_empty() && !request.fleet_rollout.is_empty() {
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
    let problems = |problems: Vec<hub_engine::Problem>| PlanResponse {
        plans: Vec::new(),
        problems: problems.into_iter().map(wire::fleet::problem).collect(),
    };
    let file = match hub_engine::parse_file(&request.document) {
        Ok(file) => file,
        Err(found) => return Ok(problems(found)),
    };
    if file.documents.len() > DOCUMENTS_MAX {
        return Err(Status::invalid_argument(format!(
            "the file has {} FleetRollouts; plan {DOCUMENTS_MAX} at once at most",
            file.documents.len()
        )));
    }
    let previewed = store.preview_of(&file).await;
    match previewed.map_err(|error| status::of(&error))? {
        Previewed::Problems(found) => Ok(problems(found)),
        Previewed::Plans(_) if file.documents.is_empty() => Err(Status::invalid_argument(
            "the file has FleetWindows only, and a plan is a FleetRollout's; put the FleetRollout beside them, or check them \
             alone with `groundswell apply --dry-run -f FILE`",
        )),
        Previewed::Plans(plans) => Ok(PlanResponse {
            plans: plans.into_iter().map(wire::fleet::preview).collect(),
            problems: Vec::new(),
        }),
    }
}
