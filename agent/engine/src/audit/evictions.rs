//! Rules of pods: only old ones are evicted, few at a time; a restart ends when none is left; what ReplicaSets are made
//! from is the content, whatever pods carry beyond it.
//!
//! In: the view. Out: violations. It must not know steps or the fleet.

use agent_api::digest::{Injected, content_digest, content_digest_without};
use agent_api::names::{ANNOTATION_DIGEST, ANNOTATION_EPHEMERAL_METADATA, LABEL_POD_HASH};
use agent_api::{Pod, PodMetadata};

use super::Violation;
use super::view::{View, breaks};
use crate::plan::Action;
use crate::pods::{created, of_set, restart_due};

pub(super) fn check(view: &View<'_>, found: &mut Vec<Violation>) {
    old_ones(view, found);
    few(view, found);
    to_the_end(view, found);
    content(view, found);
    selected(view, found);
}

fn pods<'a>(view: &'a View<'_>) -> &'a [Pod] {
    view.observed.pods.as_deref().unwrap_or_default()
}

fn old_ones(view: &View<'_>, found: &mut Vec<Violation>) {
    let due = restart_due(&view.observed.rollout, view.observed.now);
    for action in &view.plan.actions {
        let Action::EvictPod { name, uid, set } = action else {
            continue;
        };
        let wanted = view
            .sets
            .iter()
            .any(|one| one.name == *set && one.desired > 0);
        let old = of_set(pods(view), set).into_iter().any(|pod| {
            let same = pod.metadata.name.as_ref() == Some(name)
                && pod.metadata.uid.as_deref() == Some(uid.as_str());
            same && due.is_some_and(|at| created(pod) < at.timestamp())
        });
        if !wanted || !old {
            let detail = format!("{name} of {set} is evicted and no restart asks for it");
            breaks(found, "evicts-old-pods", detail);
        }
    }
}

/// A pod that takes no requests may go although others are missing; no more of them at a time than may be missing.
fn few(view: &View<'_>, found: &mut Vec<Violation>) {
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let evicted: Vec<&String> = view
        .plan
        .actions
        .iter()
        .filter_map(|action| {
            let Action::EvictPod { name, .. } = action else {
                return None;
            };
            Some(name)
        })
        .collect();
    if evicted.is_empty() {
        return;
    }
    let due = restart_due(&view.observed.rollout, view.observed.now);
    let (mut wanted, mut there, mut idle, mut coming) = (0_i32, 0_i32, 0_i32, 0_i32);
    for one in view.moves.iter().filter(|one| one.from > 0) {
        let live = of_set(pods(view), &one.name);
        let ready = live.iter().filter(|pod| pod.is_ready() != Some(false));
        wanted = wanted.saturating_add(one.from);
        there = there.saturating_add(one.sure(one.from).min(number(ready.count())));
        for pod in live.iter().filter(|pod| pod.is_ready() == Some(false)) {
            let goes = pod.metadata.name.as_ref();
            let goes = goes.is_some_and(|name| evicted.contains(&name));
            let young = due.is_none_or(|at| created(pod) >= at.timestamp());
            idle = idle.saturating_add(i32::from(goes));
            coming = coming.saturating_add(i32::from(young));
        }
    }
    let may = view.limits().unavailable.max(1);
    let serving = number(evicted.len()).saturating_sub(idle);
    let nothing = there == 0;
    let missing = if nothing {
        idle
    } else {
        wanted.saturating_sub(there)
    };
    let shrinks = view.moves.iter().any(|one| one.to < one.from);
    let many = serving > 0 && serving.saturating_add(missing) > may;
    let at_a_time = idle > 0 && !nothing && idle.saturating_add(coming) > may;
    if many || at_a_time || nothing && idle > may || shrinks {
        let detail = format!(
            "{serving} pods and {idle} idle ones are evicted, {missing} are missing, {coming} are coming, {may} may be"
        );
        breaks(found, "evicts-few", detail);
    }
}

/// `restartedAt` is what was asked for, is due, and is true of every version that was there before.
fn to_the_end(view: &View<'_>, found: &mut Vec<Violation>) {
    let (before, after) = (view.before.restarted_at, view.plan.status.restarted_at);
    if before == after {
        return;
    }
    let due = restart_due(&view.observed.rollout, view.observed.now);
    let replaced = view.before.current_pod_hash != view.plan.status.current_pod_hash;
    let left = view.sets.iter().filter(|set| set.desired > 0).any(|set| {
        view.observed.pods.is_none()
            || of_set(pods(view), &set.name)
                .into_iter()
                .any(|pod| due.is_some_and(|at| created(pod) < at.timestamp()))
    });
    if after != due || left && !replaced {
        let detail = format!("restartedAt is {after:?}, due is {due:?}, old pods are left: {left}");
        breaks(found, "restart-sees-all", detail);
    }
}

/// A new ReplicaSet is annotated with the digest of something that may run, and but for what it was given beyond, its
/// template is that.
fn content(view: &View<'_>, found: &mut Vec<Violation>) {
    for action in &view.plan.actions {
        let Action::CreateReplicaSet { replica_set } = action else {
            continue;
        };
        let note = |key: &str| {
            let annotations = replica_set.metadata.annotations.as_ref();
            annotations.and_then(|all| all.get(key)).cloned()
        };
        let digest = note(ANNOTATION_DIGEST).unwrap_or_default();
        let given = given(&note(ANNOTATION_EPHEMERAL_METADATA).unwrap_or_default());
        let kept = view.observed.gate.kept.values().map(|kept| &kept.template);
        let same = view.spec.template.iter().chain(kept).any(|template| {
            content_digest(template).as_str() == digest
                && content_digest_without(template, &given)
                    == content_digest_without(&replica_set.spec.template, &given)
        });
        if !same {
            breaks(
                found,
                "template-is-content",
                "a ReplicaSet is made from something else",
            );
        }
    }
}

/// What a new ReplicaSet's template was given beyond its content.
fn given(note: &str) -> Injected {
    let metadata: PodMetadata = serde_json::from_str(note).unwrap_or_default();
    Injected {
        labels: metadata.labels.into_keys().collect(),
        annotations: metadata.annotations.into_keys().collect(),
        anti_affinity: true,
    }
}

/// Labels by which pods are found never change.
fn selected(view: &View<'_>, found: &mut Vec<Violation>) {
    let selector = view.observed.selector();
    let is_selected =
        |key: &String| key == LABEL_POD_HASH || selector.match_labels.contains_key(key);
    for action in &view.plan.actions {
        let touched: Vec<&String> = if let Action::ChangeTemplateMetadata { labels, .. } = action {
            labels.keys().collect()
        } else if let Action::ChangePods { pods, .. } = action {
            pods.iter().flat_map(|pod| pod.labels.keys()).collect()
        } else {
            continue;
        };
        if let Some(key) = touched.into_iter().find(|key| is_selected(key)) {
            breaks(found, "pods-stay-found", format!("the label {key} changes"));
        }
    }
}
