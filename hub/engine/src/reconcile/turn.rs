//! Whether the FleetRollouts before this one have passed (design.md section 5, `after`). In: their newest releases. Out: yes
//! or no. It is asked whenever a wave starts; a wave that runs goes on. It must not look at older releases than the newest.

use super::planner::Planner;
use crate::planted::Planted;

/// No FleetRollout of `after` has a newest release that is open or ended badly.
pub(super) fn has_come(planner: &Planner) -> bool {
    let mut before = planner.state.before.iter();
    planner.bug.is(Planted::OrderIgnored) || before.all(|other| other.waits_for().is_none())
}
