//! What an agent has of a set (gate.md L2). In: a set as it came, the Gates before and after it, the committed set. Out: the first
//! thing that is missing or too early. It must not ask how the agent came to it.

use agent::gate_store::fence_of;
use agent::key::ObjectKey;
use agent_api::GateSpec;
use hub_store::desired::Governance as Committed;
use proto::v1;
use proto::v1::gate_entry::Governance;

use super::at;
use crate::world::World;

impl World {
    /// Whoever dies in the midst of a set has written all that it takes away before anything that it grants.
    pub(crate) fn written(&mut self, agent: usize, set: &v1::DesiredSet, before: &[u64]) {
        let incarnation = agent::wire::fence(set.fence.as_ref()).incarnation;
        let own = &self.agents[agent];
        let after = self.gate_versions(agent);
        let entries = set.entries.iter().filter_map(|entry| {
            let key = ObjectKey::new(entry.namespace.clone(), entry.name.clone());
            Some((entry, own.part_of(&key)?))
        });
        let granted = entries.clone().find(|(entry, part)| {
            let unread = self
                .ghost
                .is_unread(agent, &entry.name, (incarnation, entry.version));
            grants(entry) && !unread && before.get(*part) != after.get(*part)
        });
        let behind = entries
            .filter(|(entry, _)| !grants(entry))
            .find(|(entry, part)| {
                let gate = own.parts[*part].gate();
                let said = gate.map(|gate| at(fence_of(&gate.spec)));
                let new = (incarnation, entry.version);
                said < Some(new) && !self.ghost.is_unread(agent, &entry.name, new)
            });
        if let (Some((granted, _)), Some((behind, _))) = (granted, behind) {
            let message = format!(
                "{} has what {} is granted, and not yet what {} loses",
                own.name, granted.name, behind.name
            );
            self.fail("link L2", message);
        }
    }

    /// L5: no number is given to two sets of a cluster: whoever has stored one takes the other for it.
    pub(crate) fn is_the_same_set(&mut self, agent: usize, set: &v1::DesiredSet) {
        // Whoever was not heard since the second time may have more than the quorum that was.
        if self.ghost.restored_again {
            return;
        }
        let own = &self.agents[agent];
        let fence = agent::wire::fence(set.fence.as_ref());
        let known = own.member.as_ref().filter(|member| member.fence == fence);
        let hash = known.and_then(|member| member.set_hash.as_ref());
        if hash.is_some_and(|hash| *hash != set.set_hash) {
            let message = format!("{} has stored another set under {fence}", own.name);
            self.fail("link L5", message);
        }
    }

    /// Where the fence of the committed set is stored, no Gate is older than its entry; one that somebody deleted comes again.
    pub(super) fn set_is_whole(&mut self, agent: usize) {
        let own = &self.agents[agent];
        let stored = own.member.as_ref().map(|member| at(member.fence));
        let Ok(set) = self.store.desired_set(&own.name) else {
            return;
        };
        let fence = (set.fence.incarnation, set.fence.version);
        if self.ghost.restored || stored != Some(fence) {
            return;
        }
        let old = set.entries.iter().find(|entry| {
            let key = ObjectKey::new(entry.rollout.namespace.clone(), entry.rollout.name.clone());
            let gate = own.part_of(&key).and_then(|part| own.parts[part].gate());
            let said = (fence.0, entry.version);
            let unread = self.ghost.is_unread(agent, &entry.rollout.name, said);
            gate.is_some_and(|gate| !unread && at(fence_of(&gate.spec)) < said)
        });
        if let Some(entry) = old {
            let message = format!(
                "{} has stored {fence:?}, and its Gate of {} is older than {}",
                own.name, entry.rollout.name, entry.version
            );
            return self.fail("link L2", message);
        }
        let other = set.entries.iter().find_map(|entry| {
            let key = ObjectKey::new(entry.rollout.namespace.clone(), entry.rollout.name.clone());
            let gate = own.parts[own.part_of(&key)?].gate()?;
            let same = at(fence_of(&gate.spec)) == (fence.0, entry.version);
            let wrong = differs(&gate.spec, &entry.governance).filter(|_| same)?;
            Some(format!("its Gate of {} {wrong}", entry.rollout.name))
        });
        if let Some(other) = other {
            let message = format!("{} has stored {fence:?}, and {other}", own.name);
            self.fail("link L2", message);
        }
    }
}

/// A permit, or the end of governance.
fn grants(entry: &v1::GateEntry) -> bool {
    match &entry.governance {
        Some(Governance::Governed(governed)) => governed.permit.is_some(),
        Some(Governance::Ungovern(_)) => true,
        None => false,
    }
}

/// What a Gate says that the committed entry of its version does not.
fn differs(gate: &GateSpec, entry: &Committed) -> Option<String> {
    let (governed, stopped, permit) = match entry {
        Committed::Governed { terms, permit, .. } => {
            let permit = permit.as_ref().map(|one| &one.permit);
            let permit = permit.map(|one| {
                let number = (one.fence.incarnation, one.fence.version);
                let start_by = one.start_by.map(jiff::Timestamp::as_second);
                (
                    number,
                    one.digest.to_string(),
                    start_by,
                    one.max_step.map(i64::from),
                )
            });
            // A closed window holds as a stop does.
            let stopped = terms.stopped.is_some() || terms.window_closed.is_some();
            (true, stopped, permit)
        }
        Committed::Ungovern { .. } => (false, false, None),
    };
    let own = gate.permit.as_ref().map(|one| {
        let start_by = one.start_by.map(|time| time.timestamp().as_second());
        (
            at(one.fence),
            one.digest.to_string(),
            start_by,
            one.max_step.map(i64::from),
        )
    });
    let told = gate.rest.contains_key(agent::wire::STOPPED);
    if (gate.governed, told) != (governed, stopped) {
        let own = (gate.governed, told);
        return Some(format!(
            "is governed, stopped: {own:?}, not {:?}",
            (governed, stopped)
        ));
    }
    (own != permit).then(|| format!("permits {own:?}, not {permit:?}"))
}
