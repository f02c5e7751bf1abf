//! A person has paused the Rollout: the new version gets neither pods nor traffic that it had not, and does not become stable.
//!
//! In: `spec.paused`, the numbers, the Rollout's replicas when the new version was last scaled. Out: what the two versions
//! should have meanwhile. It must not walk steps or scale.
//!
//! An autoscaler is followed all the same, by both versions in the shares that they have. What a version has of its share
//! is read from its ReplicaSet: the replicas of the Rollout are noted there with every scaling. A version that had its
//! whole share of those has it of the present ones; one that was still growing stays as it is, and so does its note.

use super::replicas::{Limits, Want};
use super::routed::Routed;
use crate::pass::{Pass, Strategy};
use crate::planted::Planted;
use crate::reason::Reason;
use crate::sets::SetView;

impl Pass<'_> {
    /// Nothing new is to start or grow. The stable version is not new, and what the fleet takes back is not stopped by a
    /// pause in the cluster.
    pub fn halted(&self) -> bool {
        let paused = self.observed.rollout.spec.paused == Some(true) || self.has_no_steps();
        let fleet = matches!(self.at_once, Some(Reason::FleetRollback { .. }));
        let ignored = self.bug.is(Planted::PauseIgnored);
        paused && !fleet && !ignored && !self.at_stable() && self.strategy.canary().is_some()
    }

    /// Nothing may grow, and the steps that it has come so far by are not known any more (G2): those of the spec are not
    /// what was permitted, and neither is its strategy, be it another one.
    pub fn has_no_steps(&self) -> bool {
        let under_way = !self.at_stable() && !self.initial();
        under_way && self.effective.template.is_none() && !self.decision.may_raise
    }

    /// Of what is wanted, what is given while somebody has paused; the stable version stands in for what is not.
    pub(super) fn hold_back(&self, want: Want) -> Want {
        if !self.halted() {
            return want;
        }
        let has = if self.creating.is_some() {
            0
        } else {
            self.new.desired
        };
        let had_all = has > 0 && has >= self.share_out_of(self.noted());
        let new = if had_all { want.new } else { want.new.min(has) };
        let stands_in = self.stable.is_some() && self.routed().is_none();
        let stable = if stands_in {
            want.stable.max(self.replicas().saturating_sub(new))
        } else {
            want.stable
        };
        Want { stable, new }
    }

    /// The replicas of the Rollout that go into the note of a version with so many pods.
    pub(super) fn note_of(&self, set: &SetView, pods: i32) -> i32 {
        let grows = self.halted() && set.name == self.new.name;
        if grows && pods < self.share_out_of(self.replicas()) {
            self.noted()
        } else {
            self.replicas()
        }
    }

    /// The Rollout's replicas when the new version was last scaled.
    fn noted(&self) -> i32 {
        self.new.desired_annotation.unwrap_or(self.replicas())
    }

    /// Pods of the new version at the present step, were these the Rollout's replicas.
    fn share_out_of(&self, replicas: i32) -> i32 {
        let limits = Limits::of(self.strategy, replicas);
        if self.initial() {
            return limits.replicas;
        }
        let routed = match self.strategy {
            Strategy::Canary(canary) => Routed::of(canary, limits).filter(|_| self.is_routed()),
            Strategy::BlueGreen(_) => None,
        };
        match routed {
            Some(routed) => self.asked_pods(routed, self.weight()),
            None => self.parts(limits, self.weight()).new,
        }
    }

    fn is_routed(&self) -> bool {
        self.routed().is_some()
    }
}
