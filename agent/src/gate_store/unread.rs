//! Entries in words of a later hub (S14). In: an entry that cannot be read, the Gate that is there. Out: that Gate without the
//! permit that it had: what the hub says now is not known, and the word before it is over. It must not change anything else: the
//! Gate stays older than its entry, so that it is written as soon as that can be read.

use agent_api::{Fence, Gate, GateSpec};
use proto::v1;
use serde_json::json;

use super::{Error, GateStore, Kind, fence_of, is_current};
use crate::key::ObjectKey;
use crate::wire;
use crate::writer;

/// What a Gate says once its newer entry could not be read; none: it stays as it is.
#[must_use]
pub fn withheld(gate: &GateSpec, entry: Fence, before: Option<Fence>) -> Option<GateSpec> {
    let newer = !is_current(fence_of(gate), entry, before);
    (newer && gate.permit.is_some()).then(|| GateSpec {
        permit: None,
        ..gate.clone()
    })
}

impl GateStore {
    /// What an entry says; where that cannot be read, what was said before counts no more.
    pub(super) async fn read(
        &self,
        entry: &v1::GateEntry,
        set: Fence,
        before: Option<Fence>,
    ) -> Result<GateSpec, Error> {
        match wire::gate_spec(entry, set) {
            Ok(spec) => Ok(spec),
            Err(error) => {
                self.withhold(entry, set, before).await?;
                Err(error.into())
            }
        }
    }

    /// A conflict is no matter: the next round of catching up comes here again.
    async fn withhold(
        &self,
        entry: &v1::GateEntry,
        set: Fence,
        before: Option<Fence>,
    ) -> Result<(), writer::Error> {
        let rollout = ObjectKey::new(entry.namespace.clone(), entry.name.clone());
        let key = self.gate_key(&rollout);
        let said = Fence {
            version: entry.version,
            ..set
        };
        let known = self.caches.gates.get(&key);
        let gate = known.as_ref().and_then(|found| found.object.as_ref().ok());
        let Some(gate) = gate.filter(|gate| withheld(&gate.spec, said, before).is_some()) else {
            return Ok(());
        };
        self.fleet.leases(|leases| leases.forget(&rollout));
        let version = &gate.metadata.resource_version;
        let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"permit": null}});
        let stored = self.writer.merge::<Gate>(&key, &patch).await?;
        self.wrote(Kind::Gate, &stored, &rollout);
        Ok(())
    }
}
