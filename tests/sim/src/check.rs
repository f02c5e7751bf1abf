//! What must hold after every event, from what really happened. In: the whole, before and after. Out: the first thing that
//! is wrong. It knows the truth of every cluster and every commit, and uses none of the engines' rules; their own audits run
//! on every plan beside it.

mod actors;
mod analyses;
mod arrived;
mod audit;
mod back;
mod beside;
mod committed;
mod content;
mod delivery;
mod effects;
mod empties;
mod end;
mod fence;
mod ghost;
mod git;
mod glass;
mod held;
mod leads;
mod lease;
mod member;
mod onward;
mod opening;
mod order;
mod others;
mod outbox;
mod paper;
mod passing;
mod pause;
mod people;
mod restored;
mod sets;
mod skew;
mod spread;
mod view;
mod window;
mod withdrawn;

use std::collections::BTreeSet;

use agent::gate_store::fence_of;
use agent_api::names::ANNOTATION_DIGEST;
use agent_api::{Fence, FleetMemberStatus, Outcome, OutcomeResult, ReplicaSet};
use agent_engine::sets::{by_hash, views};

pub(crate) use end::view_differs;
pub(crate) use ghost::Ghost;
pub(crate) use people::Agreed;

use crate::agent::{Agent, Part};
use crate::event::Place;
use crate::world::World;
use ghost::{Said, Word};

/// Incarnation and version, as both engines have them.
pub(crate) type At = (u64, u64);

pub(crate) fn at(fence: Fence) -> At {
    (fence.incarnation, fence.version)
}

/// The digest that a ReplicaSet carries.
fn carried(set: &ReplicaSet) -> Option<String> {
    set.metadata
        .annotations
        .as_ref()?
        .get(ANNOTATION_DIGEST)
        .cloned()
}

/// Content that has pods, or is to have some.
pub(crate) fn runs(own: &Part) -> BTreeSet<String> {
    let sets = own.cluster.observed.replica_sets.iter();
    let wanted = sets.filter(|set| set.desired() > 0);
    wanted.filter_map(carried).collect()
}

/// Content that the Rollout is on its way to.
fn in_flight(own: &Part) -> Option<String> {
    let (status, views) = (own.status(), views(&own.cluster.observed));
    let current = by_hash(&views, status.current_pod_hash.as_ref());
    let current = current.filter(|_| status.abort != Some(true));
    current.map(|set| set.digest.to_string())
}

/// Whether the hub has said that a first deploy of this content needs nobody's word, in a set whose fence is stored.
fn free(member: Option<&FleetMemberStatus>, own: &Part, digest: &str) -> bool {
    let Some(gate) = own.gate() else { return false };
    let said = Fence {
        incarnation: gate.spec.incarnation,
        version: gate.spec.version,
    };
    if member.is_none_or(|member| member.fence < said) {
        return false;
    }
    let rest = &gate.spec.rest;
    let listed = rest.get(agent::wire::PASSED).and_then(|all| all.as_array());
    let passed = listed.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(digest)));
    passed || rest.get(agent::wire::FIRST_DEPLOY_FREE) == Some(&true.into())
}

/// The member record does not know what the Rollout's name served.
fn unmarked(member: Option<&FleetMemberStatus>, own: &Part) -> bool {
    let key = own.key().to_string();
    member.is_none_or(|member| !member.served.contains_key(&key))
}

/// Nobody in the cluster knows that somebody governs the Rollout.
fn ungoverned(member: Option<&FleetMemberStatus>, own: &Part) -> bool {
    let key = own.key();
    member.is_none_or(|member| {
        let mut governed = member.governed.iter();
        !governed.any(|one| one.namespace == key.namespace && one.name == key.name)
    })
}

impl World {
    /// After every event: what is cheap enough to be looked at always.
    pub(crate) fn check(&mut self) {
        for agent in 0..self.agents.len() {
            let own = &self.agents[agent];
            let fence = own.member.as_ref().map(|member| member.fence);
            let known = self.ghost.fences.get(&agent).copied();
            if let (Some(fence), Some(known)) = (fence, known)
                && fence < known
            {
                let message = format!("{} stored {fence} after {known}", own.name);
                return self.fail("S3", message);
            }
            if let Some(fence) = fence {
                self.ghost.fences.insert(agent, fence);
            }
        }
        self.reaches();
        self.somebody_leads();
    }

    /// An agent has written something of a Rollout.
    pub(crate) fn passed(&mut self, place: Place) {
        self.is_as_admitted(place);
        self.one_set_each(place);
        self.waits_for_the_kinds(place);
        self.no_guess(place);
        self.starts(place);
        self.is_held(place);
        self.goes_on(place);
        self.outcome(place);
        self.marked(place);
        self.raises(place);
        self.steps_are_frozen(place);
        self.step_is_seen(place);
        self.capacity(place);
        self.pause_lasts(place);
    }

