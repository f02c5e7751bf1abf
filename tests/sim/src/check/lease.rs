//! What begins after a lease has ended, or after a permit was taken back (gate.md G20, G21, G30). In: what an agent has just
//! written, by the true time. Out: the first thing that is wrong, also where something goes back only because nobody is
//! heard. It must not ask the agent's own clock of leases.

use agent_api::{Direction, Fence, Gate, HubLossAction, ReplicaSet};
use agent_engine::sets::{by_hash, views};
use hub_engine::ClusterName;
use jiff::Timestamp;

use super::{At, at, carried};
use crate::event::{Ms, Place};
use crate::store::LEASE_SECONDS;
use crate::world::{World, millis};

/// A renewal is on its way no longer than this.
const RENEWAL_DELAY: Ms = 5_000;
/// What the hub says of its time is on its way as long, and then waits until a fence is stored.
const TIME_DELAY: Ms = RENEWAL_DELAY + 2_000;
/// The step before the first: what a permit has done until it takes effect.
const NOTHING_YET: i64 = -1;

impl World {
    /// S7, S12, G20, G21: nothing starts after the lease, and no step is begun then, but where the FleetRollout says so.
    pub(super) fn raises(&mut self, place: Place) {
        let Some((fence, step)) = self.part(place).gate().and_then(in_effect) else {
            return;
        };
        let was_there = self.was_there(place, fence, step);
        let known = self.ghost.steps.insert((place, fence), step);
        let begins = known.is_none();
        let digest = self.part(place).gate().and_then(in_effect_as);
        let by_glass = digest.is_some_and(|digest| {
            self.is_by_glass(place, &digest) || self.is_believed(place, &digest)
        });
        let too_far = self.goes_too_far(place, fence, step, begins);
        if let Some(wrong) = too_far.filter(|_| !by_glass) {
            return self.fail("G17", wrong);
        }
        let own = &self.agents[place.agent];
        let Some(gate) = own.parts[place.part].gate() else {
            return;
        };
        let permit = gate.spec.permit.as_ref();
        let forward = permit.is_some_and(|permit| {
            at(permit.fence) == fence && permit.direction == Direction::Forward
        });
        // A permit for what every pod runs already is told of and spent; it raises nothing.
        // So does one for what came to this step under the permit before: it holds there.
        if begins && was_there || self.is_there_whole(place) {
            return;
        }
        if step <= known.unwrap_or(NOTHING_YET) {
            return;
        }
        if by_glass {
            return;
        }
        let name = self.name_of(place);
        // A first deploy has no steps: it is begun whole.
        let first = self.is_first(place);
        if !begins && !first && self.taken_from(place) {
            let message = format!("{name} begins step {step} after its permit was taken back");
            return self.fail("S7", message);
        }
        if !forward {
            return;
        }
        if gate.spec.rest.contains_key(agent::wire::STOPPED) && !first {
            let message = format!("{name} begins step {step} of what is stopped");
            return self.fail("G30", message);
        }
        let finish = gate.spec.policy.on_hub_loss.action == agent_api::HubLossAction::Finish;
        let connected = own.is_connected();
        let renewed = self.ghost.renewed.get(&own.name).copied().unwrap_or(0) + RENEWAL_DELAY;
        let granted = self.ghost.granted.get(&place).copied().unwrap_or(0);
        let restarted = self.ghost.restarted.get(&place.agent).copied().unwrap_or(0);
        let ends = renewed.max(granted).max(restarted) + Ms::from(LEASE_SECONDS) * 1_000;
        // Whatever the FleetRollout says of silence, nothing new starts in it; that a first deploy is through raises nothing.
        let raises = begins || !first && (connected || !finish);
        if self.now > ends && raises {
            let late = self.now - ends;
            let what = if begins { "starts at" } else { "begins" };
            let message = format!("{name} {what} step {step} {late} ms after its lease");
            // Where nobody is heard it is the FleetRollout's word for that; else the lease alone.
            let rule = if begins || connected { "G20" } else { "G21" };
            self.fail(rule, message);
        }
    }

    /// Whether what is on its way was here already, under a permit before this one.
    fn was_there(&self, place: Place, fence: At, step: i64) -> bool {
        let digest = self.part(place).gate().and_then(in_effect_as);
        let same = digest.is_some() && self.ghost.effects.get(&place) == digest.as_ref();
        let steps = self.ghost.steps.iter();
        let before = steps.filter(|((one, at), _)| *one == place && *at < fence);
        let last = before.max_by_key(|((_, at), _)| *at);
        same && last.is_some_and(|(_, had)| step <= *had)
    }

