//! Rules of the walk: an abort stays, an analysis and a pause are waited for.
//!
//! In: the view. Out: violations. It must not know the fleet beyond permits that start something again.

use agent_api::duration::from_int_or_string;
use agent_api::names::{
    LABEL_POD_HASH, LABEL_ROLLOUT_TYPE, LABEL_STEP_INDEX, ROLLOUT_TYPE_BACKGROUND, pause_reason,
};
use agent_api::{AnalysisPhase, StepKind};
use jiff::SignedDuration;

use super::Violation;
use super::glass;
use super::view::{View, breaks};
use crate::gate::facts::Verb;
use crate::pass::ended;
use crate::plan::Action;

pub(super) fn check(view: &View<'_>, found: &mut Vec<Violation>) {
    abort_stays(view, found);
    progress(view, found);
    person(view, found);
    experiments(view, found);
}

/// An Experiment is made by the step that the plan ends at, under a name of its own, while the version walks.
fn experiments(view: &View<'_>, found: &mut Vec<Violation>) {
    let status = &view.plan.status;
    let index = status.current_step_index.unwrap_or(0);
    let hash = status.current_pod_hash.as_ref();
    let steps = view.steps();
    let step = usize::try_from(index).ok().and_then(|at| steps.get(at));
    let of_step = step.is_some_and(|step| step.experiment.is_some());
    let walks = status.abort != Some(true)
        && view.observed.rollout.spec.paused != Some(true)
        && hash != status.stable_rs.as_ref();
    for action in &view.plan.actions {
        let Action::CreateExperiment { experiment } = action else {
            continue;
        };
        let name = experiment.metadata.name.clone().unwrap_or_default();
        let labels = experiment.metadata.labels.clone().unwrap_or_default();
        let of_it = labels.get(LABEL_STEP_INDEX) == Some(&index.to_string())
            && labels.get(LABEL_POD_HASH) == hash.map(|hash| &hash.0);
        let mut known = view.observed.experiments.iter();
        let there = known.any(|one| one.metadata.name.as_ref() == Some(&name));
        if !(of_step && walks && of_it) || there {
            let detail = format!("{name} is made at step {index}");
            breaks(found, "experiment-of-the-step", detail);
        }
    }
}

fn abort_stays(view: &View<'_>, found: &mut Vec<Violation>) {
    let was = view.before.abort == Some(true);
    if !was || view.plan.status.abort == Some(true) || !view.same_version() {
        return;
    }
    let at_rest = view.plan.status.current_pod_hash == view.before.stable_rs;
    let promoted =
        view.before.promote_full == Some(true) && view.facts.verb == Some(Verb::PromoteFull);
    let permitted = view.facts.in_flight.as_ref().is_some_and(|flight| {
        view.facts.permit.as_ref().is_some_and(|permit| {
            permit.content == flight.digest
                && view
                    .facts
                    .consumed
                    .is_none_or(|consumed| consumed < permit.fence)
        })
    });
    let by_word = view
        .facts
        .in_flight
        .as_ref()
        .is_some_and(|flight| glass::lets(view, &flight.digest));
    if !at_rest && !promoted && !permitted && !by_word {
        breaks(
            found,
            "abort-stays",
            "the abort is lifted and nobody asked for it",
        );
    }
}

