//! What waits to be told (S11). In: an agent's queue of reports, the hub's queue of what it has heard, what really ended. Out: the
//! first queue that grows without bound, the first end that nobody has any more. It must not ask a queue what it has dropped.

use agent::key::ObjectKey;
use hub_engine::RolloutName;
use proto::v1::report::Body;

use super::at;
use crate::event::{Place, Up};
use crate::world::World;

/// Reports of one Rollout that wait: its state, its change, and the beginning and end of the permits that it had since anybody was
/// there to be told.
const WAITING_EACH: usize = 8;
/// Reports under way, as `report::MAX_UNDER_WAY`.
const UNDER_WAY: usize = 256;
/// Batches that a hub has heard and its database not: no more than an agent may have under way, and what came twice.
const HEARD: usize = 2 * UNDER_WAY;

impl World {
    /// An agent's queue is bounded, whoever does not listen.
    pub(crate) fn little_waits(&mut self, agent: usize) {
        let own = &self.agents[agent];
        let Some(process) = &own.process else { return };
        let (waiting, under_way) = process.reports.counts();
        if waiting > WAITING_EACH * own.parts.len() || under_way > UNDER_WAY {
            let message = format!("{waiting} reports wait in {}, {under_way} go", own.name);
            self.fail("S11", message);
        }
    }

    /// And so is what a hub has heard of one.
    pub(crate) fn little_is_heard(&mut self, hub: usize, connection: u64) {
        let session = self.hubs[hub].sessions.get(&connection);
        let heard = session.into_iter().flat_map(|session| &session.inbox);
        let reports = heard.filter(|one| matches!(one, Up::Reports(_))).count();
        if reports > HEARD {
            self.fail("S11", format!("{reports} batches wait in hub {hub}"));
        }
    }

    /// The hub has acknowledged something: what has ended in the cluster is in its tables, or still to be told.
    pub(crate) fn ends_are_kept(&mut self, agent: usize) {
        let lost = self
            .places(agent)
            .find_map(|place| self.end_is_lost_of(place));
        if let Some(lost) = lost {
            self.fail("S11", lost);
        }
    }

    fn end_is_lost_of(&self, place: Place) -> Option<String> {
        let own = &self.agents[place.agent];
        let process = own.process.as_ref()?;
        let row = self.store.rows.get(&own.name)?;
        // What a hub has of another session, or had before its database was put back, the next Hello brings.
        let (_, session) = process.link?;
        let lost = self.ghost.restored || session != Some(row.session);
        let part = self.part(place);
        let key = part.key();
        if lost || part.gone || !process.known[place.part].first_done {
            return None;
        }
        let ended = part.gate()?.status.as_ref()?.outcome.as_ref()?;
        // Told in words of a later version, it is not dropped: the hub passes it over (S14).
        let told = format!("the end of {}", ended.fence);
        if self.ghost.is_unread(place.agent, &told, (0, 0)) {
            return None;
        }
        let rollout = RolloutName {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        };
        let known = row.state(&rollout).and_then(|state| state.outcome.as_ref());
        let known = known.map(|one| (one.fence.incarnation, one.fence.version));
        if known >= Some(at(ended.fence)) || is_told(place, &key, self, at(ended.fence)) {
            return None;
        }
        let name = self.name_of(place);
        Some(format!(
            "the end of {} in {name} is told by nobody",
            ended.fence
        ))
    }
}

/// Whether the queue still has it.
fn is_told(place: Place, key: &ObjectKey, world: &World, fence: (u64, u64)) -> bool {
    let process = world.agents[place.agent].process.as_ref();
    let Some(queue) = process.map(|process| process.reports.clone()) else {
        return false;
    };
    let states = queue.begin();
    let says = |outcome: Option<&proto::v1::Outcome>| {
        outcome.is_some_and(|one| at(agent::wire::fence(one.fence.as_ref())) == fence)
    };
    let of = |reference: Option<&proto::v1::RolloutRef>| {
        reference.is_some_and(|one| (&one.namespace, &one.name) == (&key.namespace, &key.name))
    };
    // A record that was written when the process died is told with the state, at its first whole pass.
    let unsaid = !states
        .iter()
        .any(|state| of(state.rollout.as_ref()) && says(state.outcome.as_ref()));
    let batches = std::iter::from_fn(|| queue.batch(0));
    let mut reports = batches.flat_map(|batch| batch.reports);
    unsaid
        || reports.any(|report| match report.body {
            Some(Body::Outcome(ended)) => of(ended.rollout.as_ref()) && says(Some(&ended)),
            Some(Body::State(state)) => says(state.outcome.as_ref()),
            Some(
                Body::Changed(_)
                | Body::Effect(_)
                | Body::Verb(_)
                | Body::BrokenGlass(_)
                | Body::Removed(_),
            )
            | None => false,
        })
}
