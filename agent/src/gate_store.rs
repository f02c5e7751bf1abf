//! The records of the fleet in the cluster: Gates and the FleetMember (gate.md G5, L1, L2).
//!
//! In: a set that is taken. Out: Gates as the hub wants them, then the member record with the fence, and what could not
//! be written. It must not write what the agent itself recorded, and one bad Gate must not keep the others back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_api::names::gate_name;
use agent_api::{
    Fence, FleetMember, FleetMemberSpec, FleetMemberStatus, FleetRolloutName, Gate, GateSpec,
    GateStatus, GovernedSelector, ObjectMeta, Unread,
};
use kube::{Api, Client};
use proto::v1;
use serde_json::{Map, Value, json};

use crate::cache::Caches;
use crate::fleet::Fleet;
use crate::fleet_member::taken_over;
use crate::key::ObjectKey;
use crate::lease_clock::Moment;
use crate::link::report::Told;
use crate::link::set::Taken;
use crate::spent;
use crate::status_patch::difference;
use crate::wire;
use crate::workloads::Workloads;
use crate::writer::{self, Writer};
use crate::written::{Kind, Written};

mod again;
mod unread;

pub use again::{is_governed_again, status_after};
pub use error::Error;
pub use unread::withheld;

/// Annotation on a Gate: `<generation> <digest>`, the content that the hub was last told of.
pub const ANNOTATION_REPORTED: &str = "fleet.groundswell.dev/reported";
/// Tries to write a record that others write too.
const TRIES: usize = 5;

/// The store.
pub struct GateStore {
    /// The agent's own namespace.
    pub namespace: String,
    /// The cluster's name and the hub's address, for the member record.
    pub member: FleetMemberSpec,
    /// For reads past the caches after a conflict.
    pub client: Client,
    /// Writes.
    pub writer: Writer,
    /// What was written.
    pub written: Arc<Written>,
    /// The workloads that Rollouts name.
    pub workloads: Arc<Workloads>,
    /// What the watches show.
    pub caches: Arc<Caches>,
    /// The leases.
    pub fleet: Arc<Fleet>,
}

/// The content that the hub was last told of, from a Gate's metadata.
#[must_use]
pub fn reported(metadata: &ObjectMeta) -> Option<(String, i64)> {
    let (generation, digest) = metadata
        .annotations
        .as_ref()?
        .get(ANNOTATION_REPORTED)?
        .split_once(' ')?;
    Some((digest.to_owned(), generation.parse().ok()?))
}

impl GateStore {
    /// Stores a set. The answer lists the Gates that could not be written; an error means that the fence is not stored.
    pub async fn store(&self, taken: &Taken, session: u64) -> Result<Vec<v1::GateProblem>, Error> {
        let mut problems = Vec::new();
        for entry in &taken.entries {
            if let Err(error) = self.store_gate(entry, taken.fence, taken.before).await {
                tracing::warn!(rollout = %format!("{}/{}", entry.namespace, entry.name), %error, "gate not written");
                problems.push(v1::GateProblem {
                    namespace: entry.namespace.clone(),
                    name: entry.name.clone(),
                    message: error.to_string(),
                });
            }
        }
        self.store_member(taken, session).await?;
        Ok(problems)
    }

    /// Writes the Gates of these entries that are missing or older: deleted by somebody (G6), or not written when their
    /// set was taken. Returns whether any was written.
    pub async fn catch_up(
        &self,
        entries: impl Iterator<Item = &v1::GateEntry>,
        set: Fence,
    ) -> bool {
        let mut any = false;
        for entry in entries {
            let rollout = ObjectKey::new(entry.namespace.clone(), entry.name.clone());
            let known = self.caches.gates.get(&self.gate_key(&rollout));
            let current = known.as_ref().is_some_and(|found| match &found.object {
                Ok(gate) => {
                    let version = entry.version;
                    is_current(fence_of(&gate.spec), Fence { version, ..set }, Some(set))
                }
                // Only a person can tell what to do with it.
                Err(_) => true,
            });
            if current {
                continue;
            }
            match self.store_gate(entry, set, Some(set)).await {
                Ok(()) => {
                    any = true;
                    tracing::warn!(%rollout, "the Gate was missing or old and is written again");
                }
                Err(error) => {
                    tracing::debug!(%rollout, %error, "the Gate is missing or old and cannot be written")
                }
            }
        }
        any
    }

