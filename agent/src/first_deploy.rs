//! Which first deploys need nobody's word (gate.md G10).
//!
//! In: a Gate, the fence of the last set that is stored whole. Out: what it lets start. It must not look at what runs.

use std::collections::BTreeSet;

use agent_api::{ContentDigest, Fence, Gate};

use crate::gate_store::fence_of;
use crate::wire::{FIRST_DEPLOY_FREE, PASSED};

/// What a Gate frees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Free {
    /// Any content: the FleetRollout has no release yet.
    pub all: bool,
    /// Content whose release has passed.
    pub passed: BTreeSet<ContentDigest>,
}

/// What is free by a Gate. One that came with a set whose fence is not stored frees nothing yet, as its permit does not count yet
/// (L1): after a restore of the hub's database its number may be another set's.
#[must_use]
pub fn free(gate: Option<&Gate>, stored: Option<Fence>) -> Free {
    let whole = |gate: &&Gate| stored.is_some_and(|stored| fence_of(&gate.spec) <= stored);
    let Some(gate) = gate.filter(whole) else {
        return Free::default();
    };
    let rest = &gate.spec.rest;
    let listed = rest.get(PASSED).and_then(|passed| passed.as_array());
    let passed = listed.into_iter().flatten();
    Free {
        all: rest.get(FIRST_DEPLOY_FREE) == Some(&true.into()),
        passed: passed
            .filter_map(|one| one.as_str())
            .map(ContentDigest::from)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_that_is_not_stored_whole_frees_nothing() {
        let mut gate = Gate::default();
        (gate.spec.incarnation, gate.spec.version) = (1, 7);
        let rest = &mut gate.spec.rest;
        rest.insert(FIRST_DEPLOY_FREE.to_owned(), json!(true));
        rest.insert(PASSED.to_owned(), json!(["v1:a", 3]));
        let fence = |version| Fence {
            incarnation: 1,
            version,
        };
        let said = Free {
            all: true,
            passed: BTreeSet::from(["v1:a".into()]),
        };
        assert_eq!(free(Some(&gate), Some(fence(6))), Free::default());
        assert_eq!(free(Some(&gate), Some(fence(7))), said);
        assert_eq!(free(Some(&gate), Some(fence(8))), said);
        assert_eq!(free(Some(&gate), None), Free::default());
        assert_eq!(free(None, Some(fence(7))), Free::default());
    }
}