    /// The newest words about a Rollout whose fence is stored in its cluster: after a restore a number may have been given
    /// twice, and what was said under it first counts, too.
    fn words_here(&self, place: Place) -> Vec<Word> {
        let own = &self.agents[place.agent];
        let stored = own.member.as_ref().map(|member| at(member.fence));
        let words = self.ghost.words.get(&(own.name.clone(), place.part));
        let words = words.into_iter().flatten();
        // What it could not read leaves everything as it was, until it reads it.
        let name = &self.rollouts[place.part].name;
        let gate = own.parts[place.part].gate();
        let gate = gate.map(|gate| at(fence_of(&gate.spec)));
        let read = |word: &&Word| {
            !self.ghost.is_unread(place.agent, name, word.fence) || gate >= Some(word.fence)
        };
        let known = words.filter(|word| Some(word.fence) <= stored).filter(read);
        let newest = known.clone().map(|word| word.fence).max();
        let newest = known.filter(|word| Some(word.fence) == newest);
        newest.cloned().collect()
    }

    /// S2, S3, G14, G17: what starts has been allowed by a committed word whose fence is stored here.
    fn starts(&mut self, place: Place) {
        let own = &self.agents[place.agent];
        let (member, part) = (own.member.as_ref(), self.part(place));
        let wanted = runs(part);
        let served = self.ghost.served.get(&place);
        let nothing_served = served.is_none_or(BTreeSet::is_empty);
        let running = self.ghost.running.get(&place);
        let words = self.words_here(place);
        // G10: a Rollout that was made again, where the cluster was put back to before it knew of the old one.
        let fresh = self.ghost.fresh.contains(&place);
        let forgotten = self.ghost.forgot.contains(&place) && unmarked(member, part);
        // Of no FleetRollout's concern, or of none any more.
        let nobodys = self.is_free(own, place) || fresh && ungoverned(member, part);
        let let_go = words.iter().any(|word| word.said == Said::LetGo);
        // G11: what was in flight when governance began finishes, also where none of its pods had found room yet.
        let current = in_flight(part);
        let known = self.ghost.in_flight.get(&place);
        let flight = current.filter(|one| nobodys || let_go || known == Some(one));
        let (mut wrong, mut late) = (None, None);
        let mut by_glass = BTreeSet::new();
        for digest in &wanted {
            let goes_on = running.is_some_and(|all| all.contains(digest));
            let goes_on = goes_on || flight.as_ref() == Some(digest);
            let was_served = served.is_some_and(|all| all.contains(digest));
            // G8, G10: a first deploy is free only where the hub has said so.
            let first = (nothing_served || forgotten) && free(member, part, digest);
            if goes_on || was_served || first || nobodys {
                continue;
            }
            if self.glass_lets(place, digest) {
                by_glass.insert(digest.clone());
                continue;
            }
            let allowed = words.iter().find(|word| word.said.allows(digest));
            let spent = allowed.and_then(|word| {
                let key = (own.name.clone(), place.part, word.permit);
                self.ghost.outcomes.get(&key)
            });
            let what = match (allowed, spent) {
                (Some(_), None | Some((OutcomeResult::Served, _))) => {
                    let after = self.started_after(place, digest);
                    late = late.or(after.map(|ms| format!("{digest} {ms} ms after its start-by")));
                    continue;
                }
                (Some(_), Some((result, _))) => format!("its permit has ended {result:?}"),
                (None, _) => format!("the last word stored here is {words:?}"),
            };
            let message = format!("{} starts {digest}: {what}", self.name_of(place));
            let again = free(member, part, digest);
            let rule = self.rule_of_start(place, digest, (again, known.is_some()));
            // Nothing local revives what has come to its end.
            let rule = if spent.is_some() { "S4" } else { rule };
            wrong = Some((rule, message));
        }
        self.glass_is_used(place, &by_glass);
        self.ghost.running.insert(place, wanted);
        match flight {
            Some(flight) => self.ghost.in_flight.insert(place, flight),
            None => self.ghost.in_flight.remove(&place),
        };
        if let Some((rule, wrong)) = wrong {
            self.fail(rule, wrong);
        }
        if let Some(late) = late {
            let message = format!("{} starts {late}", self.name_of(place));
            self.fail("S12", message);
        }
    }

    /// What no FleetRollout selects is free once the cluster has its first set, which names all that is governed (gate.md G8).
    fn is_free(&self, own: &Agent, place: Place) -> bool {
        let heard = own
            .member
            .as_ref()
            .is_some_and(|one| one.first_contact_done);
        let mut over = self.store.over(&self.rollouts[place.part]);
        heard && !over.any(|fleet| self.selects(fleet, &own.name))
    }

    /// What the member record says that it served, also where the agent died before its Gate said so.
    fn marked(&mut self, place: Place) {
        let own = &self.agents[place.agent];
        let key = own.parts[place.part].key().to_string();
        let member = own.member.as_ref();
        if let Some(mark) = member.and_then(|member| member.served.get(&key)) {
            let all = self.ghost.served.entry(place).or_default();
            all.insert(mark.digest.to_string());
        }
    }

