//! Restart: pods that are older than `restartAt` are evicted, a few at a time.
//!
//! In: the pods, the ReplicaSets' numbers, evictions that were refused. Out: evictions, and `status.restartedAt` when no
//! old pod is left. It must not delete pods: the Eviction API is what respects PodDisruptionBudgets.

use std::collections::BTreeMap;

use agent_api::names::ANNOTATION_RESTARTED_AFTER;
use agent_api::{Pod, StatusTime, Uid};
use jiff::{SignedDuration, Timestamp};

use super::Pass;
use crate::plan::{Action, EventKind};
use crate::planted::Planted;
use crate::pods::{created, is_unready, name, of_set};
use crate::reason::Reason;
use crate::sets::SetView;

/// After a refusal, as Argo Rollouts does it: budgets open when pods become ready, which takes about as long.
pub const REFUSED_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// A younger pod does not count as available whatever its ReplicaSet says: the number may be older than the pod. Pods'
/// times are whole seconds, so this is at least two.
const SETTLES: SignedDuration = SignedDuration::from_secs(3);

/// A ReplicaSet whose pods are to be younger.
struct Ward<'a> {
    set: SetView,
    /// Pods that are surely available.
    sure: i32,
    /// Pods to be evicted that may take requests, oldest first.
    old: Vec<&'a Pod>,
    /// Those of them that take none: nothing is lost with them.
    idle: Vec<&'a Pod>,
    /// Pods that are young enough, and not ready yet.
    coming: i32,
}

impl Pass<'_> {
    /// Evicts as many as may be missing.
    pub fn restart(&mut self) {
        let Some(at) = self.observed.rollout.spec.restart_at else {
            return;
        };
        if self.status.restarted_at == Some(at) {
            return;
        }
        if at.timestamp() > self.observed.now {
            self.wake_at(at.timestamp());
            return;
        }
        let live: Vec<SetView> = self.sets().filter(|set| set.desired > 0).cloned().collect();
        let observed = self.observed;
        let Some(pods) = observed.pods.as_deref() else {
            if live.is_empty() && self.creating.is_none() {
                self.status.restarted_at = Some(at);
            }
            return;
        };
        let now = observed.now;
        let wards: Vec<Ward<'_>> = live
            .into_iter()
            .map(|set| ward(set, pods, at, now))
            .collect();
        let left = wards
            .iter()
            .map(|ward| count(&ward.old).saturating_add(count(&ward.idle)))
            .fold(0, i32::saturating_add);
        if left == 0 {
            self.restarted(at, &wards);
            return;
        }
        if let Some(refused) = observed.refused.iter().rev().find(|one| one.until() > now) {
            let key = format!("{}.{}", at.as_second(), refused.uid);
            let message = format!(
                "pod {} cannot be restarted yet: {}",
                refused.pod, refused.message
            );
            self.event(EventKind::Warning, "RestartRefused", message, &key);
            self.wake_at(refused.until());
            self.reasons.push(Reason::RestartRefused {
                pod: refused.pod.clone(),
                message: refused.message.clone(),
            });
            return;
        }
        self.evict(left, wards, pods);
    }

    fn evict(&mut self, left: i32, wards: Vec<Ward<'_>>, pods: &[Pod]) {
        let missing = wards
            .iter()
            .map(|ward| ward.set.desired.saturating_sub(ward.sure))
            .fold(0_i32, i32::saturating_add);
        let may = self.limits().unavailable.max(1);
        self.reasons.push(Reason::Restarting { left, missing, may });
        // Numbers that are about to change say nothing of what may be missing.
        let scales = self.writes.iter().any(|action| {
            matches!(
                action,
                Action::ScaleReplicaSet { .. } | Action::CreateReplicaSet { .. }
            )
        });
        if scales {
            return;
        }
        // With nothing available there is nothing to lose, and a restart may be what helps.
        // A young pod that is counted as available is something, though not sure to stay so.
        let down = wards.iter().all(|ward| ward.set.available <= 0);
        let coming = wards
            .iter()
            .map(|ward| ward.coming)
            .fold(0_i32, i32::saturating_add);
        // What takes no requests costs nothing, but no more pods are under way at a time than may be missing.
        let (idle, old) = if self.bug.is(Planted::RestartGreedy) {
            (i32::MAX, i32::MAX)
        } else if down {
            let all = wards.iter().map(|ward| count(&ward.idle));
            let idle = may.min(all.fold(0_i32, i32::saturating_add));
            (idle, may.saturating_sub(idle))
        } else {
            let left = |taken: i32| may.saturating_sub(taken).max(0);
            (left(coming), left(missing))
        };
        let settles = pods
            .iter()
            .map(|pod| created(pod).checked_add(SETTLES).unwrap_or(Timestamp::MAX))
            .filter(|settled| *settled > self.observed.now && *settled < Timestamp::MAX)
            .min();
        if let Some(settled) = settles {
            self.wake_at(settled);
        }
        let some = |room: i32| usize::try_from(room).unwrap_or(0);
        let of = |pods: fn(&Ward<'_>) -> Vec<(String, String, Uid)>, room: i32| {
            let all = wards.iter().flat_map(pods);
            all.take(some(room)).collect::<Vec<_>>()
        };
        let first = of(|ward| named(ward, &ward.idle), idle);
        let then = of(|ward| named(ward, &ward.old), old);
        if first.is_empty() && then.is_empty() {
            return;
        }
        let evictions = first.into_iter().chain(then);
        let evictions = evictions.map(|(set, name, uid)| Action::EvictPod { name, uid, set });
        self.writes.extend(evictions);
        // Should the ReplicaSet never say that it lost one.
        self.wake_at(
            self.observed
                .now
                .checked_add(REFUSED_AGAIN)
                .unwrap_or(Timestamp::MAX),
        );
    }

    /// No old pod is left.
    fn restarted(&mut self, at: StatusTime, wards: &[Ward<'_>]) {
        self.status.restarted_at = Some(at);
        for ward in wards {
            let older = ward.set.created.is_some_and(|made| made < at.timestamp());
            if older {
                let mark =
                    BTreeMap::from([(ANNOTATION_RESTARTED_AFTER.to_owned(), Some(at.to_string()))]);
                self.annotate_set(&ward.set.name, mark);
            }
        }
    }

    /// A restart is due and not seen to its end.
    pub fn restarting(&self) -> bool {
        let at = self.observed.rollout.spec.restart_at;
        at.is_some_and(|at| {
            at.timestamp() <= self.observed.now && self.status.restarted_at != Some(at)
        })
    }
}

