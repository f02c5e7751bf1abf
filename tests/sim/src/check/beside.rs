//! FleetRollouts beside each other: what is said to one, and what becomes of it, is nothing to the others (gate.md G12, G30).
//! In: commits, sets that were stored, the end of a life. Out: the first thing that is another's. It must not ask the engine.

use hub_engine::action::MemberChange;
use hub_engine::document::Enforcement;
use hub_engine::observed::Gate;
use hub_engine::release::{Cause, Direction};
use hub_engine::verb::Verb;
use hub_engine::{Action, ClusterName, FleetRollout};

use super::{Said, at};
use crate::event::{Draft, Ms, Place};
use crate::world::World;

/// A word of a person is everywhere by then: 5 s, and one poll.
const REACHES_WITHIN: Ms = 6_000;

impl World {
    /// G12: documents were applied, and these were refused: one that would govern what another one governs, and no other.
    pub(crate) fn declared(&mut self, refused: &[FleetRollout]) {
        let several = self.rollouts.len() > 1;
        let names: Vec<&str> = refused.iter().map(|one| one.name.as_str()).collect();
        let wanted: &[&str] = if several { &["double"] } else { &[] };
        if names != wanted {
            self.fail("G12", format!("{names:?} are refused at apply"));
        }
    }

    /// A commit about one FleetRollout: whose words it obeys, whose Rollouts it touches, and whose stop it tells.
    pub(super) fn addressed(&mut self, draft: &Draft, action: &Action) {
        let fleet = draft.fleet;
        if let Some(id) = word(action)
            && self.ghost.asked_of(id) != Some(fleet)
        {
            let whose = self.ghost.asked_of(id);
            let message = format!("{action}: word {id} was said to {whose:?}, not to {fleet}");
            return self.fail("G30", message);
        }
        self.governed_by(draft, action);
        if let Action::Govern { cluster, terms } = action {
            let stops = [None, Some(fleet)].map(|of| self.store.stops.get(&of));
            let stopped = stops.into_iter().flatten().any(|row| row.stop.is_some());
            if stopped != terms.stopped.is_some() {
                let message = format!("{cluster} is told {:?} by {fleet}", terms.stopped);
                self.fail("G30", message);
            }
        }
    }

