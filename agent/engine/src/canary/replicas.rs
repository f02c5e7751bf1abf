//! How many pods each version gets, without a router.
//!
//! In: numbers. Out: numbers. It must not know names or steps.

use agent_api::{IntOrString, ReplicaProgressThreshold};

use crate::pass::Strategy;

/// Default of `maxSurge` and `maxUnavailable`, as Deployments and Rollouts have it.
const DEFAULT_SHARE: &str = "25%";
/// All of the traffic.
pub const FULL_WEIGHT: i32 = 100;

/// The bounds of a scaling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The Rollout's replicas.
    pub replicas: i32,
    /// Pods above them.
    pub surge: i32,
    /// Pods below them that may be missing.
    pub unavailable: i32,
}

impl Limits {
    /// The bounds of a strategy; what cannot be read counts as the default (validation has said so before).
    pub fn of(strategy: Strategy<'_>, replicas: i32) -> Self {
        let default = IntOrString::String(DEFAULT_SHARE.to_owned());
        let (max_surge, max_unavailable) = match strategy {
            Strategy::Canary(canary) => (canary.max_surge.as_ref(), &canary.max_unavailable),
            Strategy::BlueGreen(blue_green) => (None, &blue_green.max_unavailable),
        };
        let surge = max_surge
            .unwrap_or(&default)
            .resolve_up(replicas)
            .unwrap_or(0);
        let missing = max_unavailable
            .as_ref()
            .unwrap_or(&default)
            .resolve_down(replicas)
            .unwrap_or(0);
        // Both rounded to nothing would stand still for ever.
        let unavailable = if surge == 0 && missing == 0 {
            1
        } else {
            missing
        };
        Self {
            replicas,
            surge,
            unavailable: unavailable.min(replicas),
        }
    }

    /// The least number of available pods.
    pub fn minimum(self) -> i32 {
        self.replicas.saturating_sub(self.unavailable).max(0)
    }

    /// The greatest number of pods.
    pub fn maximum(self) -> i32 {
        self.replicas.saturating_add(self.surge)
    }
}

/// How many of so many pods have to be available: all, unless the Rollout is content with fewer.
pub fn threshold(written: Option<&ReplicaProgressThreshold>, wanted: i32) -> i32 {
    let Some((kind, value)) = written.and_then(|one| Some((one.r#type.as_deref()?, one.value?)))
    else {
        return wanted;
    };
    let enough = match kind {
        "Percent" => {
            let hundredths = i64::from(wanted).saturating_mul(i64::from(value.max(0)));
            i32::try_from(hundredths.saturating_add(99).div_euclid(100)).unwrap_or(wanted)
        }
        "Pods" => value,
        _ => wanted,
    };
    enough.clamp(0, wanted.max(0))
}

/// What a weight asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// Pods of the stable version.
    pub stable: i32,
    /// Pods of the new version.
    pub new: i32,
}

/// The split of pods that comes closest to a weight, out of the replicas or one more if surge allows it. Where there can be
/// two pods, a weight from 1 to 99 leaves neither version without one. Of two that are as close the one without a pod more
/// is taken, then the one with more of the new version.
pub fn split(limits: Limits, weight: i32) -> Want {
    let replicas = limits.replicas;
    if weight <= 0 || replicas == 0 {
        return Want {
            stable: replicas,
            new: 0,
        };
    }
    if weight >= FULL_WEIGHT {
        return Want {
            stable: 0,
            new: replicas,
        };
    }
    let alone = replicas == 1 && limits.surge == 0;
    let one_more = (limits.surge > 0).then(|| replicas.saturating_add(1));
    let candidates = std::iter::once(replicas).chain(one_more).flat_map(|total| {
        let exact = i64::from(total).saturating_mul(i64::from(weight));
        let floor = i32::try_from(exact.div_euclid(100)).unwrap_or(total);
        [floor, floor.saturating_add(1)].map(|new| (total, new))
    });
    let best = candidates
        .filter(|(total, new)| *new <= *total && (alone || *new >= 1 && *new < *total))
        .min_by(|a, b| {
            let (left, right) = (miss(*a, weight), miss(*b, weight));
            // Fractions over different totals are compared crosswise.
            let by_miss = left
                .saturating_mul(i64::from(b.0))
                .cmp(&right.saturating_mul(i64::from(a.0)));
            by_miss.then(a.0.cmp(&b.0)).then(b.1.cmp(&a.1))
        });
    let (total, new) = best.unwrap_or((replicas, replicas));
    Want {
        stable: total.saturating_sub(new),
        new,
    }
}

/// The weight's pods beside a stable version that keeps all of its own: as many of the replicas as come closest to the
/// weight, the greater number of two that are as close, and one at least.
pub fn beside(limits: Limits, weight: i32) -> Want {
    let replicas = limits.replicas;
    let product = i64::from(replicas).saturating_mul(i64::from(weight.clamp(0, FULL_WEIGHT)));
    let closest = product
        .saturating_add(50)
        .div_euclid(i64::from(FULL_WEIGHT));
    let closest = i32::try_from(closest).unwrap_or(replicas);
    let least = i32::from(weight > 0).min(replicas);
    Want {
        stable: replicas,
        new: closest.max(least),
    }
}

/// How far a split is from the weight, in hundredths of a pod.
fn miss((total, new): (i32, i32), weight: i32) -> i64 {
    let has = i64::from(new).saturating_mul(i64::from(FULL_WEIGHT));
    has.saturating_sub(i64::from(total).saturating_mul(i64::from(weight)))
        .abs()
}

/// Pods of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Wanted now.
    pub desired: i32,
    /// Available now.
    pub available: i32,
}

impl Counts {
    /// Available pods that will still be there: a ReplicaSet gives up unavailable ones first.
    pub fn sure(self) -> i32 {
        self.available.min(self.desired).max(0)
    }
}

/// What is ignored on purpose, by a planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Blind {
    /// Availability.
    pub availability: bool,
    /// The surge limit.
    pub surge: bool,
}

