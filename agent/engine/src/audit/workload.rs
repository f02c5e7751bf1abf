//! Rules of the workload that a Rollout names.
//!
//! In: the view. Out: violations. It must not know steps.

use agent_api::names::ANNOTATION_WORKLOAD_GENERATION;
use agent_api::{Phase, WorkloadKind};

use super::Violation;
use super::view::{View, breaks};
use crate::plan::Action;

pub(super) fn check(view: &View<'_>, found: &mut Vec<Violation>) {
    for action in &view.plan.actions {
        if let Action::ScaleWorkload { from, to, .. } = action {
            gives_way(view, *from, *to, found);
        }
    }
    noted(view, found);
}

/// Its pods go only as far as ready pods of the first revision stand in for them.
fn gives_way(view: &View<'_>, from: i32, to: i32, found: &mut Vec<Violation>) {
    let rule = "workload-gives-way-to-ready-pods";
    let reference = view.observed.rollout.spec.workload_ref.as_ref();
    let word = reference
        .and_then(|one| one.scale_down.as_deref())
        .unwrap_or("never");
    let workload = view.observed.workload.as_ref();
    let is_so = workload.is_some_and(|one| {
        one.kind == WorkloadKind::Deployment && one.replicas.unwrap_or(0) == from
    });
    let ready = view
        .sets
        .iter()
        .map(|set| set.ready)
        .fold(0_i32, i32::saturating_add);
    let allowed = match word {
        "onsuccess" => to == 0 && view.plan.status.phase == Some(Phase::Healthy),
        "progressively" => to >= 0 && to.saturating_add(ready) >= view.replicas(),
        _ => false,
    };
    let another = view.moves.iter().any(|one| one.made) && !view.sets.is_empty();
    let later = another || view.sets.iter().any(|set| set.revision > 1);
    if !is_so || !allowed || later {
        breaks(
            found,
            rule,
            format!("{word}: {from} -> {to} with {ready} ready pods"),
        );
    }
}

/// Status and annotation name the same generation, that of the workload as observed.
fn noted(view: &View<'_>, found: &mut Vec<Violation>) {
    let rollout = &view.observed.rollout;
    let Some(workload) = view
        .observed
        .workload
        .as_ref()
        .filter(|_| rollout.spec.workload_ref.is_some())
    else {
        return;
    };
    let wanted = Some(workload.generation.to_string());
    let before = rollout.metadata.annotations.as_ref();
    let before = before.and_then(|all| all.get(ANNOTATION_WORKLOAD_GENERATION).cloned());
    let after = view.plan.actions.iter().find_map(|action| {
        let Action::PatchRollout { annotations } = action else {
            return None;
        };
        annotations.get(ANNOTATION_WORKLOAD_GENERATION).cloned()
    });
    let invalid = view.plan.status.condition("InvalidSpec").is_some();
    let says = &view.plan.status.workload_observed_generation;
    if !invalid && (*says != wanted || after.unwrap_or(before) != wanted) {
        breaks(
            found,
            "workload-generation-is-noted",
            format!("the workload is at {wanted:?}, the status says {says:?}"),
        );
    }
}
