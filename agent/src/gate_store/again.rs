//! What becomes of a Gate's record where governance ends or begins anew (gate.md G9, G10, G11).
//!
//! In: the Gate, what the hub wants it to say. Out: the record that goes with it. It must not write.

use agent_api::{Gate, GateSpec, GateStatus};

/// The Rollout was let go, and is governed anew.
#[must_use]
pub fn is_governed_again(gate: &Gate, spec: &GateSpec) -> bool {
    spec.governed && !gate.spec.governed
}

/// What the record says once the hub's words are in it; none: there is none. Whoever lets go ends what is said of the hub, which
/// no pass would record. Governed again it is read anew what serves and what is on its way (G10, G11): the record was not kept
/// up meanwhile. How the last permit ended stays so.
#[must_use]
pub fn status_after(gate: &Gate, spec: &GateSpec) -> Option<GateStatus> {
    let mut status = gate.status.clone()?;
    if !spec.governed {
        status.without_hub = None;
    }
    if is_governed_again(gate, spec) {
        (status.served, status.held, status.local_permit) = (None, None, None);
        (status.effective, status.lease) = (None, None);
    }
    Some(status)
}
