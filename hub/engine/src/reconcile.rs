//! Being written.
use crate::observed::Observed;
use crate::plan::{FleetRolloutStatus, Plan};

/// Decides what to do next about one FleetRollout. Pure, total and deterministic.
pub fn reconcile(_observed: &Observed) -> Plan {
    Plan { actions: Vec::new(), status: FleetRolloutStatus::default(), reasons: Vec::new(), wake: None }
}
