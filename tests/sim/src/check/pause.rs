//! Pauses of canaries last as long as they are written, however a cluster's clock is set meanwhile (S12). In: what an agent has just
//! written, by the true time. Out: the first pause that was cut short. It must not ask how the agent counts.

use agent_api::{CanaryStep, IntOrString};

use crate::agent::Part;
use crate::event::{Ms, Place};
use crate::world::World;

/// Times of a status have whole seconds, and so does what a clock was set by.
const EXACT: Ms = 2_000;

/// A pause that is seen for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paused {
    /// Of this content, at this step, and in which life of the agent it began.
    of: (String, i32, u64),
    since: Ms,
    lasts: Ms,
}

/// The step that a canary pauses at, and for how long.
fn pauses(own: &Part, steps: &[CanaryStep]) -> Option<(String, i32, Ms)> {
    let status = own.status();
    let step = status.current_step_index?;
    let pause = steps.get(usize::try_from(step).ok()?)?.pause.as_ref()?;
    let Some(IntOrString::Int(seconds)) = pause.duration else {
        return None;
    };
    // It has begun where the status says so.
    status
        .pause_conditions
        .iter()
        .find(|one| one.reason == agent_api::names::pause_reason::CANARY_PAUSE_STEP)?;
    let content = status.current_pod_hash?.to_string();
    Some((content, step, Ms::from(seconds) * 1_000))
}

impl World {
    /// After a write of an agent. Of what was before a restart the wall clock alone tells.
    pub(super) fn pause_lasts(&mut self, place: Place) {
        let own = &self.agents[place.agent];
        let (life, part) = (own.life, &own.parts[place.part]);
        // Where Git changes steps it cannot always be told by which a pause began.
        let steps = self.followed(place).filter(|_| !self.restepped);
        let steps = steps.unwrap_or_default();
        let now = pauses(part, &steps).map(|(content, step, lasts)| Paused {
            of: (content, step, life),
            since: self.now,
            lasts,
        });
        let status = part.status();
        let content = status.current_pod_hash.map(|hash| hash.to_string());
        let step = status.current_step_index;
        let known = self.ghost.pauses.get(&place).cloned();
        if let (Some(known), Some(now)) = (&known, &now)
            && (&known.of.0, known.of.1) == (&now.of.0, now.of.1)
        {
            return;
        }
        match now {
            Some(now) => self.ghost.pauses.insert(place, now),
            None => self.ghost.pauses.remove(&place),
        };
        let Some(Paused { of, since, lasts }) = known else {
            return;
        };
        let goes_on = content.as_ref() == Some(&of.0) && step > Some(of.1) && life == of.2;
        let goes_on = goes_on && !self.ghost.spoken.contains(&(place, of.0.clone()));
        let lasted = self.now - since;
        if goes_on && status.abort != Some(true) && lasted + EXACT < lasts {
            let name = self.name_of(place);
            let message = format!("{name} has paused {lasted} ms of {lasts}");
            self.fail("S12", message);
        }
    }
}
