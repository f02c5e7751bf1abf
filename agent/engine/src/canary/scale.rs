//! From the weight to writes on ReplicaSets.
//!
//! In: the weight of the present step, the numbers. Out: scale, create and annotate actions, reasons, events. It must
//! not walk steps.

use std::collections::BTreeMap;

use agent_api::names::{ANNOTATION_DESIRED_REPLICAS, ANNOTATION_KEEP_STABLE, pause_reason};

use super::replicas::{Blind, Counts, Limits, Next, Want, beside, next, split};
use super::routed::Routed;
use crate::pass::Pass;
use crate::plan::{Action, EventKind};
use crate::planted::Planted;
use crate::reason::Reason;
use crate::sets::SetView;

impl Pass<'_> {
    /// Everything is moved over: the wanted version becomes the stable one.
    pub fn promote(&mut self) {
        let halted = self.halted() && !self.initial();
        if self.at_stable() || self.aborted() || self.creating.is_some() || halted {
            return;
        }
        let replicas = self.replicas();
        let ready = self.new.desired >= replicas && self.new.available >= self.enough_of(replicas);
        let all_steps = self.index >= self.step_count() || self.at_once.is_some();
        let undecided = self
            .pause(pause_reason::INCONCLUSIVE_ANALYSIS_RUN)
            .is_some();
        if !ready || !all_steps || self.gate_stop.is_some() || undecided || !self.has_all_traffic()
        {
            return;
        }
        let why = self.at_once.clone().unwrap_or(Reason::StepsDone);
        self.status.stable_rs = Some(self.new.hash.clone());
        self.status.promote_full = None;
        self.clear_pauses();
        self.index = self.step_count();
        self.at_once = None;
        self.news.promoted = true;
        self.news.promoted_by = Some(why.clone());
        self.older.extend(self.stable.take());
        let message = format!(
            "completed update to revision {} ({}): {why}",
            self.new.revision, self.new.hash
        );
        self.event(EventKind::Normal, "RolloutCompleted", message, "");
    }

    /// Where a router splits the requests, all of them go to the new version.
    fn has_all_traffic(&self) -> bool {
        let Some(routed) = self.routed() else {
            return true;
        };
        self.initial() || routed.replicas == 0 || self.confirmed(routed.most)
    }

    /// What the two versions should have where a router splits the requests.
    pub fn want_routed(&self, routed: Routed) -> Want {
        if self.initial() || self.at_stable() {
            return Want {
                stable: 0,
                new: routed.replicas,
            };
        }
        let whole = routed.pods(routed.most);
        if self.aborted() {
            return Want {
                stable: whole,
                new: self.aborted_pods(routed),
            };
        }
        if self.refused().is_some() {
            return Want {
                stable: whole,
                new: 0,
            };
        }
        let weight = self.weight();
        let asked = self.asked_pods(routed, weight);
        let carried = self.carried(&self.new.hash);
        let carries = match self.explicit_scale(routed) {
            // Pods apart from traffic are the user's own business, down to the last one that has some.
            Some(_) => i32::from(carried > 0),
            None => routed.pods(carried),
        };
        let has = if self.creating.is_some() {
            0
        } else {
            self.new.desired
        };
        let shown = self
            .shown()
            .stable
            .map_or(routed.most, |stable| stable.weight);
        let follows = if self.bug.is(Planted::StableBeforeTraffic) {
            routed.pods(routed.most.saturating_sub(weight))
        } else {
            routed
                .pods(routed.most.saturating_sub(weight))
                .max(routed.pods(shown))
        };
        Want {
            stable: if routed.dynamic && !self.drains() {
                follows
            } else {
                whole
            },
            new: asked.max(carries.min(has)),
        }
    }

    /// What the two versions should have now.
    pub fn want(&self) -> Want {
        self.hold_back(self.want_of_step())
    }

    /// What the present step asks for.
    fn want_of_step(&self) -> Want {
        if let Some(routed) = self.routed() {
            return self.want_routed(routed);
        }
        let limits = self.limits();
        let want = if self.initial() || self.at_stable() {
            Want {
                stable: 0,
                new: limits.replicas,
            }
        } else if self.refused().is_some() {
            Want {
                stable: limits.replicas,
                new: 0,
            }
        } else {
            self.parts(limits, self.weight())
        };
        if self.bug.is(Planted::OnePodTooMany) && !self.at_stable() {
            return Want {
                new: want.new.saturating_add(1),
                ..want
            };
        }
        want
    }

    /// The stable version keeps all its pods until the new one is promoted, as the Rollout's annotation asks. With a router it
    /// does so anyway, unless it follows its traffic.
    pub fn keeps_stable(&self) -> bool {
        let annotations = self.observed.rollout.metadata.annotations.as_ref();
        let asked = annotations.and_then(|all| all.get(ANNOTATION_KEEP_STABLE));
        let ignored = self.bug.is(Planted::StableNotKept);
        asked.is_some_and(|asked| asked == "true") && !ignored && self.routed().is_none()
    }

    /// Pods of both versions at a weight, without a router.
    pub fn parts(&self, limits: Limits, weight: i32) -> Want {
        if self.keeps_stable() {
            beside(limits, weight)
        } else {
            split(limits, weight)
        }
    }

    /// The bounds of scaling without a router. Pods beside a stable version that keeps its own are no surge.
    fn bounds(&self, want: Want) -> Limits {
        let limits = self.limits();
        let beside = if self.keeps_stable() && self.stable.is_some() {
            want.new
        } else {
            0
        };
        Limits {
            surge: limits.surge.max(beside),
            ..limits
        }
    }

    fn blind(&self) -> Blind {
        Blind {
            availability: self.bug.is(Planted::AvailabilityIgnored),
            surge: self.bug.is(Planted::SurgeIgnored),
        }
    }

    /// Scales: down first, so that no moment has more pods than allowed, then up. The new one is made before all that
    /// where there is room for it, so that a refusal finds nothing taken away yet.
    pub fn scale(&mut self) {
        let want = self.want();
        let counts = |set: &SetView| Counts {
            desired: set.desired,
            available: set.available,
        };
        let stable = self.stable.as_ref().map(counts).unwrap_or_default();
        let next = match self.routed() {
            Some(routed) => self.next_routed(routed, want, stable, counts(&self.new)),
            None => {
                let older: Vec<Counts> = self.older.iter().map(counts).collect();
                let new = counts(&self.new);
                next(self.bounds(want), want, stable, new, &older, self.blind())
            }
        };
        self.explain(&want, &next);
        let mut moves: Vec<(SetView, i32, Reason)> = Vec::new();
        let why = self.because();
        let takes_over =
            self.at_stable() && matches!(why, Reason::BackToStable | Reason::StepsDone);
        let of_older = if takes_over {
            why
        } else {
            Reason::Intermediate
        };
        for (set, to) in self.older.iter().zip(&next.older) {
            moves.push((set.clone(), *to, of_older.clone()));
        }
        if let Some(set) = &self.stable {
            moves.push((set.clone(), next.stable, self.because()));
        }
        if self.creating.is_none() {
            moves.push((self.new.clone(), next.new, self.because()));
        }
        let (up, down): (Vec<_>, Vec<_>) = moves
            .into_iter()
            .filter(|(set, to, _)| *to != set.desired)
            .partition(|(set, to, _)| *to > set.desired);
        let room = self.has_room(next.new);
        if room {
            self.create(next.new);
        }
        down.into_iter().for_each(|one| self.scale_one(one));
        if !room {
            self.create(next.new);
        }
        up.into_iter().for_each(|one| self.scale_one(one));
        self.keep_annotations();
    }

    /// So many more pods are allowed as things are.
    fn has_room(&self, more: i32) -> bool {
        let sets = self.sets();
        let all = sets.map(|set| set.desired).fold(more, i32::saturating_add);
        self.routed().is_some() || all <= self.limits().maximum()
    }

    /// With a router stable and new get what they should have at once; the others go as their time is over.
    fn next_routed(&mut self, routed: Routed, want: Want, stable: Counts, new: Counts) -> Next {
        self.settle_deadlines(routed);
        let lower = |set: Counts, to: i32| set.sure().min(to);
        let left = lower(stable, want.stable).saturating_add(lower(new, want.new));
        let (older, guarded) = self.older_routed(routed, left);
        Next {
            stable: if self.stable.is_some() {
                want.stable
            } else {
                0
            },
            new: want.new,
            older,
            guarded,
            full: false,
        }
    }

    pub(crate) fn scale_one(&mut self, (set, to, because): (SetView, i32, Reason)) {
        let direction = if to > set.desired { "up" } else { "down" };
        let message = format!(
            "scaled {direction} {} (revision {}) from {} to {to}",
            set.name, set.revision, set.desired
        );
        self.event(
            EventKind::Normal,
            "ScalingReplicaSet",
            message,
            &format!("{}.{}.{to}", set.name, set.desired),
        );
        let desired = self.note_of(&set, to);
        self.writes.push(Action::ScaleReplicaSet {
            name: set.name,
            from: set.desired,
            to,
            desired,
            because,
        });
    }

    pub(crate) fn create(&mut self, replicas: i32) {
        if let Some(refused) = self.refused() {
            self.create_again(refused);
            return;
        }
        let Some(mut set) = self.creating.clone() else {
            return;
        };
        set.spec.replicas = Some(replicas);
        let message = format!(
            "created {} (revision {}) with {replicas}",
            self.new.name, self.new.revision
        );
        self.event(EventKind::Normal, "NewReplicaSetCreated", message, "");
        self.writes
            .push(Action::CreateReplicaSet { replica_set: set });
    }

    /// Why the numbers are wanted.
    pub fn because(&self) -> Reason {
        if self.aborted() && !self.initial() {
            return Reason::Aborted {
                why: "the stable version takes over again".to_owned(),
            };
        }
        // In a person's pause only the replicas move: with an autoscaler, or to stand in for what is held back or refused.
        if self.halted() || self.refused().is_some() {
            return Reason::Replicas {
                replicas: self.replicas(),
            };
        }
        if let Some(at_once) = &self.at_once {
            return at_once.clone();
        }
        if self.at_stable() {
            let back = self.before.current_pod_hash != self.before.stable_rs;
            return match (self.news.promoted, back) {
                (true, _) => Reason::StepsDone,
                (false, true) => Reason::BackToStable,
                (false, false) => Reason::Replicas {
                    replicas: self.replicas(),
                },
            };
        }
        let weight = self.weight();
        if weight >= self.full_weight() || self.index >= self.step_count() {
            return Reason::StepsDone;
        }
        let upto = usize::try_from(self.index).unwrap_or(0).saturating_add(1);
        let step = self
            .steps()
            .iter()
            .take(upto)
            .rposition(|step| step.set_weight.is_some());
        let step = step
            .and_then(|step| i32::try_from(step).ok())
            .map_or(0, |step| step.saturating_add(1));
        Reason::StepWeight {
            step,
            weight,
            replicas: self.replicas(),
        }
    }

    fn explain(&mut self, want: &Want, next: &Next) {
        if self.new.available < want.new {
            let (name, available) = (self.new.name.clone(), self.new.available);
            self.reasons.push(Reason::PodsPending {
                name,
                available,
                wanted: want.new,
            });
        }
        let sets = || self.older.iter().chain(&self.stable).chain([&self.new]);
        if next.guarded {
            let available = sets()
                .map(|set| set.available.min(set.desired))
                .fold(0_i32, i32::saturating_add);
            self.reasons.push(Reason::AvailabilityGuard {
                available,
                minimum: self.limits().minimum(),
            });
        }
        if next.full {
            let others = next.older.iter().copied().fold(0_i32, i32::saturating_add);
            let total = others.saturating_add(next.stable).saturating_add(next.new);
            self.reasons.push(Reason::SurgeGuard {
                total,
                maximum: self.bounds(*want).maximum(),
            });
        }
    }

    /// `minReadySeconds` follows the Rollout without a new revision; desired-replicas is what clients compare with.
    pub(crate) fn keep_annotations(&mut self) {
        let wanted = self.observed.rollout.spec.min_ready_seconds.unwrap_or(0);
        let replicas = self.note_of(&self.new, self.new.desired);
        if self.creating.is_none()
            && self.new.desired_annotation != Some(replicas)
            && !self.scales(&self.new.name)
        {
            let annotations =
                BTreeMap::from([(ANNOTATION_DESIRED_REPLICAS.to_owned(), replicas.to_string())]);
            self.annotate_new(annotations);
        }
        let mut stale: Vec<String> = self
            .stable
            .iter()
            .map(|set| (set, set.min_ready_seconds))
            .filter(|(_, now)| *now != wanted)
            .map(|(set, _)| set.name.clone())
            .collect();
        if self.creating.is_none() && self.new.min_ready_seconds != wanted {
            stale.push(self.new.name.clone());
        }
        for name in stale {
            let mine = self.writes.iter_mut().find_map(|action| {
                let Action::AnnotateReplicaSet {
                    name: of,
                    min_ready_seconds,
                    ..
                } = action
                else {
                    return None;
                };
                (*of == name).then_some(min_ready_seconds)
            });
            match mine {
                Some(seconds) => *seconds = Some(wanted),
                None => self.writes.push(Action::AnnotateReplicaSet {
                    name,
                    annotations: BTreeMap::new(),
                    min_ready_seconds: Some(wanted),
                }),
            }
        }
    }

    fn scales(&self, wanted: &str) -> bool {
        self.writes
            .iter()
            .any(|action| matches!(action, Action::ScaleReplicaSet { name, .. } if name == wanted))
    }
}
