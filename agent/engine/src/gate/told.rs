//! What the hub is told that Git's content waits for the fleet's word (gate.md G15, G17, G25).
//!
//! In: the status and the record as a pass leaves them, the ReplicaSets' views. Out: the content that waits. It must not
//! decide what runs: what failed under a permit stays the current content, which shows the failure, and waits all the same.

use agent_api::{ContentDigest, Direction, Enforcement, Gate, GateStatus, RolloutStatus};

use crate::effective;
use crate::observed::Observed;
use crate::sets::{SetView, by_hash};

/// The content that only the fleet can start: held, or begun and not to go on without a new permit. What a `release start`
/// brings is content that waits somewhere.
#[must_use]
pub fn waiting(
    observed: &Observed,
    status: &RolloutStatus,
    record: Option<&GateStatus>,
    views: &[SetView],
) -> Option<ContentDigest> {
    let record = record?;
    if let Some(held) = &record.held {
        return Some(held.digest.clone());
    }
    let gate = observed.gate.gate()?;
    let current = by_hash(views, status.current_pod_hash.as_ref())?;
    let stable = by_hash(views, status.stable_rs.as_ref()).map(|set| &set.digest);
    let served = record.served.as_ref().map(|served| &served.digest);
    let here = [stable, served].contains(&Some(&current.digest));
    let enforced = gate.spec.governed && gate.spec.policy.enforcement == Enforcement::Enforce;
    let wanted = || effective::spec_digest(observed) == current.digest;
    let waits = enforced && !here && !is_permitted(gate, record, &current.digest);
    (waits && stands(status, record, &current.digest) && wanted()).then(|| current.digest.clone())
}

/// A permit for it has no outcome yet.
fn is_permitted(gate: &Gate, record: &GateStatus, content: &ContentDigest) -> bool {
    let ended = record.outcome.as_ref().map(|outcome| outcome.fence);
    let permit = gate.spec.permit.as_ref();
    permit.is_some_and(|permit| {
        permit.direction == Direction::Forward
            && permit.digest == *content
            && ended.is_none_or(|ended| ended < permit.fence)
    })
}

/// Aborted, or begun under a permit that was taken back; what goes on by local policy waits for nobody.
fn stands(status: &RolloutStatus, record: &GateStatus, content: &ContentDigest) -> bool {
    let aborted = status.abort == Some(true) || status.aborted_at.is_some();
    let effective = record.effective.as_ref().map(|one| &one.digest);
    let local = record.local_permit.as_ref().map(|one| &one.digest);
    aborted || effective == Some(content) && local != Some(content)
}
