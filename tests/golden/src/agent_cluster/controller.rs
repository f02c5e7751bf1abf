//! The model's ReplicaSet controller and garbage collector.
//! In: the pods there are, a ReplicaSet. Out: as many pods as it wants. It must not know Rollouts.

use agent_api::object::{ObjectMeta, OwnerReference};
use agent_api::{Pod, PodCondition, PodStatus, ReplicaSet};
use jiff::Timestamp;

/// A pod of a ReplicaSet.
pub(super) fn owned(pod: &Pod, set: &str) -> bool {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().any(|owner| owner.name == set)
}

/// The ReplicaSet controller: pods on their way out go, the newest of too many go, missing ones come. Gives how many of
/// those that were there stay.
pub(super) fn keep_pods(pods: &mut Vec<Pod>, set: &ReplicaSet, now: Timestamp) -> i32 {
    let name = set.metadata.name.clone().unwrap_or_default();
    let mut kept = 0;
    pods.retain(|pod| {
        if !owned(pod, &name) {
            return true;
        }
        let stays = pod.metadata.deletion_timestamp.is_none() && kept < set.desired();
        kept += i32::from(stays);
        stays
    });
    for _ in kept..set.desired() {
        // No two pods have one name, in no second.
        let named = |number: usize| format!("{name}-{}-{number}", now.as_second());
        let free = |named: &String| {
            let mut all = pods.iter();
            !all.any(|pod| pod.metadata.name.as_ref() == Some(named))
        };
        let mut names = (pods.len()..).map(named);
        let name_of_pod = names.find(free).unwrap_or_default();
        let template = &set.spec.template;
        pods.push(Pod {
            metadata: ObjectMeta {
                uid: Some(format!("uid-{name_of_pod}")),
                name: Some(name_of_pod),
                labels: Some(template.labels()),
                annotations: Some(template.annotations()),
                creation_timestamp: time(now),
                owner_references: Some(vec![OwnerReference {
                    kind: "ReplicaSet".to_owned(),
                    name: name.clone(),
                    controller: Some(true),
                    ..OwnerReference::default()
                }]),
                ..ObjectMeta::default()
            },
            ..Pod::default()
        });
    }
    kept
}

/// The pods as they are shown: of each ReplicaSet the oldest ones are ready, as many as it counts.
pub(super) fn readied(pods: &[Pod], sets: &[ReplicaSet]) -> Vec<Pod> {
    let mut shown = pods.to_vec();
    for set in sets {
        let name = set.metadata.name.clone().unwrap_or_default();
        let mut ready = set.ready();
        for pod in shown.iter_mut().filter(|pod| owned(pod, &name)) {
            let status = if ready > 0 { "True" } else { "False" };
            ready -= 1;
            pod.status = Some(PodStatus {
                conditions: vec![PodCondition {
                    r#type: "Ready".to_owned(),
                    status: status.to_owned(),
                    ..PodCondition::default()
                }],
                ..PodStatus::default()
            });
        }
    }
    shown
}

/// A moment as an object's metadata has it.
pub(super) fn time<T: serde::de::DeserializeOwned>(now: Timestamp) -> Option<T> {
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    serde_json::from_value(seconds.to_string().into()).ok()
}

/// Deletes a ReplicaSet in the foreground.
pub fn delete(set: &mut ReplicaSet, now: Timestamp) {
    if set.metadata.deletion_timestamp.is_none() {
        set.metadata.deletion_timestamp = time(now);
        set.metadata.finalizers = Some(vec!["foregroundDeletion".to_owned()]);
    }
}

/// The garbage collector: one that is being deleted loses its pods, one after the other, and is gone without any.
pub(super) fn ends(set: &mut ReplicaSet) -> bool {
    if set.metadata.deletion_timestamp.is_none() {
        return false;
    }
    let left = set.desired().saturating_sub(1);
    set.spec.replicas = Some(left.max(0));
    left < 0
}
