//! Words of a later version (S14). In: sets and reports that have one, what became of them. Out: the first that was taken for a word
//! of this version. It must not ask the programs which words they know.

use std::collections::{BTreeMap, BTreeSet};

use agent::gate_store::fence_of;
use hub_engine::{ClusterName, RolloutName};
use proto::v1;

use super::{At, Ghost, at};
use crate::world::World;

/// A Rollout's entry, by its name and fence.
type Entry = (String, At);

/// By agent: entries that it could not read.
#[derive(Debug, Default)]
pub(super) struct Unread(BTreeMap<usize, BTreeSet<Entry>>);

impl Ghost {
    /// An agent is told what it does not know.
    pub(crate) fn unread(&mut self, agent: usize, entry: Entry) {
        self.unread.0.entry(agent).or_default().insert(entry);
    }

    /// Every agent that was.
    pub(crate) fn all_unread(&self) -> Vec<usize> {
        self.unread.0.keys().copied().collect()
    }

    /// Whether an agent tells ends in words that a hub does not know: those are missing there.
    pub(crate) fn tells_later_ends(&self, agent: usize) -> bool {
        let all = self.unread.0.get(&agent).into_iter().flatten();
        all.map(|(_, fence)| *fence).any(|fence| fence == (0, 0))
    }

    /// Whether an agent was told this in words that it does not know.
    pub(super) fn is_unread(&self, agent: usize, name: &str, fence: At) -> bool {
        let all = self.unread.0.get(&agent);
        all.is_some_and(|all| all.contains(&(name.to_owned(), fence)))
    }
}

impl World {
    /// A set comes: what it has in words of a later version an agent does not know.
    pub(crate) fn words_come(&mut self, agent: usize, set: &v1::DesiredSet) {
        let incarnation = agent::wire::fence(set.fence.as_ref()).incarnation;
        for entry in set.entries.iter().filter(|entry| is_later(entry)) {
            let key = (entry.name.clone(), (incarnation, entry.version));
            self.ghost.unread(agent, key);
        }
    }

    /// An agent has taken, or refused, a set: no Gate was written from an entry that it cannot read.
    pub(crate) fn nothing_is_guessed(
        &mut self,
        agent: usize,
        set: &v1::DesiredSet,
        before: &[u64],
    ) {
        let incarnation = agent::wire::fence(set.fence.as_ref()).incarnation;
        let after = self.gate_versions(agent);
        let own = &self.agents[agent];
        let guessed = set.entries.iter().find(|entry| {
            let fence = (incarnation, entry.version);
            let part = own
                .parts
                .iter()
                .position(|part| part.key().name == entry.name);
            let wrote = part.is_some_and(|part| {
                let gate = own.parts[part].gate();
                let same = gate.is_some_and(|gate| at(fence_of(&gate.spec)) == fence);
                // To take away what may be over by now is none.
                let permits = gate.is_some_and(|gate| gate.spec.permit.is_some());
                let governed = gate.is_some_and(|gate| gate.spec.governed);
                same && (permits || !governed) && before.get(part) != after.get(part)
            });
            wrote && is_later(entry)
        });
        if let Some(entry) = guessed {
            let message = format!("{} takes a guess at {}", own.name, entry.name);
            self.fail("S14", message);
        }
    }

    /// Reports are stored: no end came of one whose word the hub does not know.
    pub(crate) fn no_end_is_guessed(
        &mut self,
        cluster: &ClusterName,
        ends: &[v1::Outcome],
        before: &BTreeMap<RolloutName, At>,
    ) {
        let after = self.ends_of(cluster);
        let guessed = ends.iter().find(|ended| {
            let fence = at(agent::wire::fence(ended.fence.as_ref()));
            let rollout = ended.rollout.as_ref();
            let name = rollout.map(|one| RolloutName {
                namespace: one.namespace.clone(),
                name: one.name.clone(),
            });
            name.is_some_and(|name| {
                after.get(&name) == Some(&fence) && before.get(&name) != Some(&fence)
            })
        });
        if let Some(ended) = guessed {
            let fence = agent::wire::fence(ended.fence.as_ref());
            let message = format!("the end of {fence} in {cluster} is a guess");
            self.fail("S14", message);
        }
    }

    /// The ends of permits that the hub has of a cluster.
    pub(crate) fn ends_of(&self, cluster: &ClusterName) -> BTreeMap<RolloutName, At> {
        let row = self.store.rows.get(cluster);
        let all = row.into_iter().flat_map(|row| &row.rollouts);
        let ends = all.filter_map(|(name, known)| {
            let ended = known.state.as_ref()?.outcome.as_ref()?;
            Some((name.clone(), (ended.fence.incarnation, ended.fence.version)))
        });
        ends.collect()
    }
}

/// Whether an entry has a word that no version has yet.
fn is_later(entry: &v1::GateEntry) -> bool {
    use v1::gate_entry::Governance;
    match &entry.governance {
        None => true,
        Some(Governance::Ungovern(ended)) => v1::ungovern::Mode::try_from(ended.mode).is_err(),
        Some(Governance::Governed(governed)) => {
            let direction = governed.permit.as_ref().map(|permit| permit.direction);
            let direction =
                direction.is_some_and(|one| v1::permit::Direction::try_from(one).is_err());
            direction
                || governed.policy.as_ref().is_none_or(|policy| {
                    let known = ["Enforce", "Observe"].contains(&policy.enforcement.as_str());
                    !known || v1::policy::OnHubLoss::try_from(policy.on_hub_loss).is_err()
                })
        }
    }
}