/// Steps that are passed by walking were waited for.
fn progress(view: &View<'_>, found: &mut Vec<Violation>) {
    let (Some(from), Some(to)) = (
        view.before.current_step_index,
        view.plan.status.current_step_index,
    ) else {
        return;
    };
    let at_once = view.before.promote_full == Some(true)
        || view.within_rollback_window()
        || view.plan.status.current_pod_hash == view.before.stable_rs;
    // Without the pods of a stable version it is a first deploy, whose steps nobody would notice.
    let stable = view.before.stable_rs.as_ref();
    let there = stable.is_some_and(|stable| view.sets.iter().any(|set| set.hash == *stable));
    let canary = view.facts.in_flight.is_some() && there;
    let back = matches!(
        view.facts.permit.as_ref().map(|permit| &permit.kind),
        Some(crate::gate::facts::PermitKind::Rollback { .. })
    );
    if !view.same_version() || at_once || !canary || back {
        return;
    }
    for (index, step) in view.steps().iter().enumerate() {
        let index = i32::try_from(index).unwrap_or(i32::MAX);
        if index < from || index >= to {
            continue;
        }
        match step.kind() {
            StepKind::Analysis(_) if !analysed(view, index) => {
                breaks(
                    found,
                    "analysis-before-progress",
                    format!("step {index} is passed without a successful analysis"),
                );
            }
            StepKind::Experiment(_) if !experimented(view, index) => {
                breaks(
                    found,
                    "analysis-before-progress",
                    format!("step {index} is passed without a successful experiment"),
                );
            }
            StepKind::Pause(pause) => {
                let length = pause
                    .duration
                    .as_ref()
                    .map(|length| from_int_or_string(length).unwrap_or(SignedDuration::MAX));
                if !waited(view, index == from, length) {
                    breaks(
                        found,
                        "pause-before-progress",
                        format!("the pause of step {index} is not over"),
                    );
                }
            }
            StepKind::Analysis(_)
            | StepKind::Experiment(_)
            | StepKind::CanaryScale(_)
            | StepKind::HeaderRoute(_)
            | StepKind::MirrorRoute(_)
            | StepKind::SetWeight(_)
            | StepKind::Unsupported(_)
            | StepKind::Invalid(_) => {}
        }
    }
}

fn analysed(view: &View<'_>, index: i32) -> bool {
    let hash = view
        .plan
        .status
        .current_pod_hash
        .as_ref()
        .map(ToString::to_string);
    view.observed.analysis_runs.iter().any(|run| {
        let label = |key: &str| {
            run.metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get(key))
                .cloned()
        };
        let background = label(LABEL_ROLLOUT_TYPE).as_deref() == Some(ROLLOUT_TYPE_BACKGROUND);
        let step = label(LABEL_STEP_INDEX).is_none_or(|step| step == index.to_string());
        let phase = run.status.as_ref().and_then(|status| status.phase);
        step && !background
            && !ended::is_marked(&run.metadata)
            && label(LABEL_POD_HASH) == hash
            && phase == Some(AnalysisPhase::Successful)
    })
}

fn experimented(view: &View<'_>, index: i32) -> bool {
    let hash = view.plan.status.current_pod_hash.as_ref();
    view.observed.experiments.iter().any(|one| {
        let labels = one.metadata.labels.clone().unwrap_or_default();
        let phase = one.status.as_ref().and_then(|status| status.phase);
        labels.get(LABEL_STEP_INDEX) == Some(&index.to_string())
            && labels.get(LABEL_POD_HASH) == hash.map(|hash| &hash.0)
            && !ended::is_marked(&one.metadata)
            && phase == Some(AnalysisPhase::Successful)
    })
}

/// A pause is over by a person, or by time that has passed since it was begun.
fn waited(view: &View<'_>, was_here: bool, length: Option<SignedDuration>) -> bool {
    if length.is_some_and(|length| length <= SignedDuration::ZERO) {
        return true;
    }
    if !was_here {
        return false;
    }
    let Some(pause) = view.before.pause_condition(pause_reason::CANARY_PAUSE_STEP) else {
        return view.before.controller_pause == Some(true);
    };
    let begun = view.observed.begun(pause);
    length.is_some_and(|length| begun.saturating_add(length) <= view.observed.now)
}

fn person(view: &View<'_>, found: &mut Vec<Violation>) {
    let (Some(from), Some(to)) = (
        view.before.current_step_index,
        view.plan.status.current_step_index,
    ) else {
        return;
    };
    let paused = view.observed.rollout.spec.paused == Some(true) && view.facts.in_flight.is_some();
    let asked = view.before.promote_full == Some(true)
        || view.plan.status.current_pod_hash == view.plan.status.stable_rs;
    let back = matches!(
        view.facts.permit.as_ref().map(|permit| &permit.kind),
        Some(crate::gate::facts::PermitKind::Rollback { .. })
    );
    if paused && view.same_version() && to > from && !asked && !back {
        breaks(
            found,
            "person-pauses",
            format!("step {from} -> {to} while somebody paused it"),
        );
    }
}