    /// The fence as stored, read past the cache once so that a restart never says less than it has.
    pub async fn stored(&self) -> Result<Option<FleetMemberStatus>, Error> {
        Ok(self.read_member().await?.and_then(|member| member.status))
    }

    /// The hub's history has come so far. Without a member record yet there is nothing that a restore could take back.
    pub async fn note_head(&self, head: &str) -> Result<(), Error> {
        let known = self.read_member().await?.and_then(|member| member.status);
        if known.is_none_or(|status| status.audit_head.as_deref() == Some(head)) {
            return Ok(());
        }
        let key = ObjectKey::new(self.namespace.clone(), self.member.cluster.clone());
        let patch = json!({"status": {"auditHead": head}});
        self.writer.merge::<FleetMember>(&key, &patch).await?;
        Ok(())
    }

    /// The signature under the stored fence, where a hub of the version before gave none with its set.
    pub async fn note_signature(&self, fence: Fence, signature: &str) -> Result<(), Error> {
        let Some(member) = self.read_member().await? else {
            return Ok(());
        };
        let lacks = |status: &FleetMemberStatus| {
            status.fence == fence && status.fence_signature.is_none() && !signature.is_empty()
        };
        if !member.status.as_ref().is_some_and(lacks) {
            return Ok(());
        }
        let key = ObjectKey::new(self.namespace.clone(), self.member.cluster.clone());
        let version = member.metadata.resource_version;
        let patch = json!({"metadata": {"resourceVersion": version}, "status": {"fenceSignature": signature}});
        match self.writer.merge::<FleetMember>(&key, &patch).await {
            // Somebody wrote meanwhile: at the next Hello, then.
            Err(error) if error.is_stale() => Ok(()),
            written => Ok(written.map(drop)?),
        }
    }

