//! Leases of permits (gate.md G20).
//!
//! In: grants and renewals, and both clocks as arguments. Out: whether a lease runs, and when it ends. It must not read
//! a clock. A lease ends by the monotonic clock; after a restart it ends at the earlier of the recorded deadline and one
//! length, and one whose end is recorded has ended; a jump of the wall clock against the monotonic one ends it at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use agent_api::{Fence, Gate, LeaseRecord};
use jiff::{SignedDuration, Timestamp};

use crate::key::ObjectKey;

/// A wall clock that differs from the monotonic one by more than this was set; what it said before proves nothing.
const MAX_JUMP: SignedDuration = SignedDuration::from_secs(60);

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The wall clock.
    pub now: Timestamp,
    /// The monotonic clock.
    pub mono: Instant,
}

impl Moment {
    /// This moment.
    #[must_use]
    pub fn read() -> Self {
        Self {
            now: Timestamp::now(),
            mono: Instant::now(),
        }
    }

    /// How far the wall clock was set since an earlier moment: what it went on by, less what the monotonic one did.
    #[must_use]
    pub fn set_since(self, earlier: Self) -> SignedDuration {
        let wall = earlier.now.duration_until(self.now);
        let mono = self.mono.saturating_duration_since(earlier.mono);
        wall.saturating_sub(SignedDuration::try_from(mono).unwrap_or(SignedDuration::MAX))
    }
}

#[derive(Debug, Clone)]
struct Lease {
    fence: Fence,
    length: Duration,
    ends: Instant,
    /// The same by the wall clock, as of the grant, the renewal or the record.
    until: Timestamp,
    since: Moment,
    /// A jump was seen; only the hub can start it again.
    ended: bool,
}

/// All leases of this cluster, by Rollout.
#[derive(Debug, Clone, Default)]
pub struct LeaseClock {
    leases: BTreeMap<ObjectKey, Lease>,
}

impl LeaseClock {
    /// A permit was stored; its lease runs from now on.
    pub fn grant(&mut self, rollout: &ObjectKey, fence: Fence, length: Duration, at: Moment) {
        self.leases
            .insert(rollout.clone(), running(fence, length, length, at));
    }

    /// A permit was found in the record after a restart. One that is known already is left as it is.
    pub fn restore(
        &mut self,
        rollout: &ObjectKey,
        fence: Fence,
        record: Option<&LeaseRecord>,
        at: Moment,
    ) {
        if self
            .leases
            .get(rollout)
            .is_some_and(|lease| lease.fence == fence)
        {
            return;
        }
        let (length, left) = record.map_or((Duration::ZERO, Duration::ZERO), |record| {
            let length = Duration::from_secs(record.granted_seconds);
            let left = at.now.duration_until(record.deadline.timestamp());
            let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
            // No lease is longer than its length: this much more means that the wall clock was set back since.
            let set_back = left.saturating_sub(length) > MAX_JUMP.unsigned_abs();
            let over = set_back || record.ended_at.is_some();
            let left = if over { Duration::ZERO } else { left };
            (length, left.min(length))
        });
        self.leases
            .insert(rollout.clone(), running(fence, length, left, at));
    }

    /// Where the lease of a Gate's permit ends by the wall clock, if it runs; after a restart out of the record.
    pub fn of_gate(&mut self, rollout: &ObjectKey, gate: &Gate, at: Moment) -> Option<Timestamp> {
        let permit = gate.spec.permit.as_ref()?;
        let record = gate.status.as_ref().and_then(|status| {
            // The lease of an earlier permit says nothing of this one.
            let started = status
                .effective
                .as_ref()
                .is_some_and(|effective| effective.fence == permit.fence);
            status.lease.as_ref().filter(|_| started)
        });
        self.restore(rollout, permit.fence, record, at);
        self.know_length(rollout, Duration::from_secs(permit.lease_seconds));
        self.until(rollout, permit.fence, at)
    }

    /// Sets the length where the record did not have it: after a restart before the first lease record was written.
    pub fn know_length(&mut self, rollout: &ObjectKey, length: Duration) {
        if let Some(lease) = self
            .leases
            .get_mut(rollout)
            .filter(|lease| lease.length.is_zero())
        {
            lease.length = length;
        }
    }

    /// The hub renewed every permit up to a fence. Returns the Rollouts whose lease had ended and runs again.
    pub fn renew(&mut self, up_to: Fence, at: Moment) -> Vec<ObjectKey> {
        let mut revived = Vec::new();
        for (rollout, lease) in self
            .leases
            .iter_mut()
            .filter(|(_, lease)| lease.fence <= up_to)
        {
            if !lease.runs(at) {
                revived.push(rollout.clone());
            }
            *lease = running(lease.fence, lease.length, lease.length, at);
        }
        revived
    }

    /// The permit is gone.
    pub fn forget(&mut self, rollout: &ObjectKey) {
        self.leases.remove(rollout);
    }

    /// Whether the lease of the permit with this fence runs.
    pub fn is_live(&mut self, rollout: &ObjectKey, fence: Fence, at: Moment) -> bool {
        let Some(lease) = self
            .leases
            .get_mut(rollout)
            .filter(|lease| lease.fence == fence)
        else {
            return false;
        };
        lease.ended |= lease.jumped(at);
        lease.runs(at)
    }

    /// Where the lease of the permit with this fence ends by the wall clock, if it runs: what a step writes down.
    pub fn until(&mut self, rollout: &ObjectKey, fence: Fence, at: Moment) -> Option<Timestamp> {
        let live = self.is_live(rollout, fence, at);
        let lease = self.leases.get(rollout)?;
        live.then_some(lease.until)
    }

    /// When to look again: the end of the lease, if it runs.
    pub fn ends(&self, rollout: &ObjectKey, at: Moment) -> Option<Instant> {
        self.leases
            .get(rollout)
            .filter(|lease| lease.runs(at))
            .map(|lease| lease.ends)
    }
}

fn running(fence: Fence, length: Duration, left: Duration, at: Moment) -> Lease {
    let ends = at.mono.checked_add(left).unwrap_or(at.mono);
    Lease {
        fence,
        length,
        ends,
        until: SignedDuration::try_from(left)
            .ok()
            .and_then(|left| at.now.checked_add(left).ok())
            .unwrap_or(at.now),
        since: at,
        ended: left.is_zero(),
    }
}

impl Lease {
    fn runs(&self, at: Moment) -> bool {
        !self.ended && at.mono < self.ends && !self.jumped(at)
    }

    fn jumped(&self, at: Moment) -> bool {
        at.set_since(self.since).unsigned_abs() > MAX_JUMP.unsigned_abs()
    }
}

#[cfg(test)]
mod tests;
