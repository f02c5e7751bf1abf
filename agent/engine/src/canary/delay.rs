//! Pods that stay for a while after their traffic has gone: old versions after a promotion, a canary after an abort.
//!
//! In: the numbers, the deadlines noted on ReplicaSets. Out: how many pods such a version keeps, new deadlines, when to
//! look again. It must not move traffic.

use std::collections::BTreeMap;

use agent_api::names::ANNOTATION_SCALE_DOWN_DEADLINE;
use agent_api::{CanaryStrategy, StatusTime};
use jiff::{SignedDuration, Timestamp};

use super::replicas::{Counts, Down};
use super::routed::Routed;
use crate::pass::Pass;
use crate::reason::Reason;
use crate::sets::SetView;

/// Seconds for which pods stay when the strategy does not say; as Rollouts have it.
const DELAY_SECONDS: i32 = 30;

/// What is done with a version that lost its traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// It goes now.
    Gone,
    /// It stays, for no known time.
    Kept,
    /// It stays, and from now on the time runs.
    Starts(Timestamp),
    /// It stays until then.
    Until(Timestamp),
}

fn after(now: Timestamp, seconds: i32) -> Timestamp {
    let at = StatusTime::from(now).saturating_add(SignedDuration::from_secs(seconds.into()));
    at.min(Timestamp::MAX)
}

