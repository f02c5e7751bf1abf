//! A process that its machine stops in the midst of a pass, and that goes on where it was (S10). In: what it had still to write.
//! Out: what of it the API server takes. By then another process may have its lead; each write is bound to the version of its
//! object, as the agent's own are. It must not look anew.

use std::time::Duration;

use agent::lead::Lead;
use agent_api::RolloutStatus;
use agent_engine::{Action, Observed};

use super::pass::Done;
use super::{Agent, Passed};
use crate::event::Ms;
use crate::planted::{Bugs, Planted};

/// As the agent's own defaults.
const RENEW_WITHIN: Ms = 10_000;
/// Another one may lead so long after the last renewal.
pub const LEASE: Ms = 15_000;

/// What a process had still to write.
#[derive(Debug)]
pub struct Stopped {
    /// Which Rollout.
    pub part: usize,
    /// In which life of the agent.
    pub life: u64,
    actions: Vec<Action>,
    status: RolloutStatus,
    /// What there was when it was stopped.
    seen: Box<Observed>,
    versions: (u64, u64),
}

impl Agent {
    pub(super) fn stopped(
        &self,
        part: usize,
        (actions, status): (Vec<Action>, RolloutStatus),
    ) -> Stopped {
        let own = &self.parts[part];
        Stopped {
            part,
            life: self.life,
            actions,
            status,
            seen: Box::new(own.cluster.observed.clone()),
            versions: (own.rollout_version, own.gate_version),
        }
    }

    /// It goes on, so long after it renewed its Lease last. What it writes.
    pub fn goes_on(&mut self, stopped: Stopped, (now, since): (Ms, Ms), bugs: Bugs) -> Vec<String> {
        let Stopped {
            part,
            actions,
            status,
            seen,
            versions,
            ..
        } = stopped;
        let lead = Lead::within(Duration::from_millis(RENEW_WITHIN.unsigned_abs()));
        lead.renewed(self.moment(now - since, false).mono);
        let leads = lead.holds(self.moment(now, false).mono).is_ok();
        let mut done = Done::nothing(Passed::Died);
        if !leads && !bugs.has(Planted::LeadUnread) || self.parts[part].gone {
            return done.writes;
        }
        let own = &mut self.parts[part];
        let uid = |one: &Observed| one.rollout.metadata.uid.clone();
        if uid(&own.cluster.observed) != uid(&seen) {
            return done.writes;
        }
        let mut writes = actions.into_iter();
        // One is enough: what it would write next is bound to what it has just written.
        if let Some(action) = writes.find(|one| !matches!(one, Action::Event(_))) {
            let there = &own.cluster.observed;
            let of_gate = matches!(action, Action::RecordGate { .. });
            let of_rollout = matches!(action, Action::PatchRollout { .. });
            let other = of_gate && own.gate_version != versions.1
                || of_rollout && own.rollout_version != versions.0
                || sets(there) != sets(&seen)
                || there.analysis_runs != seen.analysis_runs;
            // The API server refuses what is bound to another version, or is there.
            if !other && own.write(&action, &status, &mut done, bugs).is_err() {
                done.writes.clear();
            }
            return done.writes;
        }
        let unchanged = own.cluster.observed.rollout.status == seen.rollout.status;
        if unchanged && own.rollout_version == versions.0 {
            own.write_status(&status, now, &mut done);
        }
        done.writes
    }
}

/// What of ReplicaSets the agent writes.
fn sets(observed: &Observed) -> Vec<(Option<&String>, i32)> {
    let sets = observed.replica_sets.iter();
    sets.map(|set| (set.metadata.name.as_ref(), set.desired()))
        .collect()
}