    /// S12: how long after the start-by that was committed content starts here now, by the database's time. A permit that took
    /// effect in time may bring up its pods after that.
    pub(super) fn started_after(&self, place: Place, digest: &str) -> Option<Ms> {
        let permit = self.part(place).gate()?.spec.permit.as_ref()?;
        let own = permit.direction == Direction::Forward && permit.digest.as_str() == digest;
        let fence = at(permit.fence);
        let begun = self.ghost.steps.contains_key(&(place, fence));
        let key = (self.agents[place.agent].name.clone(), place.part, fence);
        let start_by = self.ghost.start_bys.get(&key).filter(|_| own && !begun)?;
        let after = self.now - start_by;
        (after > TIME_DELAY).then_some(after)
    }

    /// A set was stored: for reach, whether it brings what may not begin any more.
    pub(super) fn comes_late(&mut self, place: Place, stored: Option<Fence>) {
        let gate = self.part(place).gate();
        let permit = gate.and_then(|gate| gate.spec.permit.as_ref());
        let Some(permit) = permit.filter(|permit| Some(permit.fence) > stored) else {
            return;
        };
        let name = self.agents[place.agent].name.clone();
        let key = (name, place.part, at(permit.fence));
        let start_by = self.ghost.start_bys.get(&key);
        if start_by.is_some_and(|start_by| self.now > start_by + TIME_DELAY) {
            self.meets("PermitLate");
        }
    }

    /// A permit was committed, and until when it may take effect.
    pub(super) fn begun_by(
        &mut self,
        fleet: usize,
        cluster: &ClusterName,
        start_by: Option<Timestamp>,
    ) {
        let row = self.store.rows.get(cluster).map(|row| row.desired);
        let Some(fence) = row.map(|fence| (fence.incarnation, fence.version)) else {
            return;
        };
        let key = (cluster.clone(), self.part_of(fleet), fence);
        match start_by {
            Some(start_by) => self.ghost.start_bys.insert(key, millis(start_by)),
            None => self.ghost.start_bys.remove(&key),
        };
    }

    /// A permit was committed, and how far it goes.
    pub(super) fn bounded(&mut self, fleet: usize, cluster: &ClusterName, most: Option<u32>) {
        let row = self.store.rows.get(cluster).map(|row| row.desired);
        let Some(fence) = row.map(|fence| (fence.incarnation, fence.version)) else {
            return;
        };
        let key = (cluster.clone(), self.part_of(fleet), fence);
        match most {
            Some(most) => self.ghost.bounds.insert(key, most.into()),
            None => self.ghost.bounds.remove(&key),
        };
        if most.is_some() {
            self.meets("PermitBounded");
        }
    }

    /// G17, S7: what is on its way goes to the step that its permit names and no further, whatever becomes of the hub. What serves
    /// already, or is there whole, has no steps, and neither has the first of a Rollout; what was further stays there.
    fn goes_too_far(&mut self, place: Place, fence: At, step: i64, begins: bool) -> Option<String> {
        let own = &self.agents[place.agent];
        let part = &own.parts[place.part];
        let gate = part.gate()?;
        let digest = in_effect_as(gate)?;
        let governed = gate.spec.governed;
        let key = (own.name.clone(), place.part, fence);
        let most = self.ghost.bounds.get(&key).copied();
        let (status, views) = (part.status(), views(&part.cluster.observed));
        let stable = by_hash(&views, status.stable_rs.as_ref());
        let stable = stable.map(|set| set.digest.to_string());
        let has_steps = stable.is_some_and(|stable| stable != digest);
        let before = self.ghost.effects.insert(place, digest.clone());
        if begins {
            let there = self.is_there_whole(place);
            let further = if before.as_ref() == Some(&digest) {
                step
            } else {
                0
            };
            match most.filter(|_| has_steps && !there) {
                Some(most) => self.ghost.bound.insert((place, fence), most.max(further)),
                None => self.ghost.bound.remove(&(place, fence)),
            };
        }
        let most = self.ghost.bound.get(&(place, fence)).copied()?;
        if step == most {
            self.meets("BoundReached");
        }
        let too_far = governed && step > most;
        too_far.then(|| {
            let name = self.name_of(place);
            format!("{name} is at step {step} of {digest}, and its permit goes to {most}")
        })
    }