fn ward(set: SetView, pods: &[Pod], at: StatusTime, now: Timestamp) -> Ward<'_> {
    let live = of_set(pods, &set.name);
    let settled = live.iter().filter(|pod| {
        let settled = created(pod).checked_add(SETTLES).unwrap_or(Timestamp::MAX);
        settled <= now
    });
    // A pod that is not ready is not available, whatever the number says.
    let settled = settled.filter(|pod| !is_unready(pod));
    let settled = i32::try_from(settled.count()).unwrap_or(i32::MAX);
    let (before, after): (Vec<_>, Vec<_>) = live
        .into_iter()
        .partition(|pod| created(pod) < at.timestamp());
    let (idle, old) = before.into_iter().partition(|pod| is_unready(pod));
    let coming = after.into_iter().filter(|pod| is_unready(pod));
    Ward {
        sure: set.available.min(set.desired).min(settled).max(0),
        old,
        idle,
        coming: i32::try_from(coming.count()).unwrap_or(i32::MAX),
        set,
    }
}

/// ReplicaSet, name and uid of pods.
fn named(ward: &Ward<'_>, pods: &[&Pod]) -> Vec<(String, String, Uid)> {
    let one = |pod: &&Pod| {
        let uid = Uid(pod.metadata.uid.clone().unwrap_or_default());
        (ward.set.name.clone(), name(pod).to_owned(), uid)
    };
    pods.iter().map(one).collect()
}

fn count(pods: &[&Pod]) -> i32 {
    i32::try_from(pods.len()).unwrap_or(i32::MAX)
}
