//! What must come to pass once nothing breaks any more (faults.md L1, L2, L4, L5, L6). In: the whole. Out: whether the life is
//! over, and what is missing. It must not change anything.

use agent_engine::gate::told;
use agent_engine::sets::{by_hash, views};
use hub_engine::release::Direction;
use hub_engine::{ClusterName, RolloutName, reconcile};

use super::at;
use crate::agent::{Agent, Part};
use crate::event::Ms;
use crate::store::{Row, Store};
use crate::world::World;

/// Everything has ended so long after the last fault, and for each cluster beyond a few so much later: they may go one by one.
const ENDS_WITHIN: Ms = 1_500_000;
const FEW: usize = 5;
const EACH: Ms = 300_000;
/// Nothing is written for so long once everything has ended.
const QUIET: Ms = 70_000;

impl World {
    /// Whether nothing more is to be seen.
    pub(crate) fn over(&mut self) -> bool {
        if self.chaos || self.now < self.config.chaos {
            return false;
        }
        // What is stopped for good need not end, nor what comes after it; everything else does all the same.
        let fleets = self.store.fleets.iter().enumerate();
        let fleets = fleets.filter(|(fleet, _)| !self.waits_for_good(*fleet));
        let releases = fleets.flat_map(|(_, one)| &one.releases);
        let open = releases.into_iter().any(|release| !release.phase.ended());
        let quiet = self.now - self.quiet_since > QUIET;
        if quiet && !open {
            self.at_the_end();
            return true;
        }
        let more = self.agents.len().saturating_sub(FEW);
        let within = ENDS_WITHIN + EACH * Ms::try_from(more).unwrap_or(0);
        if self.now > self.config.chaos + within {
            let why = self.reasons();
            let rule = if open { "L1" } else { "L5" };
            self.fail(rule, format!("it does not come to rest: {why}"));
            return true;
        }
        false
    }

    fn reasons(&self) -> String {
        let fleets = 0..self.store.fleets.len();
        let texts = fleets.flat_map(|fleet| match self.store.observe(fleet, self.now) {
            Err(_) => vec!["the database is away".to_owned()],
            Ok(observed) => {
                let reasons = reconcile(&observed).reasons;
                reasons.iter().map(ToString::to_string).collect()
            }
        });
        texts.collect::<Vec<_>>().join("; ")
    }

    /// G17: its end consumes a permit: no set has it still.
    fn permits_are_spent(&mut self) {
        let rows = self.store.rows.iter();
        let mut sets = rows.flat_map(|(name, row)| {
            let gates = row.gates.iter();
            gates.map(move |(rollout, entry)| (name, row, rollout, entry))
        });
        let spent = sets.find_map(|(name, row, rollout, entry)| {
            let permit = &entry.permit.as_ref()?.permit;
            let ended = row.state(rollout)?.outcome.as_ref()?.fence == permit.fence;
            let forward = permit.direction == Direction::Forward;
            (ended && forward).then(|| format!("{name} still has {} of {rollout}", permit.fence))
        });
        if let Some(spent) = spent {
            self.fail("G17", spent);
        }
    }

    fn at_the_end(&mut self) {
        let led = self
            .hubs
            .iter()
            .any(|hub| hub.held.is_some_and(|(_, until)| until >= self.now));
        if !led {
            return self.fail("L6", "no hub decides".to_owned());
        }
        self.ends_arrived();
        self.chains_hold(true);
        self.rows_give_the_tables();
        for agent in 0..self.agents.len() {
            if let Some(wrong) = view_differs(&self.store, &self.agents[agent]) {
                return self.fail("L2", wrong);
            }
            self.set_is_whole(agent);
        }
        self.stops_are_their_own();
        self.glass_is_told();
        self.runs_are_over();
        self.nothing_is_held();
        self.permits_are_spent();
        self.shows_what_went_back();
    }
}

/// Where the hub's view is not the cluster's truth.
pub(crate) fn view_differs(store: &Store, own: &Agent) -> Option<String> {
    let name = &own.name;
    let linked = own
        .process
        .as_ref()
        .and_then(|process| process.link)
        .is_some_and(|(_, session)| session.is_some());
    if !linked {
        return Some(format!("{name} is not connected"));
    }
    let Some(row) = store.rows.get(name) else {
        return Some(format!("{name} is not known"));
    };
    let stored = own.member.as_ref().map(|member| at(member.fence));
    let [desired, said] = [row.desired, row.stored].map(|one| (one.incarnation, one.version));
    if stored != Some(desired) || said != desired {
        let message = format!("{name} has stored {stored:?} of {desired:?}, the hub has {said:?}");
        return Some(message);
    }
    let mut parts = own.parts.iter();
    parts.find_map(|part| part_differs(name, row, part))
}

fn part_differs(name: &ClusterName, row: &Row, own: &Part) -> Option<String> {
    let key = own.key();
    let name = format!("{name}/{}", key.name);
    let rollout = RolloutName {
        namespace: key.namespace,
        name: key.name,
    };
    let Some(state) = row.state(&rollout) else {
        return Some(format!("nothing is known of {name}"));
    };
    // What a Gate remembers of a Rollout that was let go is not kept up any more.
    let governed = own.gate().is_none_or(|gate| gate.spec.governed);
    if !governed {
        return None;
    }
    let status = own.gate().and_then(|gate| gate.status.as_ref());
    let served = status.and_then(|status| status.served.as_ref());
    let served = served.map(|served| served.digest.to_string());
    let seen = state.served.as_ref().map(ToString::to_string);
    // A Rollout that was made again serves nothing yet, whatever its Gate remembers.
    let (stable, all) = (own.status().stable_rs, views(&own.cluster.observed));
    let serves = stable.is_some();
    // On paper one version may come before the record has the one before it.
    let stable = by_hash(&all, stable.as_ref()).map(|set| set.digest.to_string());
    if serves && served.is_some() && served != seen && stable != seen {
        return Some(format!("{name} serves {served:?}, the hub has {seen:?}"));
    }
    let outcome = status.and_then(|status| status.outcome.as_ref());
    let outcome = outcome.map(|outcome| at(outcome.fence));
    let seen = state.outcome.as_ref();
    let seen = seen.map(|outcome| (outcome.fence.incarnation, outcome.fence.version));
    if outcome.is_some() && outcome != seen {
        return Some(format!("{name} ended {outcome:?}, the hub has {seen:?}"));
    }
    let observed = &own.cluster.observed;
    let held = told::waiting(observed, &own.status(), status, &views(observed));
    let held = held.map(|held| held.to_string());
    let seen = state.held.as_ref().map(ToString::to_string);
    if held != seen {
        return Some(format!("{name} holds {held:?}, the hub has {seen:?}"));
    }
    None
}
