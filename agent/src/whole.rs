//! Gates of sets that are not stored whole (gate.md L1: the fence is stored before any effect).
//!
//! In: a Gate, the fence of the last set that is stored whole. Out: the Gate as it counts. It must not look at what runs.

use agent_api::{Enforcement, Fence, Gate};

use crate::gate_store::fence_of;

/// Takes from a Gate whatever would let something start before the fence of its set is stored: a permit above it, and the word
/// that nothing is held (G13). After a restore of the hub's database the number may be another set's.
pub fn counting(gate: &mut Gate, stored: Option<Fence>) {
    let spec = &mut gate.spec;
    let permit = spec.permit.take();
    spec.permit = permit.filter(|permit| stored.is_some_and(|stored| permit.fence <= stored));
    if stored.is_none_or(|stored| stored < fence_of(spec)) {
        spec.policy.enforcement = Enforcement::Enforce;
    }
}

#[cfg(test)]
mod tests {
    use agent_api::Permit;

    use super::*;

    fn fence(version: u64) -> Fence {
        Fence {
            incarnation: 1,
            version,
        }
    }

    #[test]
    fn what_is_not_stored_whole_permits_nothing_and_holds() {
        let mut gate = Gate::default();
        (gate.spec.incarnation, gate.spec.version) = (1, 7);
        gate.spec.policy.enforcement = Enforcement::Observe;
        gate.spec.permit = Some(Permit {
            fence: fence(7),
            ..Permit::default()
        });
        for stored in [None, Some(fence(6))] {
            let mut own = gate.clone();
            counting(&mut own, stored);
            assert_eq!(own.spec.permit, None);
            assert_eq!(own.spec.policy.enforcement, Enforcement::Enforce);
        }
        for version in [7, 8] {
            let mut own = gate.clone();
            counting(&mut own, Some(fence(version)));
            assert_eq!(own, gate);
        }
    }
}
