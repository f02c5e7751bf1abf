//! A FleetRollout that only observes (gate.md G13). In: what agents saw, what persons asked. Out: every change with what the
//! waves would have done about it, terms that gate nothing, and refusals. It must not open a release, grant a permit, or hold.

use serde_json::json;

use super::planner::Planner;
use super::{gates, membership, opening, spent, ungovern};
use crate::action::{Action, ChangeFate};
use crate::observed::{Change, Cluster, Observed, Waiting};
use crate::paper::{self, Paper};

/// Everything that is done for it.
pub(super) fn only(planner: &mut Planner) {
    for request in planner.state.requests.clone() {
        if ungovern::obey(planner, &request) {
            continue;
        }
        let evidence = json!({"verb": request.verb, "enforcement": "Observe"});
        let why = refusal(&planner.state);
        let request = request.id;
        planner.act(Action::RefuseRequest { request, why }, evidence);
    }
    for change in planner.state.changes.clone() {
        if opening::is_foreign(&planner.state, &change) {
            continue;
        }
        let fate = fate(&planner.state, &change);
        let digest = paper::plan(&planner.state).digest();
        let evidence = json!({"was": change.was, "now": change.now, "plan": digest});
        let action = Action::SettleChange {
            cluster: change.cluster,
            change: change.id,
            fate,
        };
        planner.act(action, evidence);
    }
    membership::forget(planner);
    spent::permits(planner);
    gates::terms(planner);
    gates::waiting(planner);
}

fn refusal(state: &Observed) -> String {
    format!(
        "FleetRollout {} only observes (enforcement: Observe): it holds nothing and permits nothing, so there is nothing to \
         release; `groundswell apply` it with enforcement: Enforce first",
        state.fleet_rollout.name
    )
}

/// What needs no release needs none on paper either; everything else has its wave there.
fn fate(state: &Observed, change: &Change) -> ChangeFate {
    match opening::fate(state, change) {
        Some(
            fate @ (ChangeFate::NotSelected
            | ChangeFate::NotNewer
            | ChangeFate::FirstDeploy
            | ChangeFate::Withdrawn
            | ChangeFate::OnPaper { .. }),
        ) => fate,
        Some(ChangeFate::Joined { .. } | ChangeFate::Older { .. } | ChangeFate::Barred { .. })
        | None => ChangeFate::OnPaper {
            paper: paper::of(state, &change.cluster, &change.now),
        },
    }
}

/// What Git wants in a cluster that does not serve it yet, and what the waves would do about that.
pub(super) fn under_way(state: &Observed, cluster: &Cluster) -> Option<Paper> {
    let rollout = cluster.rollout.as_ref().filter(|own| !own.removed)?;
    let spec = rollout.spec.as_ref()?;
    let there = rollout.served.is_none() || rollout.served.as_ref() == Some(&spec.digest);
    let ours = cluster.selected && cluster.gone.is_none();
    (ours && !there).then(|| paper::of(state, &cluster.name, spec))
}

/// What a cluster shows whose content would be held.
pub(super) fn sentence(state: &Observed, cluster: &Cluster) -> Option<Waiting> {
    let paper = under_way(state, cluster).filter(Paper::holds)?;
    Some(Waiting {
        release: None,
        wave: paper.wave,
        waves: paper.waves,
        message: paper.sentence(),
        wave_name: paper.name,
        next: format!("groundswell explain {}", state.fleet_rollout.name),
    })
}