    /// G12: a Rollout in a cluster is one FleetRollout's, until that one lets it go.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others change nothing that a cluster holds"
    )]
    fn governed_by(&mut self, draft: &Draft, action: &Action) {
        let (fleet, part) = (draft.fleet, self.part_of(draft.fleet));
        let key = |cluster: &ClusterName| (cluster.clone(), part);
        let owner = match action {
            Action::Govern { cluster, terms } => {
                let gate = draft.observed.cluster(cluster);
                let gate = gate.and_then(|own| own.gate.as_ref());
                // What was let go, or never governed, or only observed, is held from now on.
                let observed = |gate: &Gate| gate.terms.enforcement == Enforcement::Observe;
                if terms.enforcement == Enforcement::Observe {
                    self.said(fleet, cluster, Said::LetGo);
                } else if gate.is_none_or(|gate| gate.let_go.is_some() || observed(gate)) {
                    self.said(fleet, cluster, Said::Held);
                }
                self.ghost.governs(key(cluster), fleet)
            }
            Action::Member {
                change: MemberChange::Ungovern { cluster, .. },
            } => {
                let owner = self.ghost.governs(key(cluster), fleet);
                self.ghost.governs_no_more(&key(cluster));
                self.said(fleet, cluster, Said::LetGo);
                owner
            }
            // What it let go in the same decision loses its permit after that: no sign of governing.
            Action::GrantPermit { cluster, .. }
            | Action::RevokePermit { cluster, .. }
            | Action::SetWaiting { cluster, .. } => self.ghost.governor(&key(cluster)),
            _ => None,
        };
        // G9: where governance has ended nothing is permitted any more.
        if let Action::GrantPermit {
            cluster,
            direction: Direction::Forward,
            ..
        } = action
            && owner.is_none()
        {
            let message = format!("{action}, and nobody governs {cluster} any more");
            return self.fail("G9", message);
        }
        if let Some(other) = owner.filter(|other| *other != fleet) {
            let message = format!("{action} by {fleet}, where {other} governs");
            self.fail("G12", message);
        }
    }

    /// A set was stored: each Gate is its own Rollout's, and so is its permit.
    pub(super) fn gates_are_their_own(&mut self, agent: usize) {
        for place in self.places(agent) {
            let own = &self.agents[agent];
            let (Some(gate), key) = (self.part(place).gate(), self.part(place).key()) else {
                continue;
            };
            let of = &gate.spec.rollout;
            if (&of.namespace, &of.name) != (&key.namespace, &key.name) {
                let message = format!("{key} in {} has the Gate of {}", own.name, of.name);
                return self.fail("G5", message);
            }
            let stored = own.member.as_ref().map(|member| at(member.fence));
            let permit = gate.spec.permit.as_ref();
            let Some(permit) = permit.filter(|one| Some(at(one.fence)) <= stored) else {
                continue;
            };
            let words = self.ghost.words.get(&(own.name.clone(), place.part));
            let digest = permit.digest.as_str();
            let said = words.into_iter().flatten().any(|word| {
                word.permit == at(permit.fence) && word.said == Said::Permitted(digest.to_owned())
            });
            if !said {
                let message = format!("{key} in {} was never permitted {digest}", own.name);
                return self.fail("G17", message);
            }
        }
    }

    /// At the end every Gate tells the stop of its own FleetRollout, and of no other.
    pub(super) fn stops_are_their_own(&mut self) {
        for agent in 0..self.agents.len() {
            for place in self.places(agent) {
                let Some(told) = self.stop_told(place) else {
                    continue;
                };
                let name = &self.agents[agent].name;
                let row = self.store.rows.get(name);
                let entry = row.and_then(|row| row.gates.get(&self.rollouts[place.part]));
                let fleet = entry.map(|entry| entry.fleet);
                let stopped = fleet.is_some_and(|fleet| self.store.fleets[fleet].stopped.is_some());
                if told != stopped {
                    let of = self.name_of(place);
                    let message =
                        format!("{of} is told stopped {told}, and {fleet:?} is {stopped}");
                    return self.fail("G30", message);
                }
            }
        }
    }

    /// L7, G30: what a person said when nothing broke is in every cluster that is connected, in time: a word to abort is
    /// answered, every set is stored, every Gate tells the stop.
    pub(super) fn reaches(&mut self) {
        let Some(at) = self.ghost.alarm.filter(|at| self.now > at + REACHES_WITHIN) else {
            return;
        };
        self.ghost.alarm = None;
        let mut requests = self.store.fleets.iter().flat_map(|one| &one.requests);
        if let Some(one) = requests.find(|one| matches!(one.verb, Verb::Abort { .. })) {
            let message = format!("{:?} of {at} is not answered", one.verb);
            return self.fail("L7", message);
        }
        for own in &self.agents {
            let row = self.store.rows.get(&own.name);
            let desired = row.map(|row| (row.desired.incarnation, row.desired.version));
            let stored = own.member.as_ref().map(|member| super::at(member.fence));
            // What a decision raised a moment ago is on its way.
            let raised = self.ghost.raised.get(&own.name).copied().unwrap_or(0);
            let late = stored
                .zip(desired)
                .is_none_or(|(stored, desired)| stored < desired);
            if late && self.now > raised + REACHES_WITHIN {
                let message = format!("{} has {stored:?} of {desired:?}", own.name);
                return self.fail("L7", message);
            }
        }
        self.stops_are_their_own();
    }

    /// Whether a Gate that governs says that it is stopped.
    fn stop_told(&self, place: Place) -> Option<bool> {
        let gate = self.part(place).gate()?;
        let told = gate.spec.rest.contains_key(agent::wire::STOPPED);
        gate.spec.governed.then_some(told)
    }
}

/// The person's word that an action answers.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the others are no answer to a person"
)]
fn word(action: &Action) -> Option<u64> {
    match action {
        Action::OpenRelease {
            cause: Cause::Person { request, .. },
            ..
        }
        | Action::RefuseRequest { request, .. }
        | Action::Obey { request, .. }
        | Action::Unbar { request, .. }
        | Action::Member {
            change:
                MemberChange::Ungovern { request, .. }
                | MemberChange::Govern { request, .. }
                | MemberChange::Answer { request, .. },
        } => Some(*request),
        _ => None,
    }
}
