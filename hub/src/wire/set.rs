//! Desired sets for agents. In: gates as the store holds them. Out: signed entries of the wire. It must not change a gate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hub_engine::document::{Enforcement, OnHubLoss, RollbackPhase};
use hub_engine::observed::{Terms, Waiting};
use hub_engine::release::Direction;
use hub_engine::{Fence, FleetRolloutName, RolloutName};
use hub_store::desired::{DesiredSet, Entry, Governance, Same, SignedPermit, Since};
use hub_store::{PermitSigner, UnsignedPermit};
use proto::v1;

use crate::authority::Authority;
use crate::wire::wire_fence;

/// A set for the wire: whole, or what changed after `base`. The hash is always of the whole set.
#[must_use]
pub fn desired(set: &DesiredSet, base: Option<Fence>) -> v1::DesiredSet {
    let (same, changed): (Vec<_>, Vec<_>) = set
        .entries
        .iter()
        .partition(|entry| base.is_some_and(|base| entry.version <= base.version));
    let place = |entry: &&Entry| stub(&entry.rollout, &entry.fleet_rollout, entry.version);
    message(
        (set.fence, base),
        changed.into_iter().map(entry),
        same.iter().map(place),
    )
}

/// The same of a set that was read for an agent.
#[must_use]
pub fn since(set: &Since) -> v1::DesiredSet {
    let place = |same: &Same| stub(&same.rollout, &same.fleet_rollout, same.version);
    message(
        (set.fence, set.base),
        set.changed.iter().map(entry),
        set.same.iter().map(place),
    )
}

fn message(
    (fence, base): (Fence, Option<Fence>),
    changed: impl Iterator<Item = v1::GateEntry>,
    same: impl Iterator<Item = v1::GateEntry>,
) -> v1::DesiredSet {
    let entries: Vec<v1::GateEntry> = changed.collect();
    let same: Vec<v1::GateEntry> = same.collect();
    v1::DesiredSet {
        fence: Some(wire_fence(fence)),
        full: base.is_none(),
        base_version: base.map_or(0, |base| base.version),
        set_hash: proto::set::hash(entries.iter().chain(&same)),
        entries,
        // The session signs for its cluster.
        fence_signature: String::new(),
    }
}

/// What the hash knows of an entry.
fn stub(rollout: &RolloutName, fleet_rollout: &FleetRolloutName, version: u64) -> v1::GateEntry {
    v1::GateEntry {
        namespace: rollout.namespace.clone(),
        name: rollout.name.clone(),
        fleet_rollout: fleet_rollout.0.clone(),
        version,
        governance: None,
    }
}

/// The trace that a set belongs to: the one of its newest permit, so that a release is one trace from decision to pods.
#[must_use]
pub fn trace(set: &v1::DesiredSet) -> Option<v1::TraceContext> {
    let permits = set
        .entries
        .iter()
        .filter_map(|entry| match &entry.governance {
            Some(v1::gate_entry::Governance::Governed(governed)) => {
                governed.permit.as_ref().map(|one| (entry.version, one))
            }
            Some(v1::gate_entry::Governance::Ungovern(_)) | None => None,
        });
    permits
        .max_by_key(|(version, _)| *version)
        .and_then(|(_, permit)| permit.trace.clone())
}

fn entry(entry: &Entry) -> v1::GateEntry {
    v1::GateEntry {
        governance: Some(governance(&entry.governance)),
        ..stub(&entry.rollout, &entry.fleet_rollout, entry.version)
    }
}

fn governance(governance: &Governance) -> v1::gate_entry::Governance {
    let (terms, held, permitted) = match governance {
        Governance::Ungovern { release_held } => {
            let mode = if *release_held {
                v1::ungovern::Mode::ReleaseHeld
            } else {
                v1::ungovern::Mode::KeepServing
            };
            return v1::gate_entry::Governance::Ungovern(v1::Ungovern { mode: mode.into() });
        }
        Governance::Governed {
            terms,
            waiting,
            permit,
        } => (terms, waiting, permit),
    };
    let texts =
        |digests: &[hub_engine::Digest]| digests.iter().map(|digest| digest.0.clone()).collect();
    v1::gate_entry::Governance::Governed(v1::Governed {
        policy: Some(policy(terms)),
        waiting: held.as_ref().map(waiting),
        permit: permitted.as_ref().map(permit),
        barred: texts(&terms.barred),
        first_deploy_free: terms.first_deploy_free,
        passed: texts(&terms.passed),
        stopped: terms
            .stopped
            .clone()
            .or_else(|| terms.window_closed.clone())
            .unwrap_or_default(),
    })
}

