//! What planted bugs make of what an agent sees. In: the view of a pass. Out: the same without what the bug does not read. It must
//! not change what the API server has.

use agent::key::ObjectKey;
use agent_api::{Enforcement, RollbackPhase};
use agent_engine::clock::ClockSet;
use agent_engine::{GateRecord, Observed};

use super::Agent;
use crate::planted::{Bugs, Planted};

/// The view of an agent with one of these bugs; of every other one it stays what it is.
pub(super) fn misread(observed: &mut Observed, bugs: Bugs) {
    if let GateRecord::Present(gate) = &mut observed.gate.record
        && bugs.has(Planted::ObserveUnread)
    {
        gate.spec.policy.enforcement = Enforcement::Enforce;
    }
    if let GateRecord::Present(gate) = &mut observed.gate.record
        && bugs.has(Planted::RollbackPhaseUnread)
    {
        gate.spec.policy.rollback_phase = RollbackPhase::Degraded;
    }
    if let GateRecord::Present(gate) = &mut observed.gate.record
        && let Some(permit) = &mut gate.spec.permit
    {
        if bugs.has(Planted::MaxStepUnread) {
            permit.max_step = None;
        }
        if bugs.has(Planted::StartByUnread) {
            permit.start_by = None;
        }
    }
    if bugs.has(Planted::HubTimeUnheard) {
        observed.gate.hub_time = None;
    }
    if bugs.has(Planted::ClockSetUnseen) {
        observed.clock_set = ClockSet::default();
    }
    if bugs.has(Planted::PodsAssumed) {
        assumed(observed);
    }
}

/// Whatever is asked for is there.
fn assumed(observed: &mut Observed) {
    for set in &mut observed.replica_sets {
        let desired = set.desired();
        let status = set.status.get_or_insert_default();
        status.replicas = desired;
        (status.ready_replicas, status.available_replicas) = (Some(desired), Some(desired));
    }
}

impl Agent {
    /// The planted bug: each state is kept as if it were another Rollout's.
    pub(super) fn keep_states(&self, part: usize) {
        let key = self.parts[part].key();
        let Some(process) = &self.process else { return };
        let states = process.reports.clone().begin();
        let own = |state: &proto::v1::RolloutState| {
            state
                .rollout
                .as_ref()
                .is_some_and(|one| one.name == key.name)
        };
        if let Some(state) = states.into_iter().rev().find(own) {
            let (waiting, under_way) = process.reports.counts();
            let name = format!("{}-{}", key.name, waiting + under_way);
            process
                .reports
                .state(&ObjectKey::new(key.namespace, name), state);
        }
    }
}
