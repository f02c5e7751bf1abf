//! How many pods each version has, and for how long.
//!
//! In: what the active Service selects and shall select, deadlines, numbers. Out: create, scale and annotate actions,
//! with the Services switched between coming up and going down. It must not walk.

use std::collections::BTreeMap;

use agent_api::names::ANNOTATION_SCALE_DOWN_DEADLINE;
use agent_api::{BlueGreenStrategy, PodHash};

use super::{DEFAULT_DELAY, active};
use crate::pass::Pass;
use crate::planted::Planted;
use crate::reason::Reason;
use crate::sets::{ANNOTATION_TAKEN_BACK, SetView};

/// A version with the pods that it shall have.
type Move = (SetView, i32, Reason);

impl Pass<'_> {
    /// Scales up, switches the Services, scales down: in this order no pod goes while anything selects it.
    pub(super) fn scale_blue_green(
        &mut self,
        strategy: &BlueGreenStrategy,
        active: Option<&PodHash>,
    ) {
        let mut moves = self.old_versions(strategy, active);
        if let Some(stable) = self.stable.clone() {
            self.keep_without_delay(&stable);
            let because = self.because_blue_green();
            moves.push((stable, self.replicas(), because));
        }
        let new = self.new_version(strategy);
        if self.new.available < new && !self.aborted() {
            self.reasons.push(Reason::PodsPending {
                name: self.new.name.clone(),
                available: self.new.available,
                wanted: new,
            });
        }
        if self.creating.is_none() {
            moves.push((self.new.clone(), new, self.because_blue_green()));
        }
        let (up, down): (Vec<Move>, Vec<Move>) = moves
            .into_iter()
            .filter(|(set, to, _)| *to != set.desired)
            .partition(|(set, to, _)| *to > set.desired);
        self.create(new);
        up.into_iter().for_each(|one| self.scale_one(one));
        self.switch_services(strategy, active);
        down.into_iter().for_each(|one| self.scale_one(one));
        self.keep_annotations();
    }

    fn because_blue_green(&self) -> Reason {
        if self.aborted() && !self.initial() {
            return Reason::Aborted {
                why: "the stable version takes over again".to_owned(),
            };
        }
        let plain = Reason::Replicas {
            replicas: self.replicas(),
        };
        self.at_once.clone().unwrap_or(plain)
    }

    /// Pods of the new version, with the delay of an aborted one.
    fn new_version(&mut self, strategy: &BlueGreenStrategy) -> i32 {
        let all = self.replicas();
        if self.has_no_steps() && !self.aborted() {
            return self.new.desired.min(all);
        }
        if !self.aborted() || self.initial() {
            let new = self.new.clone();
            // A version that came back in time keeps the sign of it until it is stable.
            if self.at_stable() || self.at_once.is_none() || new.taken_back {
                self.keep_without_delay(&new);
            }
            let promoted = self.at_stable() || self.at_once.is_some();
            return if promoted || self.selected(strategy).as_ref() == Some(&new.hash) {
                all
            } else {
                self.preview_count(strategy)
            };
        }
        let keeps = self.new.desired.min(all);
        let seconds = strategy
            .abort_scale_down_delay_seconds
            .unwrap_or(DEFAULT_DELAY);
        let selected = self.selected(strategy).as_ref() == Some(&self.new.hash);
        if self.creating.is_some() || keeps == 0 || self.bug.is(Planted::AbortForgotten) {
            return keeps;
        }
        if !self.new.taken_back {
            let mark = BTreeMap::from([(ANNOTATION_TAKEN_BACK.to_owned(), "true".to_owned())]);
            self.annotate_new(mark);
            self.new.taken_back = true;
            // The delay of an earlier life does not count.
            self.new.scale_down_at = None;
        }
        if seconds == 0 {
            return keeps;
        }
        let mut new = self.new.clone();
        if new.scale_down_at.is_none() {
            self.delay(&mut new, seconds);
            self.new = new.clone();
        }
        let Some(at) = new.scale_down_at else {
            return keeps;
        };
        let later = at > self.observed.now;
        if later {
            self.wake_at(at);
        }
        if later || selected {
            self.reasons.push(Reason::Delayed {
                name: new.name,
                until: at,
            });
            return keeps;
        }
        0
    }

    /// Pods of versions that are neither stable nor wanted.
    fn old_versions(
        &mut self,
        strategy: &BlueGreenStrategy,
        active: Option<&PodHash>,
    ) -> Vec<Move> {
        let all = self.replicas();
        let selected = self.selected(strategy);
        let served = self.someone_serves(selected.as_ref());
        let limit = strategy.scale_down_delay_revision_limit.unwrap_or(i32::MAX);
        let mut waiting = 0_i32;
        let mut moves = Vec::new();
        // Newest first: the limit keeps the newest.
        for set in self.older.clone().into_iter().rev() {
            let serves = Some(&set.hash) == selected.as_ref();
            let stays = Some(&set.hash) == active;
            let keeps = set.desired.min(all);
            if serves && stays {
                // It goes on until the new version takes over, and an autoscaler looks at it alone meanwhile.
                let to = if self.is_whole_and_active(&set) {
                    all
                } else {
                    keeps
                };
                moves.push((set, to, Reason::Replicas { replicas: all }));
                continue;
            }
            let later = set.scale_down_at.filter(|at| *at > self.observed.now);
            if let (Some(at), true) = (later, set.desired > 0) {
                waiting = waiting.saturating_add(1);
                if waiting <= limit || serves {
                    self.wake_at(at);
                    self.reasons.push(Reason::Delayed {
                        name: set.name.clone(),
                        until: at,
                    });
                    moves.push((set, keeps, Reason::Replicas { replicas: all }));
                    continue;
                }
            }
            if !served && set.desired > 0 {
                self.reasons.push(Reason::AvailabilityGuard {
                    available: set.available,
                    minimum: all,
                });
                continue;
            }
            if later.is_none() && set.scale_down_at.is_some() && set.desired > 0 {
                moves.push((set.clone(), 0, Reason::DelayOver));
            } else {
                moves.push((set.clone(), 0, Reason::Intermediate));
            }
            self.keep_without_delay(&set);
        }
        moves.reverse();
        moves
    }

    /// It became active by a switch of ours and has had all its pods since. To whatever else a Service is pointed, no pods are
    /// added.
    fn is_whole_and_active(&self, set: &SetView) -> bool {
        let ours = active(&self.before, std::iter::once(set)).is_some();
        ours && set.desired > 0 && set.desired_annotation.is_some_and(|all| set.desired >= all)
    }

    /// Users lose nothing when an old version goes: the active Service selects one version, or one has all its pods.
    fn someone_serves(&self, selected: Option<&PodHash>) -> bool {
        if self.bug.is(Planted::AvailabilityIgnored) {
            return true;
        }
        let all = self.replicas();
        let whole = |set: &SetView| set.desired >= all && set.available >= all;
        let known = selected.is_some_and(|hash| self.sets().any(|set| set.hash == *hash));
        known || whole(&self.new) && self.creating.is_none() || self.stable.iter().any(whole)
    }

    /// Takes the deadline and the mark of an abort off.
    fn keep_without_delay(&mut self, set: &SetView) {
        let mut gone = BTreeMap::new();
        if set.scale_down_at.is_some() {
            gone.insert(ANNOTATION_SCALE_DOWN_DEADLINE.to_owned(), None);
        }
        let wanted = set.name == self.new.name;
        if set.taken_back && wanted {
            gone.insert(ANNOTATION_TAKEN_BACK.to_owned(), None);
        }
        if !gone.is_empty() {
            self.annotate_set(&set.name, gone);
        }
    }
}
