//! The agents of the model fleet. In: gates as the hub wrote them. Out: what is really served, and what each permit came to.
//! They do as they are permitted; they must not know of releases and waves.

use hub_engine::ClusterName;
use hub_engine::document::Enforcement;
use hub_engine::name::Digest;
use hub_engine::observed::{Effect, Outcome, OutcomeResult, Rollout};
use hub_engine::release::{Direction, Permit};
use jiff::SignedDuration;

use crate::hub_fleet::Fleet;

impl Fleet {
    /// Every connected agent does something about its gate.
    pub(crate) fn agents(&mut self) -> String {
        for name in self.real.keys().cloned().collect::<Vec<_>>() {
            if self
                .observed
                .cluster(&name)
                .is_some_and(|cluster| cluster.connected)
            {
                self.take_up(&name);
            }
            if self.random.percent(60) {
                let result = match self.random.below(10) {
                    0..=6 => OutcomeResult::Served,
                    _ => OutcomeResult::Failed,
                };
                self.finish(&name, result);
            }
        }
        "agents act".to_owned()
    }

    /// The newest permit is stored and taken up, and free first deploys go on.
    pub(crate) fn take_up(&mut self, name: &ClusterName) {
        let Some(gate) = self
            .observed
            .cluster(name)
            .and_then(|cluster| cluster.gate.clone())
        else {
            return;
        };
        let phase = self.random.pick(&["Progressing", "Progressing", "Paused"]);
        let ahead = self.observed.cluster(name).map_or(0, |own| own.clock_ahead);
        let there = self.observed.now + SignedDuration::from_secs(ahead.max(0));
        let Some(real) = self.real.get_mut(name).filter(|real| !real.removed) else {
            return;
        };
        let spec = real.spec.as_ref().map(|spec| spec.digest.clone());
        if let (None, Some(spec)) = (&real.served, &spec)
            && (gate.terms.first_deploy_free || gate.terms.passed.contains(spec))
        {
            serve(real, spec.clone());
        }
        if let (Enforcement::Observe, Some(spec)) = (gate.terms.enforcement, &spec) {
            serve(real, spec.clone());
            return;
        }
        let Some(permit) = gate
            .permit
            .as_ref()
            .filter(|permit| Some(permit.fence) != real.permit_fence)
        else {
            return;
        };
        real.permit_fence = Some(permit.fence);
        real.outcome = None;
        // It refuses by its own clock, silently; where that is behind, by the hub's.
        if permit.start_by.is_some_and(|start_by| start_by < there) {
            return;
        }
        let other_steps = real.delivery_of(&permit.digest) != Some(&permit.delivery);
        if permit.direction == Direction::Forward && other_steps {
            real.outcome = Some(Outcome {
                fence: permit.fence,
                release: permit.release.to_string(),
                digest: permit.digest.clone(),
                result: OutcomeResult::Refused,
                message: "other steps".to_owned(),
                generation: 0,
            });
            return;
        }
        let generation = real.spec.as_ref().map_or(0, |spec| spec.generation);
        real.effect = Some(Effect {
            fence: permit.fence,
            digest: permit.digest.clone(),
            generation,
        });
        real.phase = phase.to_owned();
        if real.held.as_ref() == Some(&permit.digest) {
            real.held = None;
        }
    }

    /// The permit that is under way ends.
    pub(crate) fn finish(&mut self, name: &ClusterName, result: OutcomeResult) {
        let Some(permit) = self.permit_of(name) else {
            return;
        };
        let Some(real) = self.real.get_mut(name) else {
            return;
        };
        let started = real
            .effect
            .as_ref()
            .is_some_and(|effect| effect.fence == permit.fence);
        let ended = real.outcome.is_some() || real.permit_fence != Some(permit.fence);
        if ended || real.removed || !started {
            return;
        }
        let mut result = result;
        if permit.direction == Direction::Rollback {
            let kept = real.kept.contains(&permit.digest) && real.healthy.contains(&permit.digest);
            result = if kept {
                OutcomeResult::Served
            } else {
                OutcomeResult::NoRollbackTarget
            };
        }
        if result == OutcomeResult::Served {
            serve(real, permit.digest.clone());
            self.served.insert((name.clone(), permit.fence));
        } else {
            let spec = real.spec.as_ref().map(|spec| spec.digest.clone());
            // What failed waits for the fleet again.
            real.held = spec.filter(|spec| Some(spec) != real.served.as_ref());
            real.phase = "Degraded".to_owned();
        }
        real.outcome = Some(Outcome {
            fence: permit.fence,
            release: permit.release.to_string(),
            digest: permit.digest,
            result,
            message: "so it went".to_owned(),
            generation: real.effect.as_ref().map_or(0, |effect| effect.generation),
        });
    }

    /// The content of a permit that has taken effect and has no outcome yet.
    pub(crate) fn under_way(&self, name: &ClusterName) -> Option<Digest> {
        let permit = self.permit_of(name)?;
        let real = self.real.get(name)?;
        let started = real
            .effect
            .as_ref()
            .is_some_and(|effect| effect.fence == permit.fence);
        (started && real.outcome.is_none()).then_some(permit.digest)
    }

    /// The permit that its agent took up last, wherever the hub keeps it by now.
    fn permit_of(&self, name: &ClusterName) -> Option<Permit> {
        let fence = self.real.get(name)?.permit_fence?;
        let gate = self
            .observed
            .cluster(name)?
            .gate
            .as_ref()
            .and_then(|gate| gate.permit.clone());
        let targets = self
            .observed
            .releases
            .iter()
            .filter_map(|release| release.target(name)?.permit.clone());
        gate.into_iter()
            .chain(targets)
            .find(|permit| permit.fence == fence)
    }
}

fn serve(real: &mut Rollout, digest: Digest) {
    if !real.healthy.contains(&digest) {
        real.healthy.push(digest.clone());
    }
    if !real.kept.contains(&digest) {
        real.kept.push(digest.clone());
    }
    let spec = real.spec.as_ref().map(|spec| spec.digest.clone());
    real.held = spec.filter(|spec| *spec != digest);
    real.served_delivery = real.kept_deliveries.get(&digest).cloned();
    real.served = Some(digest);
    real.phase = "Healthy".to_owned();
}
