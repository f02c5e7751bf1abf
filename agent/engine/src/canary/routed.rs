//! How many pods and how much traffic each version gets when a router splits the requests.
//!
//! In: numbers. Out: numbers. It must not know names or steps.

use agent_api::CanaryStrategy;

use super::replicas::Limits;

/// The bounds of a routed canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routed {
    /// The whole of the traffic.
    pub most: i32,
    /// The Rollout's replicas.
    pub replicas: i32,
    /// Available pods that bear all of the traffic: the replicas less those that may be missing.
    pub minimum: i32,
    /// Least pods of a version that has any.
    pub least: i32,
    /// The stable version shrinks as its traffic does.
    pub dynamic: bool,
}

impl Routed {
    /// The bounds of a strategy; `None` without a router.
    pub fn of(canary: &CanaryStrategy, limits: Limits) -> Option<Self> {
        let routing = canary.traffic_routing.as_ref()?;
        Some(Self {
            most: routing.max_weight().max(1),
            replicas: limits.replicas,
            minimum: limits.minimum(),
            least: canary.min_pods_per_replica_set.unwrap_or(0).max(0),
            dynamic: canary.dynamic_stable_scale == Some(true),
        })
    }

    /// Pods for a share of traffic: rounded up, and not fewer than the least of a version that has any.
    pub fn pods(self, weight: i32) -> i32 {
        let count = part(self.replicas, weight, self.most);
        if count == 0 {
            return 0;
        }
        count.max(self.least.min(self.replicas))
    }

    /// Whether so many available pods of the stable version can take a share of traffic.
    pub fn bears(self, available: i32, weight: i32) -> bool {
        weight <= 0
            || self.replicas == 0
            || available >= part(self.minimum, weight, self.most).max(1)
    }
}

/// `weight` of `most` out of a number of pods, rounded up.
fn part(pods: i32, weight: i32, most: i32) -> i32 {
    let product = i64::from(pods.max(0)).saturating_mul(i64::from(weight.max(0)));
    let most = i64::from(most.max(1));
    let whole = product.div_euclid(most);
    let more = i64::from(product.rem_euclid(most) != 0);
    i32::try_from(whole.saturating_add(more)).unwrap_or(i32::MAX)
}

/// What the share of a canary is decided from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask<'a> {
    /// What the router shows for it.
    pub shown: i32,
    /// What the steps ask for.
    pub target: i32,
    /// It has every pod that the target asks for, available, and its Service selects it.
    pub reached: bool,
    /// Its available pods.
    pub canary: i32,
    /// Available pods of the stable version.
    pub stable: i32,
    /// Weights of earlier steps, to go back through where the stable version cannot take all at once.
    pub earlier: &'a [i32],
}

/// Why a share is not what the steps ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// Pods of the canary are missing.
    Canary,
    /// The canary has no available pod: it gets nothing.
    Empty,
    /// The stable version has too few pods to take its traffic back.
    Stable,
}

/// The next share of a canary, and what keeps it from the target.
pub fn share(routed: Routed, ask: Ask<'_>) -> (i32, Option<Short>) {
    let shown = ask.shown.clamp(0, routed.most);
    if ask.canary <= 0 {
        // Where nobody has pods, moving traffic helps nobody.
        let kept = if ask.stable > 0 || routed.replicas == 0 {
            0
        } else {
            shown
        };
        return (kept, (ask.target > kept).then_some(Short::Empty));
    }
    if ask.target > shown {
        return if ask.reached {
            (ask.target, None)
        } else {
            (shown, Some(Short::Canary))
        };
    }
    let between = ask
        .earlier
        .iter()
        .copied()
        .filter(|weight| *weight > ask.target && *weight < shown);
    let lowest = between
        .chain([ask.target])
        .filter(|weight| routed.bears(ask.stable, routed.most.saturating_sub(*weight)))
        .min();
    let next = lowest.unwrap_or(shown).min(shown);
    (next, (next > ask.target).then_some(Short::Stable))
}

#[cfg(test)]
mod tests;
