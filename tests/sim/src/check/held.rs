//! What is held, and by which rule something that has started should have been (gate.md G7, G10, G11, G14). In: what an agent has
//! just written, the words that were stored there. Out: the first thing that was made although it is held. It must not ask what
//! the agent takes for held.

use std::collections::BTreeSet;

use agent_api::LocalPermitOrigin;
use agent_api::digest::content_digest;
use agent_api::pod_hash::pod_hash;

use super::{Said, carried, free, runs, ungoverned, unmarked};
use crate::agent::Part;
use crate::event::Place;
use crate::world::World;

/// Content that has a ReplicaSet.
pub(super) fn made(own: &Part) -> BTreeSet<String> {
    let sets = own.cluster.observed.replica_sets.iter();
    sets.filter_map(carried).collect()
}

impl World {
    /// Content has started that nobody let start. `again`: had the Rollout never served, it would have been free; `adopted`: the
    /// cluster had begun something when its governance began.
    pub(super) fn rule_of_start(
        &self,
        place: Place,
        digest: &str,
        (again, adopted): (bool, bool),
    ) -> &'static str {
        let gate = self
            .part(place)
            .gate()
            .and_then(|gate| gate.status.as_ref());
        let local = gate.and_then(|status| status.local_permit.as_ref());
        let recorded = local.is_some_and(|one| one.origin == LocalPermitOrigin::Adopted);
        let adopted = adopted || recorded;
        if let Some(rule) = self.rule_of_words(place, digest) {
            rule
        } else if adopted {
            "G11"
        } else if again && self.ghost.made.contains_key(&place) {
            "G10"
        } else if self.words_here(place).is_empty() {
            "G8"
        } else if self.part(place).gate().is_none() {
            "G6"
        } else {
            "S3"
        }
    }

    /// G7: while the API server has not said whether the kinds are there, nothing gets pods that had none.
    pub(super) fn waits_for_the_kinds(&mut self, place: Place) {
        if !self.agents[place.agent].kinds_unknown(self.now) {
            return;
        }
        let running = self.ghost.running.get(&place);
        let wanted = runs(self.part(place));
        let begun = wanted
            .iter()
            .find(|digest| running.is_none_or(|all| !all.contains(*digest)));
        // What it served, or was on its way to, may have lost its pods meanwhile.
        let known = [self.ghost.served.get(&place), self.ghost.sets.get(&place)];
        let known = |digest: &String| known.into_iter().flatten().any(|all| all.contains(digest));
        if let Some(digest) = begun.filter(|digest| !known(digest)) {
            let name = self.name_of(place);
            let message = format!("{name} starts {digest}, and does not know who governs it");
            self.fail("G7", message);
        }
    }

    /// G14: what is held has no ReplicaSet, also none without pods, and is not what the Rollout shows itself on its way to.
    pub(super) fn is_held(&mut self, place: Place) {
        let there = made(self.part(place));
        let before = self.ghost.sets.insert(place, there.clone());
        let part = self.part(place);
        let Some(template) = part.cluster.observed.rollout.spec.template.as_ref() else {
            return;
        };
        let digest = content_digest(template).to_string();
        if before.is_some_and(|all| all.contains(&digest)) || self.may_start(place, &digest) {
            return;
        }
        let hash = pod_hash(template, None);
        let shown = part.status().current_pod_hash == Some(hash);
        let name = self.name_of(place);
        if there.contains(&digest) {
            let message = format!("{name} has a ReplicaSet of {digest}, which is held");
            self.fail("G14", message);
        } else if shown {
            let message = format!("{name} shows itself on its way to {digest}, which is held");
            self.fail("G14", message);
        }
    }

    /// Whether anything that really was said, or was served, lets content start here.
    fn may_start(&self, place: Place, digest: &str) -> bool {
        let (own, part) = (&self.agents[place.agent], self.part(place));
        let member = own.member.as_ref();
        let served = self.ghost.served.get(&place);
        let was_served = served.is_some_and(|all| all.contains(digest));
        let words = self.words_here(place);
        let said = |word: &super::Word| word.said == Said::LetGo || word.said.allows(digest);
        let fresh = self.ghost.fresh.contains(&place) && ungoverned(member, part);
        let nothing_served = served.is_none_or(BTreeSet::is_empty);
        let forgotten = self.ghost.forgot.contains(&place) && unmarked(member, part);
        let first = (nothing_served || forgotten) && free(member, part, digest);
        let flight = self.ghost.in_flight.get(&place).map(String::as_str);
        self.is_free(own, place)
            || fresh
            || first
            || was_served
            || flight == Some(digest)
            || self.is_by_glass(place, digest)
            || words.iter().any(said)
    }
}
