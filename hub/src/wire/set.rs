//! Desired sets for agents. In: gates as the store holds them. Out: signed entries of the wire. It must not change a gate.

use std::time::Duration;

use hub_engine::document::{OnHubLoss, RollbackPhase};
use hub_engine::observed::{Gate, Waiting};
use hub_engine::release::{Direction, Permit};
use proto::v1;

use crate::authority::Authority;
use crate::wire::wire_fence;

/// What a permit carries beside what the engine decided: to whom it is addressed, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Seal<'a> {
    /// Signs.
    pub authority: &'a Authority,
    /// Length of the lease.
    pub lease: Duration,
    /// UID of the cluster's kube-system namespace.
    pub cluster_uid: &'a str,
    /// UID of the Rollout, as its agent reported it when the permit was granted.
    pub rollout_uid: &'a str,
}

/// A gate for the wire.
#[must_use]
pub fn governed(gate: &Gate, enforcement: &str, seal: Seal<'_>) -> v1::Governed {
    let texts =
        |digests: &[hub_engine::Digest]| digests.iter().map(|digest| digest.0.clone()).collect();
    v1::Governed {
        policy: Some(policy(gate, enforcement)),
        waiting: gate.waiting.as_ref().map(waiting),
        permit: gate.permit.as_ref().map(|one| permit(one, seal)),
        barred: texts(&gate.terms.barred),
        first_deploy_free: gate.terms.first_deploy_free,
        passed: texts(&gate.terms.passed),
    }
}

fn policy(gate: &Gate, enforcement: &str) -> v1::Policy {
    let (on_hub_loss, abort_after_seconds) = match gate.terms.on_hub_loss {
        OnHubLoss::Finish => (v1::policy::OnHubLoss::Finish, 0),
        OnHubLoss::Hold => (v1::policy::OnHubLoss::Hold, 0),
        OnHubLoss::Abort { after } => (v1::policy::OnHubLoss::Abort, after.0),
    };
    let rollback_phase = match gate.terms.rollback_phase {
        RollbackPhase::Degraded => "Degraded",
        RollbackPhase::Paused => "Paused",
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

/// A signed permit. The same permit always has the same bytes and so the same signature, whichever hub sends it.
#[must_use]
pub fn permit(permit: &Permit, seal: Seal<'_>) -> v1::Permit {
    let direction = match permit.direction {
        Direction::Forward => v1::permit::Direction::Forward,
        Direction::Rollback => v1::permit::Direction::Rollback,
    };
    let mut wire = v1::Permit {
        release: permit.release.to_string(),
        direction: direction.into(),
        fence: Some(wire_fence(permit.fence)),
        digest: permit.digest.0.clone(),
        delivery_digest: permit.delivery.0.clone(),
        start_by: permit.start_by.map(proto::time::to_wire),
        max_step: permit.max_step,
        lease_seconds: u32::try_from(seal.lease.as_secs()).unwrap_or(u32::MAX),
        why: permit.why.clone(),
        steps_backwards: false,
        cluster_uid: seal.cluster_uid.to_owned(),
        rollout_uid: seal.rollout_uid.to_owned(),
        signature: String::new(),
        trace: Some(trace(permit)),
    };
    seal.authority.sign(&mut wire);
    wire
}

/// One trace a release (W3C trace context): derived from its name, so that every hub and every restart says the same.
fn trace(permit: &Permit) -> v1::TraceContext {
    use sha2::{Digest as _, Sha256};
    let trace = hex::encode(Sha256::digest(permit.release.to_string()));
    let span = hex::encode(Sha256::digest(format!(
        "{} {}",
        permit.release, permit.fence
    )));
    let part = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    v1::TraceContext {
        traceparent: format!("00-{}-{}-01", part(&trace, 32), part(&span, 16)),
        tracestate: String::new(),
    }
}