impl Pass<'_> {
    fn strategy_of_canary(&self) -> Option<&CanaryStrategy> {
        self.strategy.canary()
    }

    /// What happens to one old version; `kept` counts those that a deadline keeps, newest first.
    fn stay_of_old(&self, routed: Routed, set: &SetView, kept: &mut i32) -> Stay {
        // Whoever has traffic has pods.
        if self.carried(&set.hash) > 0 {
            return Stay::Kept;
        }
        let delayed = self.at_stable() || set.scale_down_at.is_some();
        // Between the stable and the newest version nothing is ever gone back to.
        if !delayed || routed.dynamic {
            return Stay::Gone;
        }
        let canary = self.strategy_of_canary();
        let seconds = canary
            .and_then(|canary| canary.scale_down_delay_seconds)
            .unwrap_or(DELAY_SECONDS);
        let most = canary.and_then(|canary| canary.scale_down_delay_revision_limit);
        *kept = kept.saturating_add(1);
        if most.is_some_and(|most| *kept > most) {
            return Stay::Gone;
        }
        match set.scale_down_at {
            Some(at) if at <= self.observed.now => Stay::Gone,
            Some(at) => Stay::Until(at),
            None if seconds <= 0 => Stay::Gone,
            None => Stay::Starts(after(self.observed.now, seconds)),
        }
    }

    /// Pods of the versions that are neither stable nor new, in the order in which they are held; deadlines are noted.
    pub fn older_routed(&mut self, routed: Routed, others: i32) -> (Vec<i32>, bool) {
        let sets = self.older.clone();
        let sure = |set: &SetView| {
            let counts = Counts {
                desired: set.desired,
                available: set.available,
            };
            counts.sure()
        };
        let available = sets.iter().map(sure).fold(others, i32::saturating_add);
        // With a router the stable version has pods of its own; how many old ones may go at a time is still bounded.
        let mut down = Down::sparing(available.saturating_sub(routed.minimum).max(0));
        let mut kept = 0;
        let mut next: Vec<i32> = Vec::new();
        for set in sets.iter().rev() {
            let stay = if set.desired == 0 {
                Stay::Gone
            } else {
                self.stay_of_old(routed, set, &mut kept)
            };
            let to = match stay {
                Stay::Gone => 0,
                Stay::Kept if routed.dynamic => {
                    routed.pods(self.carried(&set.hash)).min(set.desired)
                }
                Stay::Kept | Stay::Starts(_) | Stay::Until(_) => set.desired,
            };
            self.note_stay(set, stay);
            next.push(down.lower(
                Counts {
                    desired: set.desired,
                    available: set.available,
                },
                to,
            ));
        }
        next.reverse();
        (next, down.guarded())
    }

    /// What happens to an aborted canary: it stays while it has traffic, and a while longer once the stable version has all
    /// its pods.
    fn stay_of_aborted(&self, routed: Routed) -> Stay {
        let canary = self.strategy_of_canary();
        let written = canary.and_then(|canary| canary.abort_scale_down_delay_seconds);
        let carries = self.carried(&self.new.hash) > 0;
        if written == Some(0) {
            return Stay::Kept;
        }
        if routed.dynamic && written.is_none() {
            return if carries { Stay::Kept } else { Stay::Gone };
        }
        let whole = self
            .stable
            .as_ref()
            .is_some_and(|stable| stable.available >= routed.replicas);
        match self.new.scale_down_at {
            Some(at) if at <= self.observed.now && !carries => Stay::Gone,
            Some(at) => Stay::Until(at),
            None if whole && !carries => {
                let seconds = written.unwrap_or(DELAY_SECONDS);
                Stay::Starts(after(self.observed.now, seconds))
            }
            None => Stay::Kept,
        }
    }

    /// Pods of an aborted canary: never more than it has, whatever an autoscaler asks for.
    pub fn aborted_pods(&self, routed: Routed) -> i32 {
        let has = if self.creating.is_some() {
            0
        } else {
            self.new.desired
        };
        match self.stay_of_aborted(routed) {
            Stay::Gone => 0,
            // As its traffic goes, so do its pods.
            Stay::Kept if self.shrinks_when_aborted(routed) => {
                has.min(routed.pods(self.carried(&self.new.hash)))
            }
            Stay::Kept | Stay::Starts(_) | Stay::Until(_) => has,
        }
    }

    fn shrinks_when_aborted(&self, routed: Routed) -> bool {
        let canary = self.strategy_of_canary();
        let written = canary.and_then(|canary| canary.abort_scale_down_delay_seconds);
        routed.dynamic && written.is_none()
    }

    /// Notes the deadline of an aborted canary, and takes deadlines off versions that are wanted again.
    pub fn settle_deadlines(&mut self, routed: Routed) {
        let stable = self.stable.clone();
        let new = self.new.clone();
        if self.aborted() && !self.initial() && !self.at_stable() {
            if self.creating.is_none() && new.desired > 0 {
                let stay = self.stay_of_aborted(routed);
                self.note_stay(&new, stay);
            }
        } else if self.creating.is_none() {
            self.forget_deadline(&new);
        }
        if let Some(stable) = stable {
            self.forget_deadline(&stable);
        }
    }

    fn forget_deadline(&mut self, set: &SetView) {
        if set.scale_down_at.is_some() {
            let key = ANNOTATION_SCALE_DOWN_DEADLINE.to_owned();
            self.annotate_set(&set.name, BTreeMap::from([(key, None)]));
        }
    }

    fn note_stay(&mut self, set: &SetView, stay: Stay) {
        let until = match stay {
            Stay::Gone | Stay::Kept => return,
            Stay::Starts(at) => {
                let key = ANNOTATION_SCALE_DOWN_DEADLINE.to_owned();
                let value = StatusTime::from(at).to_string();
                self.annotate_set(&set.name, BTreeMap::from([(key, Some(value))]));
                at
            }
            Stay::Until(at) => at,
        };
        if until > self.observed.now {
            self.wake_at(until);
        }
        let name = set.name.clone();
        self.reasons.push(Reason::StaysUntil { name, until });
    }

    /// A version is kept by a deadline that is not over: until then nothing is expected to move.
    pub fn waits_for_deadline(&self) -> bool {
        self.routed().is_some()
            && self.sets().any(|set| {
                set.desired > 0 && set.scale_down_at.is_some_and(|at| at > self.observed.now)
            })
    }
}
