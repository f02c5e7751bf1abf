//! Rules of names, deletions and the status.
//!
//! In: the view. Out: violations. It must not know weights.

use std::collections::BTreeSet;

use agent_api::names::{
    ANNOTATION_DIGEST, ANNOTATION_REVISION, LABEL_POD_HASH, LABEL_ROLLOUT_TYPE, LABEL_STEP_INDEX,
    ROLLOUT_TYPE_BACKGROUND, ROLLOUT_TYPE_POST_PROMOTION, ROLLOUT_TYPE_PRE_PROMOTION,
};
use agent_api::{AnalysisPhase, AnalysisRun, ReplicaSet, StatusTime};

use super::Violation;
use super::view::{View, breaks};
use crate::claims::NamedKind;
use crate::plan::Action;
use crate::sets::{ANNOTATION_ATTEMPT, ANNOTATION_BACKGROUND_ATTEMPT};

pub(super) fn check(view: &View<'_>, found: &mut Vec<Violation>) {
    let mut names: BTreeSet<String> = view
        .observed
        .replica_sets
        .iter()
        .filter_map(|set| set.metadata.name.clone())
        .collect();
    let runs = view.observed.analysis_runs.iter();
    let mut run_names: BTreeSet<String> =
        runs.filter_map(|run| run.metadata.name.clone()).collect();
    for taken in &view.observed.taken {
        match taken.kind {
            NamedKind::ReplicaSet => names.insert(taken.name.clone()),
            NamedKind::AnalysisRun | NamedKind::Experiment => run_names.insert(taken.name.clone()),
        };
    }
    for action in &view.plan.actions {
        if let Action::CreateReplicaSet { replica_set } = action {
            let name = replica_set.metadata.name.clone().unwrap_or_default();
            let labels = replica_set.metadata.labels.clone().unwrap_or_default();
            let rollout = view
                .observed
                .rollout
                .metadata
                .name
                .as_deref()
                .unwrap_or_default();
            let wanted = labels
                .get(LABEL_POD_HASH)
                .map(|hash| format!("{rollout}-{hash}"));
            if wanted.as_ref() != Some(&name) {
                breaks(
                    found,
                    "names-are-repeatable",
                    format!("{name} is not named after its hash"),
                );
            }
            if !names.insert(name.clone()) {
                breaks(found, "names-are-new", name);
            }
            refused(view, replica_set, found);
            let annotations = replica_set.metadata.annotations.as_ref();
            let revision = annotations
                .and_then(|all| all.get(ANNOTATION_REVISION))
                .and_then(|text| text.parse::<i64>().ok());
            let newest = view.sets.iter().map(|set| set.revision).max().unwrap_or(0);
            if revision.is_none_or(|revision| revision <= newest) {
                breaks(
                    found,
                    "revision-rises",
                    format!("revision {revision:?} after {newest}"),
                );
            }
        }
        if let Action::CreateAnalysisRun { run } = action {
            let name = run.metadata.name.clone().unwrap_or_default();
            if run_name(view, run).as_ref() != Some(&name) {
                breaks(
                    found,
                    "names-are-repeatable",
                    format!("{name} is not what a restart would name it"),
                );
            }
            if !run_names.insert(name.clone()) {
                breaks(found, "names-are-new", name);
            }
        }
    }
    deletions(view, found);
    status(view, found);
}

/// What the API server refused is not asked for again before its time, and then without pods.
fn refused(view: &View<'_>, set: &ReplicaSet, found: &mut Vec<Violation>) {
    let Some(refused) = &view.observed.refused_set else {
        return;
    };
    let annotations = set.metadata.annotations.as_ref();
    let digest = annotations.and_then(|all| all.get(ANNOTATION_DIGEST));
    let same = digest.map(String::as_str) == Some(refused.digest.as_str());
    if same && (refused.until() > view.observed.now || set.desired() > 0) {
        let name = set.metadata.name.clone().unwrap_or_default();
        breaks(found, "refused-waits", name);
    }
}

