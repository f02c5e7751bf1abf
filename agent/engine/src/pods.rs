//! Pods, where the numbers of the ReplicaSets do not say enough.
//!
//! In: what is observed. Out: whether pods have to be listed at all, and which of them belong to a ReplicaSet. It must not
//! decide what happens to them: a list of pods is dear, so it is asked for only while it is needed.

use agent_api::names::ANNOTATION_EPHEMERAL_BEFORE;
use agent_api::{Pod, ReplicaSet, Rollout, StatusTime};
use jiff::Timestamp;

/// Whether a decision needs the pods themselves: a restart is under way, or pods may carry metadata of another role.
pub fn needed(rollout: &Rollout, sets: &[ReplicaSet], now: Timestamp) -> bool {
    let live = || {
        sets.iter()
            .filter(|set| set.metadata.deletion_timestamp.is_none())
    };
    let restarts = restart_due(rollout, now).is_some() && live().any(|set| set.desired() > 0);
    restarts || live().any(|set| is_behind(set) && has_pods(set))
}

/// The restart that was asked for, is due, and was not seen to its end.
pub fn restart_due(rollout: &Rollout, now: Timestamp) -> Option<StatusTime> {
    let at = rollout.spec.restart_at?;
    let seen = rollout
        .status
        .as_ref()
        .and_then(|status| status.restarted_at);
    (at.timestamp() <= now && seen != Some(at)).then_some(at)
}

/// Pods of the ReplicaSet may carry metadata that its template has not any more.
pub fn is_behind(set: &ReplicaSet) -> bool {
    let annotations = set.metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.contains_key(ANNOTATION_EPHEMERAL_BEFORE))
}

/// It has pods, or is to have some.
pub fn has_pods(set: &ReplicaSet) -> bool {
    set.desired() > 0 || set.current() > 0
}

/// The pods of a ReplicaSet that are not being deleted, oldest first.
pub fn of_set<'a>(pods: &'a [Pod], set: &str) -> Vec<&'a Pod> {
    let owned = |pod: &&Pod| {
        let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
        owners.iter().any(|owner| {
            owner.controller == Some(true) && owner.kind == "ReplicaSet" && owner.name == set
        })
    };
    let mut found: Vec<&Pod> = pods
        .iter()
        .filter(owned)
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .collect();
    found.sort_by_key(|pod| (created(pod), pod.metadata.name.clone()));
    found
}

/// A pod that is known not to take requests. One of which only the metadata is known is taken for ready.
pub fn is_unready(pod: &Pod) -> bool {
    pod.is_ready() == Some(false)
}

/// When a pod was made; one that does not say is taken for new.
pub fn created(pod: &Pod) -> Timestamp {
    let time = pod.metadata.creation_timestamp.as_ref();
    time.map_or(Timestamp::MAX, |time| time.0)
}

/// The name of a pod.
pub fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}
