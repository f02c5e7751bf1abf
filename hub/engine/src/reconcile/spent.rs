//! Permits that have come to their end (gate.md G17). In: the state after every other step. Out: sets without them, so that
//! a Gate which is rebuilt from its set starts nothing again. It must not touch a permit whose outcome is not recorded yet,
//! nor one that leads back: that one stands while Git still says what was taken back (G22).

use serde_json::json;

use super::flight::outcome_of;
use super::planner::Planner;
use crate::action::Action;
use crate::observed::{Cluster, Observed, Outcome};
use crate::planted::Planted;
use crate::release::{Direction, Permit};

/// The permit in a cluster's set that has ended, and as what.
pub(crate) fn ended<'a>(
    state: &Observed,
    cluster: &'a Cluster,
) -> Option<(&'a Permit, &'a Outcome)> {
    let permit = cluster.gate.as_ref()?.permit.as_ref()?;
    let outcome = outcome_of(cluster, permit)?;
    let release = state.release(permit.release.number)?;
    let recorded = !release.target(&cluster.name)?.state.in_flight();
    let forward = permit.direction == Direction::Forward;
    (forward && recorded).then_some((permit, outcome))
}

pub(super) fn permits(planner: &mut Planner) {
    if planner.bug.is(Planted::SpentStays) {
        return;
    }
    for cluster in planner.state.clusters.clone() {
        if let Some((permit, outcome)) = ended(&planner.state, &cluster) {
            let action = Action::RevokePermit {
                release: permit.release.number,
                cluster: cluster.name.clone(),
                why: format!("it has ended {:?}", outcome.result),
            };
            planner.act(action, json!({"outcome": outcome, "fence": permit.fence}));
        }
    }
}