    /// Whether nothing but what has taken effect here has pods, and all that it needs: in the pass that began it none can have
    /// come up.
    fn is_there_whole(&self, place: Place) -> bool {
        let part = self.part(place);
        let effective = part.gate().and_then(in_effect_as);
        let observed = &part.cluster.observed;
        let running = observed.replica_sets.iter().filter(|set| set.desired() > 0);
        let all = running.clone().all(|set| carried(set) == effective);
        let available: i32 = running.map(ReplicaSet::available).sum();
        all && available >= observed.rollout.spec.replicas()
    }

    /// S7, G21: what is on its way forward goes back for a reason of its own; that nobody is heard is one only where the
    /// FleetRollout says so, after the lease.
    pub(super) fn gave_up(&mut self, place: Place, digest: &str) {
        let own = &self.agents[place.agent];
        let gate = own.parts[place.part].gate();
        let permit = gate.and_then(|gate| Some((gate, gate.spec.permit.as_ref()?)));
        let permit = permit.filter(|(_, permit)| {
            permit.direction == Direction::Forward && permit.digest.as_str() == digest
        });
        let Some((gate, _)) = permit.filter(|_| !own.is_connected()) else {
            return;
        };
        if self.ghost.is_bad(place, digest, &self.bad)
            || self.is_said_here(place, digest)
            || self.is_doubted(place, digest)
        {
            return;
        }
        let policy = gate.spec.policy.on_hub_loss.action;
        let name = self.name_of(place);
        if policy != HubLossAction::Abort {
            let message = format!("{name} goes back because nobody is heard, and says {policy:?}");
            return self.fail("S7", message);
        }
        let since = self.ghost.lengthened.get(&place).copied().unwrap_or(0);
        // A restart or a clock that jumps may end a lease before its time.
        let unsettled = self.ghost.unsettled.get(&place.agent).copied().unwrap_or(0);
        let ends = since + Ms::from(LEASE_SECONDS) * 1_000;
        if self.now < ends && unsettled < since {
            let early = ends - self.now;
            let message = format!("{name} goes back {early} ms before its lease ends");
            return self.fail("G21", message);
        }
        self.meets("SilenceAborts");
    }

    /// A set was written; `stored` is the fence before it. The lease of a permit that it brings begins.
    pub(crate) fn lease_begins(&mut self, place: Place, stored: Option<Fence>) {
        let gate = self.part(place).gate();
        let permit = gate.and_then(|gate| gate.spec.permit.as_ref());
        if permit.is_some_and(|permit| Some(permit.fence) > stored) {
            self.ghost.lengthened(place, self.now);
        }
        self.comes_late(place, stored);
    }

    /// The leases of an agent go on, up to a fence.
    pub(crate) fn lease_goes_on(&mut self, agent: usize, fence: Fence) {
        for place in self.places(agent) {
            let gate = self.part(place).gate();
            let permit = gate.and_then(|gate| gate.spec.permit.as_ref());
            if permit.is_some_and(|permit| permit.fence <= fence) {
                self.ghost.lengthened(place, self.now);
            }
        }
    }

    /// Whether what has taken effect here is all that was ever served here.
    fn is_first(&self, place: Place) -> bool {
        let digest = self.part(place).gate().and_then(in_effect_as);
        let served = self.ghost.served.get(&place);
        served.is_some_and(|all| all.len() == 1 && digest.is_some_and(|one| all.contains(&one)))
    }

    /// G17: whether what has taken effect here has lost its permit, and nothing else lets it go on: it was adopted, or it is
    /// governed no more.
    fn taken_from(&self, place: Place) -> bool {
        let Some(gate) = self.part(place).gate() else {
            return false;
        };
        let status = gate.status.as_ref();
        let effective = status.and_then(|status| status.effective.as_ref());
        let digest = effective.map(|effective| &effective.digest);
        let permit = gate.spec.permit.as_ref().map(|permit| &permit.digest);
        let local = status.and_then(|status| status.local_permit.as_ref());
        let local = local.map(|local| &local.digest);
        gate.spec.governed && permit != digest && local != digest
    }
}

/// The content that has taken effect here.
fn in_effect_as(gate: &Gate) -> Option<String> {
    let effective = gate.status.as_ref()?.effective.as_ref()?;
    Some(effective.digest.to_string())
}

/// The permit that has taken effect here, and how far it has come.
pub(super) fn in_effect(gate: &Gate) -> Option<(At, i64)> {
    let effective = gate.status.as_ref()?.effective.as_ref()?;
    let step = agent_engine::gate::record::recorded_step(effective).map_or(0, i64::from);
    Some((at(effective.fence), step))
}