    /// The hub has these contents now.
    pub async fn note_told(&self, told: &Told) -> Result<(), Error> {
        let key = self.gate_key(&told.rollout);
        let text = format!("{} {}", told.generation, told.digest);
        let patch = json!({"metadata": {"annotations": {ANNOTATION_REPORTED: text}}});
        match self.writer.merge::<Gate>(&key, &patch).await {
            Ok(stored) => self.wrote(Kind::Gate, &stored, &told.rollout),
            // Without a Gate there is nothing to remember it by, and nothing that needs it.
            Err(writer::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn gate_key(&self, rollout: &ObjectKey) -> ObjectKey {
        ObjectKey::new(
            self.namespace.clone(),
            gate_name(&rollout.namespace, &rollout.name),
        )
    }

    async fn store_gate(
        &self,
        entry: &v1::GateEntry,
        set: Fence,
        before: Option<Fence>,
    ) -> Result<(), Error> {
        let spec = self.read(entry, set, before).await?;
        let rollout = ObjectKey::new(entry.namespace.clone(), entry.name.clone());
        let key = self.gate_key(&rollout);
        let mut known = self
            .caches
            .gates
            .get(&key)
            .map(|found| found.object.clone());
        for _ in 0..TRIES {
            let written = match known {
                None => self.create_gate(&key, &rollout, &spec, before).await,
                Some(Err(unread)) => {
                    return Err(Error::Undecodable {
                        name: key.name,
                        why: unread.why,
                    });
                }
                // Acknowledged in silence, the hub would believe that what it says holds here.
                Some(Ok(gate))
                    if fence_of(&gate.spec) > fence_of(&spec)
                        && is_current(fence_of(&gate.spec), fence_of(&spec), before) =>
                {
                    return Err(Error::Newer {
                        name: key.name,
                        holds: fence_of(&gate.spec),
                        offered: fence_of(&spec),
                    });
                }
                Some(Ok(gate)) => {
                    self.change_gate(&key, &rollout, &gate, (&spec, before))
                        .await
                }
            };
            match written {
                Ok(()) => return Ok(()),
                Err(error) if error.is_stale() => known = self.read_gate(&key).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contended {
            what: format!("Gate {key}"),
        })
    }

    async fn create_gate(
        &self,
        key: &ObjectKey,
        rollout: &ObjectKey,
        spec: &GateSpec,
        before: Option<Fence>,
    ) -> Result<(), writer::Error> {
        self.grant(rollout, spec, before);
        let gate = Gate {
            metadata: ObjectMeta {
                name: Some(key.name.clone()),
                namespace: Some(key.namespace.clone()),
                annotations: self.first_reported(rollout),
                ..ObjectMeta::default()
            },
            spec: spec.clone(),
            ..Gate::default()
        };
        let stored = self.writer.create(&gate).await?;
        self.wrote(Kind::Gate, &stored, rollout);
        Ok(())
    }

    /// What is there when governance begins is no change (G24).
    fn first_reported(&self, key: &ObjectKey) -> Option<BTreeMap<String, String>> {
        let found = self.caches.rollouts.get(key)?;
        let rollout = found.object.as_ref().ok()?;
        let own = rollout.metadata.generation.unwrap_or(0);
        let (template, generation) = match &rollout.spec.workload_ref {
            None => (rollout.spec.template.clone()?, own),
            Some(_) => {
                let workload = self.workloads.last_read(key)?;
                (
                    workload.template.clone(),
                    own.saturating_add(workload.generation),
                )
            }
        };
        let digest = agent_api::digest::content_digest(&template);
        let text = format!("{generation} {digest}");
        Some(BTreeMap::from([(ANNOTATION_REPORTED.to_owned(), text)]))
    }

    async fn change_gate(
        &self,
        key: &ObjectKey,
        rollout: &ObjectKey,
        gate: &Gate,
        (spec, before): (&GateSpec, Option<Fence>),
    ) -> Result<(), writer::Error> {
        if is_current(fence_of(&gate.spec), fence_of(spec), before) {
            return Ok(());
        }
        let version = |spec: &GateSpec| serde_json::to_value(spec).unwrap_or(Value::Null);
        let Some(change) = difference(&version(&gate.spec), &version(spec)) else {
            return Ok(());
        };
        self.grant(rollout, spec, before);
        let mut patch = Map::from_iter([("spec".to_owned(), change)]);
        let json = |status: &GateStatus| serde_json::to_value(status).unwrap_or(Value::Null);
        let after = status_after(gate, spec).as_ref().map(json);
        let before = gate.status.as_ref().map(json);
        let status = before.zip(after);
        if let Some(status) = status.and_then(|(before, after)| difference(&before, &after)) {
            patch.insert("status".to_owned(), status);
        }
        // What is there now is no change either.
        let told = is_governed_again(gate, spec).then(|| self.first_reported(rollout));
        let version = &gate.metadata.resource_version;
        let metadata = match told.flatten() {
            Some(told) => json!({"resourceVersion": version, "annotations": told}),
            None => json!({"resourceVersion": version}),
        };
        patch.insert("metadata".to_owned(), metadata);
        let patch = Value::from(patch);
        let stored = self.writer.merge::<Gate>(key, &patch).await?;
        self.wrote(Kind::Gate, &stored, rollout);
        Ok(())
    }

    /// The lease of a new permit runs from the moment that it is stored; one that was stored before has its own (G20), and
    /// a Gate that somebody deleted lengthens none.
    fn grant(&self, rollout: &ObjectKey, spec: &GateSpec, before: Option<Fence>) {
        let Some(permit) = &spec.permit else {
            return self.fleet.leases(|leases| leases.forget(rollout));
        };
        if is_new(permit.fence, before) {
            let length = Duration::from_secs(permit.lease_seconds);
            self.fleet
                .leases(|leases| leases.grant(rollout, permit.fence, length, Moment::read()));
        }
    }

    async fn read_gate(&self, key: &ObjectKey) -> Result<Option<Result<Gate, Box<Unread>>>, Error> {
        let api: Api<agent_api::Decoded<Gate>> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let found = api.get_opt(&key.name).await;
        let found = found.map_err(|source| Error::Read {
            what: format!("Gate {key}"),
            source: Box::new(source),
        })?;
        Ok(found.map(|found| found.object))
    }

    async fn read_member(&self) -> Result<Option<FleetMember>, Error> {
        let api: Api<FleetMember> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = api.get_opt(&self.member.cluster).await;
        found.map_err(|source| Error::Read {
            what: format!("FleetMember {}", self.member.cluster),
            source: Box::new(source),
        })
    }

    /// The fence, last of all: whoever reads it knows that everything before it is stored.
    async fn store_member(&self, taken: &Taken, session: u64) -> Result<(), Error> {
        let key = ObjectKey::new(self.namespace.clone(), self.member.cluster.clone());
        for _ in 0..TRIES {
            let known = self.read_member().await?;
            let former = self.former().await?;
            let all = former.iter().chain(&known);
            let before = taken_over(all.filter_map(|one| one.status.clone()).collect());
            let status = member_status(before.as_ref(), taken, session);
            let written = match &known {
                None => self.create_member(&key, status).await,
                Some(member) => self.change_member(&key, member, &status).await,
            };
            let written = match written {
                Ok(()) => self.empty(&former).await,
                Err(error) => Err(error),
            };
            match written {
                Ok(()) => return Ok(()),
                Err(error) if error.is_stale() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contended {
            what: format!("FleetMember {key}"),
        })
    }

    async fn create_member(
        &self,
        key: &ObjectKey,
        status: FleetMemberStatus,
    ) -> Result<(), writer::Error> {
        let member = FleetMember {
            metadata: ObjectMeta {
                name: Some(key.name.clone()),
                namespace: Some(key.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: self.member.clone(),
            status: Some(status),
            ..FleetMember::default()
        };
        self.writer.create(&member).await.map(|_| ())
    }

    async fn change_member(
        &self,
        key: &ObjectKey,
        member: &FleetMember,
        status: &FleetMemberStatus,
    ) -> Result<(), writer::Error> {
        let json = |status: &FleetMemberStatus| serde_json::to_value(status).unwrap_or(Value::Null);
        let before = member.status.as_ref().map_or(Value::Null, json);
        let Some(change) = difference(&before, &json(status)) else {
            return Ok(());
        };
        let patch = json!({"metadata": {"resourceVersion": member.metadata.resource_version}, "status": change});
        self.writer
            .merge::<FleetMember>(key, &patch)
            .await
            .map(|_| ())
    }

    fn wrote(&self, kind: Kind, stored: &ObjectMeta, rollout: &ObjectKey) {
        let Some(found) = self.caches.rollouts.get(rollout) else {
            return;
        };
        let decides = crate::observe::uid_of(found.metadata());
        let version = stored.resource_version.as_deref().unwrap_or_default();
        self.written
            .wrote(kind, &crate::observe::uid_of(stored), &decides, version);
    }
}

/// The set that a Gate's word came with.
#[must_use]
pub fn fence_of(spec: &GateSpec) -> Fence {
    Fence {
        incarnation: spec.incarnation,
        version: spec.version,
    }
}

/// Whether a Gate has an entry's word, or a later one. What came with a set whose fence was never stored after it counts for
/// nothing: the agent died between the two, and where the hub's database was put back meanwhile its number is given to another
/// set.
#[must_use]
pub fn is_current(gate: Fence, entry: Fence, before: Option<Fence>) -> bool {
    let left_over = before.is_some_and(|before| gate > before);
    gate >= entry && !left_over
}

/// Whether a permit came with this set.
#[must_use]
pub fn is_new(permit: Fence, before: Option<Fence>) -> bool {
    before.is_none_or(|before| permit > before)
}

/// The member record after a set. What the set does not name stays governed: absence never frees (G9).
#[must_use]
pub fn member_status(
    before: Option<&FleetMemberStatus>,
    taken: &Taken,
    session: u64,
) -> FleetMemberStatus {
    let mut status = before.cloned().unwrap_or_default();
    let named = |one: &GovernedSelector| {
        taken
            .entries
            .iter()
            .any(|entry| entry.namespace == one.namespace && entry.name == one.name)
    };
    let mut governed: Vec<GovernedSelector> = status
        .governed
        .iter()
        .filter(|one| !named(one))
        .cloned()
        .collect();
    let selector = |entry: &v1::GateEntry| GovernedSelector {
        fleet_rollout: FleetRolloutName(entry.fleet_rollout.clone()),
        namespace: entry.namespace.clone(),
        name: entry.name.clone(),
        ..GovernedSelector::default()
    };
    // What cannot be read frees nothing either.
    let ends = wire::ends_governance;
    let governs = taken.entries.iter().filter(|entry| !ends(entry));
    governed.extend(governs.map(selector));
    governed.sort_by(|a, b| {
        (&a.namespace, &a.name, &a.fleet_rollout).cmp(&(&b.namespace, &b.name, &b.fleet_rollout))
    });
    status.spent = spent::after_set(std::mem::take(&mut status.spent), &taken.entries);
    status.served = spent::served_after_set(std::mem::take(&mut status.served), &taken.entries);
    status.fence = taken.fence;
    status.set_hash = Some(taken.set_hash.clone());
    status.fence_signature = taken.fence_signature.clone();
    status.governed = governed;
    status.first_contact_done = true;
    status.session = session;
    status
}

mod error;
mod former;
#[cfg(test)]
mod tests;
