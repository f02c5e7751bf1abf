//! What persons in a cluster have said, and what may come of it (gate.md G15, G16). In: their words, what starts. Out: whether one of
//! them lets it start. It must not ask what the Gate has recorded, but for what a hub has to be told of it.

use std::collections::BTreeSet;

use agent_engine::sets::{by_hash, views};
use hub_engine::ClusterName;
use hub_store::report::{Body, Report};

use crate::event::Place;
use crate::world::World;

/// A word to do without the fleet's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    digest: String,
    reason: String,
    /// The cluster can tell that whoever said it had the right.
    admitted: bool,
    /// It has let something start.
    used: bool,
}

impl World {
    /// Contents that a Rollout was given at some time.
    pub(crate) fn contents_of(&self, place: Place) -> Vec<String> {
        let had = self.ghost.had.get(&place);
        had.into_iter().flatten().cloned().collect()
    }

    /// Those that it has served.
    pub(crate) fn was_served(&self, place: Place) -> Vec<String> {
        let served = self.ghost.served.get(&place);
        served.into_iter().flatten().cloned().collect()
    }

    /// Somebody promotes, skips or aborts what is on its way, or starts it again.
    pub(crate) fn said_here(&mut self, place: Place, again: bool) {
        let part = self.part(place);
        let (status, views) = (part.status(), views(&part.cluster.observed));
        let current = by_hash(&views, status.current_pod_hash.as_ref());
        let Some(digest) = current.map(|set| set.digest.to_string()) else {
            return;
        };
        let hash = status.current_pod_hash.as_ref().map(ToString::to_string);
        self.ghost.spoken.extend(hash.map(|hash| (place, hash)));
        let all = self.ghost.said_here.entry(place).or_default();
        all.insert(digest.clone());
        if again {
            let all = self.ghost.retried.entry(place).or_default();
            all.insert(digest);
        }
    }

    /// Whether somebody in the cluster has said something of this content.
    pub(super) fn is_said_here(&self, place: Place, digest: &str) -> bool {
        let said = self.ghost.said_here.get(&place);
        said.is_some_and(|all| all.contains(digest))
    }

    /// The record of how far it had come was lost, and somebody in the cluster has said that it goes on: they are believed.
    pub(super) fn is_believed(&self, place: Place, digest: &str) -> bool {
        self.ghost.gates_gone.contains(&place) && self.is_said_here(place, digest)
    }

    /// The same word, written once more, is one word.
    pub(crate) fn glass_said(&mut self, place: Place, digest: &str, reason: &str) {
        let admitted = self.agents[place.agent].glass_admitted;
        let all = self.ghost.glass.entry(place).or_default();
        let known = |one: &Broken| one.digest == digest && one.reason == reason;
        if !all.iter().any(known) {
            all.push(Broken {
                digest: digest.to_owned(),
                reason: reason.to_owned(),
                admitted,
                used: false,
            });
        }
    }

    /// The record of what was spent is gone: with it goes that a word was.
    pub(crate) fn glass_forgotten(&mut self, place: Place) {
        self.ghost.gates_gone.insert(place);
        for one in self.ghost.glass.get_mut(&place).into_iter().flatten() {
            one.used = false;
        }
    }

    /// The Rollout is another object by now: what a word had let start goes on there by the Gate's record.
    pub(crate) fn glass_goes_on(&mut self, place: Place) {
        for one in self.ghost.glass.get_mut(&place).into_iter().flatten() {
            one.used = false;
        }
    }

    /// Whether a word that has let nothing start yet lets this one start.
    pub(super) fn glass_lets(&self, place: Place, digest: &str) -> bool {
        let all = self.ghost.glass.get(&place);
        let mut all = all.into_iter().flatten();
        all.any(|one| one.digest == digest && one.admitted && !one.used)
    }

    /// Whether a word has ever let this one start, or does.
    pub(super) fn is_by_glass(&self, place: Place, digest: &str) -> bool {
        let all = self.ghost.glass.get(&place);
        let mut all = all.into_iter().flatten();
        all.any(|one| one.digest == digest && one.admitted)
    }

    /// Something has started by a word: that is spent.
    pub(super) fn glass_is_used(&mut self, place: Place, started: &BTreeSet<String>) {
        for digest in started {
            let all = self.ghost.glass.get_mut(&place);
            let mut all = all.into_iter().flatten();
            if let Some(one) = all.find(|one| one.digest == *digest && one.admitted && !one.used) {
                one.used = true;
                self.meets("GlassStarts");
            }
        }
    }

    /// The rule against which something starts where persons in the cluster have said something, if they have.
    pub(super) fn rule_of_words(&self, place: Place, digest: &str) -> Option<&'static str> {
        let retried = self.ghost.retried.get(&place);
        if retried.is_some_and(|all| all.contains(digest)) {
            return Some("G15");
        }
        self.ghost.glass.contains_key(&place).then_some("G16")
    }

    /// Reports were committed.
    pub(crate) fn glass_told(&mut self, cluster: &ClusterName, reports: &[Report]) {
        for report in reports {
            if let Body::BrokenGlass(one) = &report.body {
                let told = (one.digest.to_string(), one.by.clone(), one.reason.clone());
                self.ghost.glass_told.insert((cluster.clone(), told));
            }
        }
    }

    /// G16: in the end a hub knows who did without the fleet's word, and why.
    pub(super) fn glass_is_told(&mut self) {
        for agent in 0..self.agents.len() {
            for place in self.places(agent) {
                let gate = self.part(place).gate();
                let status = gate.and_then(|gate| gate.status.as_ref());
                let known = status.map_or(&[][..], |status| &status.break_glass);
                let name = &self.agents[agent].name;
                let untold = known.iter().find(|one| {
                    let told = (one.digest.to_string(), one.by.clone(), one.reason.clone());
                    !self.ghost.glass_told.contains(&(name.clone(), told))
                });
                if let Some(one) = untold {
                    let name = self.name_of(place);
                    let message = format!(
                        "no hub knows that {} broke the glass in {name}: {}",
                        one.by, one.reason
                    );
                    return self.fail("G16", message);
                }
            }
        }
    }
}
