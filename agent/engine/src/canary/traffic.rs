//! Where requests go while a router splits them: the shares, the routes by header, and the write that asks for both.
//!
//! In: what the router shows, the present step, the numbers. Out: `SetTraffic`, the shares in the status, reasons. It must
//! not scale, and it must not know a router.

use agent_api::pod_hash::text_hash;
use agent_api::{CanaryStep, PodHash, StepKind, WeightDestination, Weights};
use jiff::SignedDuration;

use super::routed::{Ask, Routed, Short, share};
use crate::observed::TrafficObserved;
use crate::pass::Pass;
use crate::plan::{Action, EventKind, Route, Traffic};
use crate::planted::Planted;
use crate::reason::Reason;
use crate::services::{find, selects};
use crate::sets::SetView;

/// A router that has not confirmed is asked again after this time; routers in front of a cloud take about as long.
const CONFIRM: SignedDuration = SignedDuration::from_secs(10);

/// The canary's side of the split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The version that has it.
    pub hash: PodHash,
    /// How much.
    pub weight: i32,
    /// What the steps ask for.
    pub target: i32,
    /// What keeps it from that.
    pub short: Option<Short>,
}

impl<'a> Pass<'a> {
    /// The bounds of a routed canary; `None` when pods are the only weight.
    pub fn routed(&self) -> Option<Routed> {
        let canary = self.strategy.canary()?;
        self.observed.traffic.as_ref()?;
        Routed::of(canary, self.limits())
    }