fn policy(terms: &Terms) -> v1::Policy {
    let (on_hub_loss, abort_after_seconds) = match terms.on_hub_loss {
        OnHubLoss::Finish => (v1::policy::OnHubLoss::Finish, 0),
        OnHubLoss::Hold => (v1::policy::OnHubLoss::Hold, 0),
        OnHubLoss::Abort { after } => (v1::policy::OnHubLoss::Abort, after.0),
    };
    let rollback_phase = match terms.rollback_phase {
        RollbackPhase::Degraded => "Degraded",
        RollbackPhase::Paused => "Paused",
    };
    let enforcement = match terms.enforcement {
        Enforcement::Enforce => "Enforce",
        Enforcement::Observe => "Observe",
    };
    v1::Policy {
        on_hub_loss: on_hub_loss.into(),
        abort_after_seconds,
        rollback_phase: rollback_phase.to_owned(),
        enforcement: enforcement.to_owned(),
    }
}

fn waiting(waiting: &Waiting) -> v1::Waiting {
    v1::Waiting {
        release: waiting
            .release
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        wave: waiting.wave,
        waves: waiting.waves,
        wave_name: waiting.wave_name.clone(),
        message: waiting.message.clone(),
        next: waiting.next.clone(),
    }
}

fn permit(signed: &SignedPermit) -> v1::Permit {
    let permit = &signed.permit;
    let unsigned = UnsignedPermit {
        release: permit.release.clone(),
        direction: permit.direction,
        fence: permit.fence,
        digest: permit.digest.clone(),
        delivery: permit.delivery.clone(),
        start_by: permit.start_by,
        max_step: permit.max_step,
        lease_seconds: signed.lease_seconds,
        why: permit.why.clone(),
        steps_backwards: signed.steps_backwards,
        cluster_uid: signed.cluster_uid.clone(),
        rollout_uid: signed.rollout_uid.clone(),
    };
    v1::Permit {
        signature: signed.signature.clone(),
        trace: Some(v1::TraceContext {
            traceparent: signed.traceparent.clone(),
            tracestate: String::new(),
        }),
        ..wire_permit(&unsigned)
    }
}

/// Every signed field, in the wire's form: what is signed when a permit is granted and what is sent are made here alike.
fn wire_permit(permit: &UnsignedPermit) -> v1::Permit {
    let direction = match permit.direction {
        Direction::Forward => v1::permit::Direction::Forward,
        Direction::Rollback => v1::permit::Direction::Rollback,
    };
    v1::Permit {
        release: permit.release.to_string(),
        direction: direction.into(),
        fence: Some(wire_fence(permit.fence)),
        digest: permit.digest.0.clone(),
        delivery_digest: permit.delivery.0.clone(),
        start_by: permit.start_by.map(proto::time::to_wire),
        max_step: permit.max_step,
        lease_seconds: permit.lease_seconds,
        why: permit.why.clone(),
        steps_backwards: permit.steps_backwards,
        cluster_uid: permit.cluster_uid.clone(),
        rollout_uid: permit.rollout_uid.clone(),
        signature: String::new(),
        trace: None,
    }
}

/// Signs permits with the hub's key (gate.md G17).
#[derive(Debug, Clone)]
pub struct Signer {
    /// Holds the key.
    pub authority: std::sync::Arc<Authority>,
    /// Length of the lease that permits carry.
    pub lease_seconds: u32,
}

impl PermitSigner for Signer {
    fn lease_seconds(&self) -> u32 {
        self.lease_seconds
    }

    fn sign(&self, permit: &UnsignedPermit) -> String {
        BASE64.encode(self.authority.sign(&wire_permit(permit)))
    }
}
