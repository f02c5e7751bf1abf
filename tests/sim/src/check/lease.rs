//! What begins after a lease has ended, or after a permit was taken back (gate.md G20, G21, G30). In: what an agent has just
//! written, by the true time. Out: the first thing that is wrong. It must not ask the agent's own clock of leases.

use agent_api::{Direction, Gate};

use super::{At, at, carried, free};
use crate::event::{Ms, Place};
use crate::store::LEASE_SECONDS;
use crate::world::World;

/// A renewal is on its way no longer than this.
const RENEWAL_DELAY: Ms = 5_000;
/// The step before the first: what a permit has done until it takes effect.
const NOTHING_YET: i64 = -1;

impl World {
    /// S7, S12, G20, G21: nothing starts after the lease, and no step is begun then, but where the FleetRollout says so.
    pub(super) fn raises(&mut self, place: Place) {
        let own = &self.agents[place.agent];
        let Some((gate, (fence, step))) = own.parts[place.part]
            .gate()
            .and_then(|gate| Some((gate, in_effect(gate)?)))
        else {
            return;
        };
        let known = self.ghost.steps.insert((place, fence), step);
        let permit = gate.spec.permit.as_ref();
        let forward = permit.is_some_and(|permit| {
            at(permit.fence) == fence && permit.direction == Direction::Forward
        });
        let begins = known.is_none();
        if step <= known.unwrap_or(NOTHING_YET) || !forward {
            return;
        }
        let name = self.name_of(place);
        // A first deploy has no steps: it is begun whole.
        let digest = permit.map(|permit| permit.digest.to_string());
        let served = self.ghost.served.get(&place);
        let first = served
            .is_some_and(|all| all.len() == 1 && digest.is_some_and(|one| all.contains(&one)));
        if gate.spec.rest.contains_key(agent::wire::STOPPED) && !first {
            let message = format!("{name} begins step {step} of what is stopped");
            return self.fail("G30", message);
        }
        let finish = gate.spec.policy.on_hub_loss.action == agent_api::HubLossAction::Finish;
        let connected = own
            .process
            .as_ref()
            .is_some_and(|process| process.contact == agent_engine::HubContact::Connected);
        let renewed = self.ghost.renewed.get(&own.name).copied().unwrap_or(0) + RENEWAL_DELAY;
        let granted = self.ghost.granted.get(&place).copied().unwrap_or(0);
        let restarted = self.ghost.restarted.get(&place.agent).copied().unwrap_or(0);
        let ends = renewed.max(granted).max(restarted) + Ms::from(LEASE_SECONDS) * 1_000;
        // Whatever the FleetRollout says of silence, nothing new starts in it.
        if self.now > ends && (begins || connected || !finish) {
            let late = self.now - ends;
            let what = if begins { "starts at" } else { "begins" };
            let message = format!("{name} {what} step {step} {late} ms after its lease");
            self.fail("S7", message);
        }
    }

    /// S7, G17: content whose permit was taken back gets no more pods.
    pub(super) fn grows(&mut self, place: Place) {
        let own = &self.agents[place.agent];
        let part = self.part(place);
        let words = self.words_here(place);
        let served = self.ghost.served.get(&place);
        let status = part.gate().and_then(|gate| gate.status.as_ref());
        let local = status.and_then(|status| status.local_permit.as_ref());
        let nobodys =
            words.is_empty() || self.is_free(own, place) || self.ghost.fresh.contains(&place);
        let mut wrong = None;
        let mut pods = Vec::new();
        for set in &part.cluster.observed.replica_sets {
            let Some(digest) = carried(set) else { continue };
            let allowed = nobodys
                || words.iter().any(|word| word.said.allows(&digest))
                || served.is_some_and(|all| all.contains(&digest))
                || local.is_some_and(|local| local.digest.as_str() == digest)
                || free(part, &digest);
            let desired = (!allowed).then(|| set.desired());
            let known = self.ghost.taken.get(&(place, digest.clone()));
            if let (Some(desired), Some(known)) = (desired, known)
                && desired > *known
            {
                wrong = Some(format!("{digest} from {known} pods to {desired}"));
            }
            pods.push((digest, desired));
        }
        for (digest, desired) in pods {
            match desired {
                Some(desired) => self.ghost.taken.insert((place, digest), desired),
                None => self.ghost.taken.remove(&(place, digest)),
            };
        }
        if let Some(wrong) = wrong {
            let name = self.name_of(place);
            self.fail("S7", format!("{name} raises what nobody permits: {wrong}"));
        }
    }
}

/// The permit that has taken effect here, and how far it has come.
pub(super) fn in_effect(gate: &Gate) -> Option<(At, i64)> {
    let effective = gate.status.as_ref()?.effective.as_ref()?;
    let step = agent_engine::gate::record::recorded_step(effective).map_or(0, i64::from);
    Some((at(effective.fence), step))
}