    fn traffic_observed(&self) -> Option<&'a TrafficObserved> {
        self.observed.traffic.as_ref()
    }

    /// The split as the router shows it; where it shows none, as it was last asked for.
    pub fn shown(&self) -> Weights {
        let shown = self
            .traffic_observed()
            .and_then(|traffic| traffic.weights.clone());
        let asked = self
            .before
            .canary
            .as_ref()
            .and_then(|canary| canary.weights.clone());
        shown.or(asked).unwrap_or_default()
    }

    /// How much the router sends to a version.
    pub fn carried(&self, hash: &PodHash) -> i32 {
        let shown = self.shown();
        [shown.canary, shown.stable]
            .into_iter()
            .flatten()
            .filter(|one| one.pod_template_hash.as_ref() == Some(hash))
            .map(|one| one.weight.max(0))
            .fold(0_i32, i32::saturating_add)
    }

    /// The version on the canary's side of the split, and how much it gets, if it gets anything.
    pub fn carrier(&self) -> Option<(PodHash, i32)> {
        let canary = self.shown().canary.filter(|canary| canary.weight > 0)?;
        let hash = canary
            .pod_template_hash
            .unwrap_or_else(|| self.new.hash.clone());
        Some((hash, canary.weight))
    }

    /// The stable version, also when it is the wanted one.
    pub fn stable_view(&self) -> Option<&SetView> {
        if self.at_stable() {
            return Some(&self.new);
        }
        self.stable.as_ref()
    }

    /// A version other than the wanted one has the canary's side, or what has it must give it back.
    pub fn drains(&self) -> bool {
        let Some((hash, _)) = self.carrier() else {
            return false;
        };
        self.at_stable() || self.aborted() || hash != self.new.hash
    }

    /// Pods of the new version that its share, or a step in their place, asks for.
    pub fn asked_pods(&self, routed: Routed, weight: i32) -> i32 {
        self.explicit_scale(routed)
            .unwrap_or_else(|| routed.pods(weight))
    }

    /// What the latest `setCanaryScale` up to the present step says, unless everything goes at once.
    pub fn explicit_scale(&self, routed: Routed) -> Option<i32> {
        if self.at_once.is_some() || self.aborted() || self.index >= self.step_count() {
            return None;
        }
        let upto = usize::try_from(self.index).unwrap_or(0).saturating_add(1);
        let mut steps = self.steps().iter().take(upto).rev();
        let scale = steps.find_map(|step| step.set_canary_scale.as_ref())?;
        if scale.match_traffic_weight == Some(true) {
            return None;
        }
        scale
            .replicas
            .or_else(|| scale.weight.map(|weight| routed.pods(weight)))
            .map(|count| count.max(0))
    }

    fn reached(&self, pods: i32) -> bool {
        if self.bug.is(Planted::WeightBeforePods) {
            return true;
        }
        let there = self.creating.is_none()
            && self.new.desired >= pods
            && self.new.available >= self.enough_of(pods).min(pods);
        there && self.canary_service_selects_new()
    }

    /// Where the split goes through Services, the canary's must select the new version before it gets more.
    fn canary_service_selects_new(&self) -> bool {
        let service = self
            .strategy
            .canary()
            .and_then(|canary| canary.canary_service.as_deref())
            .and_then(|name| find(self.observed, name));
        service.is_none_or(|service| selects(service).as_ref() == Some(&self.new.hash))
    }

    /// The canary's side as it shall be next.
    pub fn share(&self, routed: Routed) -> Share {
        let carrier = self.carrier();
        let none = Share {
            hash: self.new.hash.clone(),
            weight: 0,
            target: 0,
            short: None,
        };
        if self.initial() {
            return none;
        }
        let stable = self.stable_view().map_or(0, |set| set.available);
        let earlier = self.earlier_weights();
        if let Some((hash, shown)) = carrier.clone().filter(|_| self.drains()) {
            // It has just become the stable version: both sides are its.
            if self.at_stable() && hash == self.new.hash {
                return none;
            }
            let canary = self
                .sets()
                .find(|set| set.hash == hash)
                .map_or(0, |set| set.available.min(set.desired));
            let kept = self.bug.is(Planted::AbortKeepsWeight) && self.aborted();
            let ask = Ask {
                shown,
                target: if kept { shown } else { 0 },
                reached: false,
                canary,
                stable,
                earlier: &earlier,
            };
            let (weight, short) = share(routed, ask);
            let hash = if weight > 0 { hash } else { none.hash };
            return Share {
                hash,
                weight,
                target: 0,
                short,
            };
        }
        if self.at_stable() || self.aborted() {
            return none;
        }
        let asked = self.weight().min(routed.most);
        let asked = if self.halted() {
            asked.min(self.had_weight())
        } else {
            asked
        };
        let pods = self.asked_pods(routed, asked);
        // A version that is to have no pods gets no traffic, whatever the weight.
        let target = if pods == 0 { 0 } else { asked };
        let canary = if self.creating.is_some() {
            0
        } else {
            self.new.available
        };
        let ask = Ask {
            shown: carrier.map_or(0, |(_, shown)| shown),
            target,
            reached: self.reached(pods),
            canary,
            stable,
            earlier: &earlier,
        };
        let (weight, short) = share(routed, ask);
        Share {
            weight,
            target,
            short,
            ..none
        }
    }

    /// The share that the new version has, or was to have.
    fn had_weight(&self) -> i32 {
        let canary = self.before.canary.as_ref();
        let asked = canary
            .and_then(|canary| canary.weights.as_ref()?.canary.as_ref())
            .filter(|asked| asked.pod_template_hash.as_ref() == Some(&self.new.hash));
        let asked = asked.map_or(0, |asked| asked.weight);
        asked.max(self.carried(&self.new.hash))
    }

    /// Weights of the steps, for the way back.
    fn earlier_weights(&self) -> Vec<i32> {
        self.steps()
            .iter()
            .filter_map(|step| step.set_weight)
            .collect()
    }

    /// The router shows a share for the wanted version, and has not said that it is not so.
    pub fn confirmed(&self, weight: i32) -> bool {
        let shown = self.shown();
        let has = self
            .carrier()
            .filter(|(hash, _)| *hash == self.new.hash)
            .map_or(0, |(_, weight)| weight);
        let there = self
            .traffic_observed()
            .is_some_and(|traffic| traffic.weights.is_some() && traffic.error.is_none());
        there && has == weight && shown.verified != Some(false)
    }

    /// Asks the router for the split, if it shows another one, and says in the status what was asked for.
    pub fn settle_traffic(&mut self) {
        let (Some(routed), Some(traffic)) = (self.routed(), self.traffic_observed()) else {
            if let Some(canary) = &mut self.status.canary {
                canary.weights = None;
            }
            return;
        };
        if let Some(error) = &traffic.error {
            let message = error.clone();
            // Another fault at the same step is news; its text may be long, so the key has its hash.
            let what = text_hash(error);
            self.event(
                EventKind::Warning,
                "TrafficRoutingError",
                message.clone(),
                &what,
            );
            self.reasons.push(Reason::TrafficError { message });
            return;
        }
        let share = self.share(routed);
        self.explain_share(&share);
        if self.keeps_stable_side(routed).is_some() {
            let available = self.stable_view().map_or(0, |set| set.available);
            let weight = routed.most;
            self.reasons
                .push(Reason::TrafficWaitsForStable { weight, available });
        }
        let weights = self.split_of(routed, &share);
        let routes = self.routes();
        let shown = traffic.weights.clone().unwrap_or_default();
        let same = traffic.weights.is_some() && same_split(&shown, &weights);
        let names = routes.iter().map(|route| route.name().to_owned()).collect();
        let routed_as_shown = traffic.routes == names && !self.news.routes;
        let verified = if same { shown.verified } else { None };
        if same && verified == Some(false) {
            let weight = share.weight;
            self.reasons.push(Reason::TrafficUnconfirmed { weight });
            let later = self.observed.now.checked_add(CONFIRM);
            self.wake_at(later.unwrap_or(jiff::Timestamp::MAX));
        }
        if !same {
            self.tell_weight(&share);
        }
        if !same || !routed_as_shown {
            let because = self.because_of_share(&share);
            self.writes.push(Action::SetTraffic {
                traffic: Box::new(Traffic {
                    weights: weights.clone(),
                    routes,
                }),
                because,
            });
        }
        self.status.canary.get_or_insert_default().weights = Some(Weights {
            verified,
            ..weights
        });
    }

    fn tell_weight(&mut self, share: &Share) {
        let was = self
            .before
            .canary
            .as_ref()
            .and_then(|canary| canary.weights.as_ref())
            .and_then(|weights| weights.canary.as_ref())
            .map(|canary| canary.weight);
        let to = share.weight;
        if was == Some(to) {
            return;
        }
        let from = was.map_or_else(String::new, |was| format!(" from {was}"));
        let message = format!("traffic weight updated{from} to {to}");
        let what = format!("{}.{to}", was.unwrap_or(0));
        self.event(EventKind::Normal, "TrafficWeightUpdated", message, &what);
    }

    fn because_of_share(&self, share: &Share) -> Reason {
        match share.short {
            Some(Short::Empty) => Reason::NoPodsNoTraffic {
                name: self.new.name.clone(),
            },
            Some(Short::Canary | Short::Stable) | None => self.because(),
        }
    }

    fn split_of(&self, routed: Routed, share: &Share) -> Weights {
        let canary = self.strategy.canary();
        let side = |weight: i32, hash: Option<PodHash>, service: Option<&String>| {
            Some(WeightDestination {
                weight,
                service_name: service.cloned(),
                pod_template_hash: hash,
                ..WeightDestination::default()
            })
        };
        let stable = self.status.stable_rs.clone().filter(|_| !self.initial());
        let stable = self.keeps_stable_side(routed).or(stable);
        let additional = self.experiment_shares();
        let shares = additional.iter().map(|share| share.weight);
        let given = shares.fold(share.weight, i32::saturating_add);
        Weights {
            canary: side(
                share.weight,
                Some(share.hash.clone()),
                canary.and_then(|canary| canary.canary_service.as_ref()),
            ),
            stable: side(
                routed.most.saturating_sub(given).max(0),
                Some(stable.unwrap_or_else(|| self.new.hash.clone())),
                canary.and_then(|canary| canary.stable_service.as_ref()),
            ),
            additional,
            ..Weights::default()
        }
    }

    /// The version that keeps the stable side although another one is stable: a promotion was cut off before its status was
    /// written, and what is stable by the status has not the pods to take over again.
    pub fn keeps_stable_side(&self, routed: Routed) -> Option<PodHash> {
        if self.initial() {
            return None;
        }
        let side = self.shown().stable.filter(|side| side.weight > 0)?;
        let hash = side.pod_template_hash?;
        let stable = self.stable_view()?;
        let serves = self
            .sets()
            .any(|set| set.hash == hash && set.available.min(set.desired) > 0);
        let keeps = hash != stable.hash && serves && !routed.bears(stable.available, side.weight);
        keeps.then_some(hash)
    }

    /// The managed routes that the steps up to the present one have made; none when the new version has no pods or no part.
    fn routes(&self) -> Vec<Route> {
        let over = self.at_stable() || self.initial() || self.aborted() || self.at_once.is_some();
        if over || self.creating.is_some() || self.new.available == 0 {
            return Vec::new();
        }
        let upto = usize::try_from(self.index).unwrap_or(0).saturating_add(1);
        let mut made: Vec<Route> = Vec::new();
        for step in self.steps().iter().take(upto) {
            let (route, taken_away) = match step.kind() {
                StepKind::HeaderRoute(route) => {
                    (Route::Header(route.clone()), route.r#match.is_empty())
                }
                StepKind::MirrorRoute(route) => {
                    (Route::Mirror(route.clone()), route.r#match.is_empty())
                }
                StepKind::SetWeight(_)
                | StepKind::Pause(_)
                | StepKind::Analysis(_)
                | StepKind::Experiment(_)
                | StepKind::CanaryScale(_)
                | StepKind::Unsupported(_)
                | StepKind::Invalid(_) => continue,
            };
            made.retain(|known| known.name() != route.name());
            if !taken_away {
                made.push(route);
            }
        }
        made
    }

    fn explain_share(&mut self, share: &Share) {
        let reason = match share.short {
            Some(Short::Empty) => Reason::NoPodsNoTraffic {
                name: self.new.name.clone(),
            },
            Some(Short::Stable) => Reason::TrafficWaitsForStable {
                weight: share.weight,
                available: self.stable_view().map_or(0, |set| set.available),
            },
            // The missing pods are a reason of their own.
            Some(Short::Canary) | None => return,
        };
        self.reasons.push(reason);
    }

    /// A step that makes or takes away a route is done when it is asked for. Where the gate stops at it, it is asked for
    /// once, on arrival.
    pub fn route_step(&mut self) {
        let stays = self.decision.max_step.is_some_and(|max| self.index >= max);
        let others = self.before.current_step_hash != self.status.current_step_hash;
        let moved = self.before.current_step_index != Some(self.index);
        self.news.routes |= !stays || moved || others || self.news.changed;
    }

    /// Whether a step has to do with pods or traffic of the new version.
    pub fn moves_pods(step: &CanaryStep) -> bool {
        step.set_weight.is_some() || step.set_canary_scale.is_some()
    }
}

/// The same shares for the same versions; who has nothing does not matter.
fn same_split(one: &Weights, other: &Weights) -> bool {
    let side = |side: &Option<WeightDestination>| {
        let (weight, hash) = side.as_ref().map_or((0, None), |side| {
            (side.weight, side.pod_template_hash.clone())
        });
        (weight, hash.filter(|_| weight > 0))
    };
    side(&one.canary) == side(&other.canary)
        && side(&one.stable) == side(&other.stable)
        && one.additional == other.additional
}
