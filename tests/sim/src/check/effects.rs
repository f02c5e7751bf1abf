//! A step of a canary is over when its effect is there (S16). In: what an agent has just written, the pods that there really are.
//! Out: the first step that was left before it was done. It must not ask what the agent saw.

use agent_engine::sets::{by_hash, views};

use crate::agent::Part;
use crate::event::Place;
use crate::world::World;

/// A canary under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walked {
    /// Of this content.
    hash: String,
    /// It has come to this step.
    step: i32,
    /// And is to have so many pods there.
    wanted: i32,
}

/// What is on its way, and its step.
fn walks(own: &Part) -> Option<Walked> {
    let status = own.status();
    let hash = status.current_pod_hash.as_ref()?.to_string();
    let on_its_way = status.stable_rs.is_some() && status.stable_rs != status.current_pod_hash;
    let step = status.current_step_index.filter(|_| on_its_way)?;
    let views = views(&own.cluster.observed);
    let wanted = by_hash(&views, status.current_pod_hash.as_ref())?.desired;
    Some(Walked { hash, step, wanted })
}

impl World {
    /// After a write of an agent: whoever leaves a step that sets a weight has the pods that it asked for.
    pub(super) fn step_is_seen(&mut self, place: Place) {
        let part = self.part(place);
        let now = walks(part);
        let known = self.ghost.walked.get(&place).cloned();
        let left = known
            .zip(now.clone())
            .filter(|(known, now)| known.hash == now.hash && known.step < now.step);
        let wrong = left.and_then(|(known, now)| self.left_early(place, &known, now.step));
        match now {
            Some(now) => self.ghost.walked.insert(place, now),
            None => self.ghost.walked.remove(&place),
        };
        if let Some(wrong) = wrong {
            self.fail("S16", wrong);
        }
    }

    fn left_early(&self, place: Place, known: &Walked, step: i32) -> Option<String> {
        let part = self.part(place);
        let observed = &part.cluster.observed;
        let status = part.status();
        let views = views(observed);
        let set = by_hash(&views, status.current_pod_hash.as_ref())?;
        // What was served here before comes back at once.
        let served = self.ghost.served.get(&place);
        let served = served.is_some_and(|all| all.contains(set.digest.as_str()));
        if served || self.is_said_here(place, set.digest.as_str()) {
            return None;
        }
        let steps = self.followed(place)?;
        let passed = usize::try_from(known.step).ok()?..usize::try_from(step).ok()?;
        let weighs = steps
            .get(passed)?
            .iter()
            .any(|one| one.set_weight > Some(0));
        let enough = set.available >= known.wanted;
        (weighs && !enough).then(|| {
            let (name, there, wanted) = (self.name_of(place), set.available, known.wanted);
            format!("{name} goes on to step {step} with {there} of {wanted} pods of its canary")
        })
    }
}
