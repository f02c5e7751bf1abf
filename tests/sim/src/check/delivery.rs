//! How content is delivered (gate.md G2). In: strategies that Git had, permits, what an agent has just written. Out: steps that change
//! under a permit. It must not ask the engine which steps it goes by: their hash in the status is all that it compares.

use agent_api::CanaryStep;
use agent_engine::effective::of_spec;
use agent_engine::sets::{by_hash, views};

use super::At;
use super::lease::in_effect;
use crate::event::Place;
use crate::world::World;

/// Content on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivered {
    permit: At,
    steps: Option<String>,
    /// These were seen twice: a process that ends between its record and its status has left the steps of before the permit.
    sure: bool,
}

impl World {
    /// Somebody has written a Rollout: by these steps it is delivered under this digest.
    pub(super) fn strategy_said(&mut self, place: Place) {
        if !self.restepped {
            return;
        }
        let observed = &self.part(place).cluster.observed;
        let delivery = of_spec(observed).delivery.to_string();
        let canary = observed.rollout.spec.strategy.canary.as_ref();
        let steps = canary
            .map(|canary| canary.steps.clone())
            .unwrap_or_default();
        self.ghost.strategies.insert(delivery, steps);
    }

    /// The steps that what is on its way goes by, where that can be told.
    pub(super) fn followed(&self, place: Place) -> Option<Vec<CanaryStep>> {
        let part = self.part(place);
        if !self.restepped {
            let canary = part
                .cluster
                .observed
                .rollout
                .spec
                .strategy
                .canary
                .as_ref()?;
            return Some(canary.steps.clone());
        }
        let (status, views) = (part.status(), views(&part.cluster.observed));
        let current = by_hash(&views, status.current_pod_hash.as_ref())?;
        let permit = part.gate()?.spec.permit.as_ref()?;
        let own = permit.digest == current.digest;
        let steps = self.ghost.strategies.get(permit.delivery_digest.as_str());
        steps.filter(|_| own).cloned()
    }

    /// G2: from when a permit takes effect until its outcome its content goes by the same steps.
    pub(super) fn steps_are_frozen(&mut self, place: Place) {
        if !self.restepped {
            return;
        }
        let part = self.part(place);
        let (status, views) = (part.status(), views(&part.cluster.observed));
        let current = by_hash(&views, status.current_pod_hash.as_ref());
        let now = part.gate().and_then(|gate| {
            let (fence, _) = in_effect(gate)?;
            let effective = gate.status.as_ref()?.effective.as_ref()?;
            let ended = gate.status.as_ref()?.outcome.as_ref();
            // What a person there has let start follows Git.
            let local = gate.status.as_ref()?.local_permit.as_ref();
            let local = local.is_some_and(|local| local.digest == effective.digest);
            let over = ended.is_some_and(|ended| super::at(ended.fence) >= fence);
            let moves = status.stable_rs != status.current_pod_hash && status.abort != Some(true);
            let own = current.is_some_and(|set| set.digest == effective.digest);
            (own && moves && !over && !local).then(|| (fence, status.current_step_hash.clone()))
        });
        let known = self.ghost.delivered.remove(&place);
        let Some((permit, steps)) = now else {
            return;
        };
        let known = known.filter(|known| known.permit == permit);
        let same = known.as_ref().is_some_and(|known| known.steps == steps);
        let wrong = known.filter(|known| known.sure && !same).map(|known| {
            let name = self.name_of(place);
            let before = known.steps;
            format!("{name} goes by steps {steps:?} after {before:?} under one permit")
        });
        let sure = same;
        let now = Delivered {
            permit,
            steps,
            sure,
        };
        self.ghost.delivered.insert(place, now);
        if let Some(wrong) = wrong {
            self.fail("G2", wrong);
        }
    }
}