/// The next numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Of the stable version.
    pub stable: i32,
    /// Of the new version.
    pub new: i32,
    /// Of the others, in the order given.
    pub older: Vec<i32>,
    /// Scaling down stopped at the least number of available pods.
    pub guarded: bool,
    /// Scaling up stopped at the greatest number of pods.
    pub full: bool,
}

/// One move towards what is wanted: others go first, then whichever of the two has too many, as far as availability
/// bears it; then stable and new come up, as far as surge allows.
pub fn next(
    limits: Limits,
    want: Want,
    stable: Counts,
    new: Counts,
    older: &[Counts],
    blind: Blind,
) -> Next {
    let all = || older.iter().copied().chain([stable, new]);
    let available = all().map(Counts::sure).fold(0_i32, i32::saturating_add);
    let spare = if blind.availability {
        i32::MAX
    } else {
        available.saturating_sub(limits.minimum()).max(0)
    };
    let mut down = Down::sparing(spare);
    let older: Vec<i32> = older.iter().map(|set| down.lower(*set, 0)).collect();
    // Whichever shrinks; at most one of the two has more than it should.
    let mut new_count = down.lower(new, want.new);
    let mut stable_count = down.lower(stable, want.stable);
    let others = older.iter().copied().fold(0_i32, i32::saturating_add);
    let taken = others
        .saturating_add(new_count)
        .saturating_add(stable_count);
    let mut room = if blind.surge {
        i32::MAX
    } else {
        limits.maximum().saturating_sub(taken).max(0)
    };
    let mut full = false;
    for (count, wanted) in [(&mut stable_count, want.stable), (&mut new_count, want.new)] {
        let missing = wanted.saturating_sub(*count).max(0);
        let step = missing.min(room);
        full |= step < missing;
        *count = count.saturating_add(step);
        room = room.saturating_sub(step);
    }
    Next {
        stable: stable_count,
        new: new_count,
        older,
        guarded: down.guarded,
        full,
    }
}

/// Scaling down, with so many available pods to spare.
pub struct Down {
    spare: i32,
    guarded: bool,
}

impl Down {
    /// So many available pods may go.
    pub fn sparing(spare: i32) -> Self {
        Self {
            spare,
            guarded: false,
        }
    }

    /// It stopped at the least number of available pods.
    pub fn guarded(&self) -> bool {
        self.guarded
    }

    /// Lowers a version towards a number, giving up no more available pods than can be spared.
    pub fn lower(&mut self, set: Counts, wanted: i32) -> i32 {
        if set.desired <= wanted {
            return set.desired;
        }
        let loss = set.sure().saturating_sub(wanted).max(0);
        let given = loss.min(self.spare);
        self.spare = self.spare.saturating_sub(given);
        self.guarded |= given < loss;
        wanted
            .max(set.sure().saturating_sub(given))
            .min(set.desired)
    }
}

#[cfg(test)]
mod tests;