/// Rollout, hash, revision, the step of a step's run, and the attempt as annotated.
fn run_name(view: &View<'_>, run: &AnalysisRun) -> Option<String> {
    let labels = run.metadata.labels.as_ref()?;
    let revision = run
        .metadata
        .annotations
        .as_ref()?
        .get(ANNOTATION_REVISION)?;
    let hash = labels.get(LABEL_POD_HASH)?;
    let rollout = view
        .observed
        .rollout
        .metadata
        .name
        .as_deref()
        .unwrap_or_default();
    let base = format!("{rollout}-{hash}-{revision}");
    let place = match labels.get(LABEL_ROLLOUT_TYPE).map(String::as_str) {
        Some(ROLLOUT_TYPE_PRE_PROMOTION) => Some("pre"),
        Some(ROLLOUT_TYPE_POST_PROMOTION) => Some("post"),
        Some(ROLLOUT_TYPE_BACKGROUND) => None,
        Some(_) | None => Some(labels.get(LABEL_STEP_INDEX)?.as_str()),
    };
    let (base, annotation) = match place {
        Some(place) => (format!("{base}-{place}"), ANNOTATION_ATTEMPT),
        None => (base, ANNOTATION_BACKGROUND_ATTEMPT),
    };
    let set = view.sets.iter().find(|set| set.hash.as_str() == hash);
    let known = set.map_or(0, |set| match place {
        Some(_) => set.attempt,
        None => set.background_attempt,
    });
    // An attempt only ever rises; a version that is taken over is noted twice in one plan when it is begun anew too.
    let planned = view.plan.actions.iter().filter_map(|action| {
        let noted = if let Action::AnnotateReplicaSet { annotations, .. } = action {
            annotations.get(annotation)?.as_deref()?
        } else if let Action::AdoptReplicaSet { annotations, .. } = action {
            annotations.get(annotation)?
        } else {
            return None;
        };
        noted.parse::<u32>().ok()
    });
    let planned = planned.max();
    match planned.unwrap_or(known) {
        0 => Some(base),
        attempt => Some(format!("{base}.{attempt}")),
    }
}

fn deletions(view: &View<'_>, found: &mut Vec<Violation>) {
    let status = &view.plan.status;
    for action in &view.plan.actions {
        if let Action::DeleteReplicaSet { name } = action {
            let set = view.sets.iter().find(|set| set.name == *name);
            let used = set.is_none_or(|set| {
                let hash = Some(&set.hash);
                set.desired > 0
                    || set.current > 0
                    || hash == status.current_pod_hash.as_ref()
                    || hash == status.stable_rs.as_ref()
            });
            if used {
                breaks(found, "nothing-in-use-is-deleted", name.clone());
            }
        }
        if let Action::DeleteAnalysisRun { name } = action {
            let run = view
                .observed
                .analysis_runs
                .iter()
                .find(|run| run.metadata.name.as_ref() == Some(name));
            let phase = run
                .and_then(|run| run.status.as_ref())
                .and_then(|status| status.phase);
            if !phase.is_some_and(AnalysisPhase::is_completed) {
                breaks(found, "nothing-in-use-is-deleted", name.clone());
            }
        }
    }
}

fn status(view: &View<'_>, found: &mut Vec<Violation>) {
    let status = &view.plan.status;
    let generation = view
        .observed
        .rollout
        .metadata
        .generation
        .unwrap_or(0)
        .to_string();
    if status.phase.is_none() || status.observed_generation.as_ref() != Some(&generation) {
        breaks(
            found,
            "status-is-whole",
            "phase and observedGeneration belong in every status",
        );
    }
    let now = StatusTime::from(view.observed.now);
    let conditions = status
        .conditions
        .iter()
        .filter_map(|condition| condition.last_update_time);
    let pauses = status.pause_conditions.iter().map(|pause| pause.start_time);
    let later = |at: &StatusTime| *at > now;
    if conditions
        .chain(pauses)
        .chain(status.aborted_at)
        .any(|at| later(&at) && !known_time(view, at))
    {
        breaks(
            found,
            "times-are-of-the-past",
            "a time in the status lies in the future",
        );
    }
    // Only a restart that somebody asked for is ever recorded as seen.
    if status.restarted_at != view.before.restarted_at
        && view.observed.rollout.spec.restart_at.is_none()
    {
        breaks(
            found,
            "times-are-of-the-past",
            "restartedAt changes and nobody asked for a restart",
        );
    }
}

/// A time that was there before; a clock that went back does not make it ours.
fn known_time(view: &View<'_>, at: StatusTime) -> bool {
    let conditions = view
        .before
        .conditions
        .iter()
        .filter_map(|condition| condition.last_update_time);
    let pauses = view
        .before
        .pause_conditions
        .iter()
        .map(|pause| pause.start_time);
    // A hold's pause begins where the Gate record says that it began.
    let gate = view.observed.gate.gate();
    let held = gate.and_then(|gate| gate.status.as_ref()?.held.as_ref());
    conditions
        .chain(pauses)
        .chain(view.before.aborted_at)
        .chain(held.map(|held| held.since))
        .any(|known| known == at)
}
