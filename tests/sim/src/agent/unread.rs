//! Entries that an agent cannot read, as `gate_store::unread` has them (S14). In: such an entry. Out: the Gate without its permit. It
//! must not guess what the entry says.

use agent::gate_store::withheld;
use agent_api::Fence;
use agent_engine::GateRecord;
use proto::v1;

use super::Agent;

impl Agent {
    /// Whether something was written.
    pub(super) fn withhold(
        &mut self,
        part: usize,
        entry: &v1::GateEntry,
        set: Fence,
        before: Option<Fence>,
    ) -> bool {
        let own = &mut self.parts[part];
        let said = Fence {
            version: entry.version,
            ..set
        };
        let GateRecord::Present(gate) = &mut own.cluster.observed.gate.record else {
            return false;
        };
        let Some(spec) = withheld(&gate.spec, said, before) else {
            return false;
        };
        gate.spec = spec;
        own.gate_version += 1;
        own.own_writes += 1;
        let key = own.key();
        if let Some(process) = &mut self.process {
            process.leases.forget(&key);
        }
        true
    }
}
