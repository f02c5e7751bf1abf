//! What an autoscaler is shown: the scale subresource's replicas and selector.
//!
//! In: the ReplicaSets' numbers, who gets traffic. Out: `status.HPAReplicas` and `status.selector`. It must not change
//! `spec.replicas`: that is the autoscaler's.
//!
//! How a HorizontalPodAutoscaler uses the two (its controller's arithmetic, target `t` a pod):
//! - Resource and Pods metrics, and Object and External ones with a `Value`: the pods that the **selector** finds and that
//!   are ready are counted, `wanted = ceil(count × average / t)`, which is the pods' total usage divided by `t`.
//!   `HPAReplicas` has no part in it.
//! - Object and External metrics with an `AverageValue`: `usage / (t × HPAReplicas)` is compared with 1; within the
//!   tolerance **`HPAReplicas` itself is the answer**, else `ceil(usage / t)`.
//!
//! Let R be `spec.replicas`, w the canary's share, a pod's usage `b + c × its load`, L the whole load. What an HPA should
//! find is what it finds without a rollout: R pods, usage `bR + cL`.
//! - Canary without a router: stable and canary pods together are R (one more with surge) and share L alike: usage
//!   `bR + cL` over all pods. The selector is the Rollout's. The one pod of surge must not be the answer, or every sync
//!   within tolerance raises R by one for as long as a pause lasts: `HPAReplicas` is at most R.
//!   With keep-stable R stable pods and wR others share L alike: usage `bR + cL` and `bwR`, the pods' own, as with a router.
//! - Canary with a router: R stable pods and wR canary pods (`dynamicStableScale`: R in all). All of them together use
//!   `b(1 + w)R + cL`: exact in what depends on load, too much by `bwR` in what does not. The stable pods alone use
//!   `bR + c(1 - w)L`: at 80 % they would be scaled to a fifth under a canary that carries four fifths of the load and is
//!   sized from R. Too many pods cost money, too few cost users, so both versions are selected while both get traffic,
//!   and only the one that gets all of it otherwise: before the first weight, after an abort while the canary's pods wait
//!   out their delay, and after the last weight. `HPAReplicas` is at most R, so an `AverageValue` metric never answers
//!   with the sum of both versions.
//! - After an abort the canary wants no pods whatever R becomes, and R is followed.
//! - Blue-green: users are on the active version; so are both numbers.
//!
//! `--hpa-counting=argo-rollouts` brings back what Argo Rollouts does: all pods of a canary, whatever R is.

use agent_api::PodHash;
use agent_api::names::LABEL_POD_HASH;

use super::{Pass, Strategy};
use crate::observed::{HpaCounting, Observed};

impl Pass<'_> {
    /// Writes both.
    pub fn settle_autoscaling(&mut self, all: i32) {
        let rollout = self.observed;
        let alone = self.served_alone();
        let set = alone
            .as_ref()
            .and_then(|hash| self.sets().find(|set| set.hash == *hash));
        let (count, selector) = match set {
            Some(set) => (set.current, selector_of(rollout, &set.hash)),
            None => (all, rollout.selector().to_query()),
        };
        self.status.hpa_replicas = Some(counted(rollout, count));
        self.status.selector = Some(selector);
    }

    /// The version that gets all traffic, if it is known to be one.
    fn served_alone(&self) -> Option<PodHash> {
        match self.strategy {
            Strategy::BlueGreen(_) => {
                let status = self.status.blue_green.as_ref()?;
                status.active_selector.clone().map(PodHash)
            }
            Strategy::Canary(canary) => {
                let old = self.observed.settings.hpa_counting == HpaCounting::ArgoRollouts;
                let routing = canary.traffic_routing.as_ref().filter(|_| !old)?;
                let weights = self.status.canary.as_ref()?.weights.as_ref()?;
                let weight = weights.canary.as_ref()?.weight;
                if weight <= 0 {
                    self.status.stable_rs.clone()
                } else if weight >= routing.max_weight() {
                    Some(self.new.hash.clone())
                } else {
                    None
                }
            }
        }
    }
}

/// So many pods, as an autoscaler is to count them.
pub fn counted(observed: &Observed, pods: i32) -> i32 {
    match observed.settings.hpa_counting {
        HpaCounting::Traffic => pods.min(observed.rollout.spec.replicas().max(0)),
        HpaCounting::ArgoRollouts => pods,
    }
}

fn selector_of(observed: &Observed, hash: &PodHash) -> String {
    let mut selector = observed.selector().clone();
    selector
        .match_labels
        .insert(LABEL_POD_HASH.to_owned(), hash.to_string());
    selector.to_query()
}
