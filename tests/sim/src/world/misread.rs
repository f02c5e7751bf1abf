//! What planted bugs of a hub make of its database before it decides. In: the database. Out: the same as such a hub reads it. It must
//! not change the database itself.

use std::sync::Arc;

use hub_engine::document::{Missing, Supersede};

use crate::planted::{Bugs, Planted};
use crate::store::Store;

/// What a hub with one of these bugs reads of a FleetRollout.
pub(super) fn of(store: &Store, fleet: usize, bugs: Bugs) -> Store {
    let mut store = store.clone();
    let tables = &mut store.fleets[fleet];
    if bugs.has(Planted::OvertakesAnyway) {
        tables.fleet_rollout.supersede = Supersede::Replace;
    }
    for release in &mut tables.releases {
        if bugs.has(Planted::OvertakenForgotten) {
            release.overtook = 0;
        }
        if bugs.has(Planted::MissingPassedOver) {
            Arc::make_mut(&mut release.plan).membership.missing = Missing::Skip;
        }
        let shorter = release.plan.expedite.map(|policy| policy.bake);
        if let Some(shorter) = shorter
            && bugs.has(Planted::FirstHastened)
            && release.expedited()
            && let Some(first) = Arc::make_mut(&mut release.plan).waves.first_mut()
        {
            first.bake = first.bake.min(shorter);
        }
    }
    store
}