    /// S4, G18: a permit ends once, and Served is the truth.
    fn outcome(&mut self, place: Place) {
        let part = self.part(place);
        let Some(status) = part.gate().and_then(|gate| gate.status.clone()) else {
            return;
        };
        let replicas = part.cluster.observed.rollout.spec.replicas();
        let sets = part.cluster.observed.replica_sets.clone();
        let available = |digest: &str| -> i32 {
            sets.iter()
                .filter(|set| carried(set).as_deref() == Some(digest))
                .map(ReplicaSet::available)
                .sum()
        };
        let name = self.name_of(place);
        let untested = status
            .outcome
            .as_ref()
            .and_then(|end| self.untested(place, end));
        if let Some(served) = &status.served {
            let all = self.ghost.served.entry(place).or_default();
            if all.insert(served.digest.to_string()) && available(served.digest.as_str()) < replicas
            {
                let message = format!("{name} says that it serves {}", served.digest);
                return self.fail("G18", message);
            }
        }
        let Some(outcome) = status.outcome else {
            return;
        };
        let cluster = self.agents[place.agent].name.clone();
        let key = (cluster, place.part, at(outcome.fence));
        match self.ghost.outcomes.get(&key) {
            Some((result, _)) if *result != outcome.result => {
                let message = format!(
                    "the permit {} in {name} ended {result:?} and then {:?}",
                    outcome.fence, outcome.result
                );
                self.fail("S4", message);
            }
            Some(_) => {}
            None => {
                let there = available(outcome.digest.as_str());
                if outcome.result == OutcomeResult::Served && there < replicas {
                    let message = format!("{name}: Served with {there} of {replicas}");
                    return self.fail("G18", message);
                }
                if let Some(untested) = untested {
                    return self.fail("G18", untested);
                }
                self.ghost.outcomes.insert(key, (outcome.result, self.now));
                if outcome.result == OutcomeResult::NoRollbackTarget {
                    self.meets("NoRollbackTarget");
                }
                if outcome.result == OutcomeResult::Failed {
                    self.gave_up(place, outcome.digest.as_str());
                }
                self.ended(place);
            }
        }
    }

    /// G18: what its analysis finds bad is never served where something was served before it: there it has steps, and one of them
    /// is the analysis. A Rollout that was made again, or put back from a copy, may have none.
    fn untested(&self, place: Place, end: &Outcome) -> Option<String> {
        let served = self.ghost.served.get(&place)?;
        let digest = end.digest.as_str();
        let is_new = !served.is_empty() && !served.contains(digest);
        let again = self.ghost.forgot.contains(&place);
        let bad = self.ghost.is_bad(place, digest, &self.bad);
        let ends_well = end.result == OutcomeResult::Served;
        let again = again || self.is_said_here(place, digest);
        (ends_well && is_new && bad && !again).then(|| {
            let name = self.name_of(place);
            format!("{name} serves {digest}, which its analysis finds bad")
        })
    }

    /// S13: what serves keeps its pods.
    fn capacity(&mut self, place: Place) {
        if self.ghost.served.get(&place).is_none_or(BTreeSet::is_empty) {
            return;
        }
        let observed = &self.part(place).cluster.observed;
        let replicas = observed.rollout.spec.replicas();
        let sets = &observed.replica_sets;
        let wanted: i32 = sets.iter().map(ReplicaSet::desired).sum();
        let there = sets.iter().map(|set| set.desired().min(set.available()));
        let there: i32 = there.sum();
        if there >= replicas {
            self.ghost.fresh.remove(&place);
        } else if !self.ghost.fresh.contains(&place) {
            let name = self.name_of(place);
            let message = format!("{name} has {there} and wants {wanted} pods of {replicas}");
            self.fail("S13", message);
        }
    }

    /// An agent has taken, or refused, a set.
    pub(crate) fn stored(&mut self, agent: usize) {
        let own = &self.agents[agent];
        let (Some(member), Some(row)) = (&own.member, self.store.rows.get(&own.name)) else {
            return;
        };
        let desired = (row.desired.incarnation, row.desired.version);
        if !self.ghost.restored && at(member.fence) > desired {
            let message = format!("{} holds {} of {desired:?}", own.name, member.fence);
            self.fail("S2", message);
        }
        self.gates_are_their_own(agent);
        self.set_is_whole(agent);
    }

    /// An agent has noted that the hub has a change (L3: acknowledged only when committed).
    pub(crate) fn noted(&mut self, place: Place) {
        let Some((digest, generation)) = self.part(place).told() else {
            return;
        };
        let key = (self.agents[place.agent].name.clone(), place.part, digest);
        if !self.ghost.changes.contains(&key) {
            let message = format!("{key:?} at {generation} was never committed");
            self.fail("link L3", message);
        }
    }
}
