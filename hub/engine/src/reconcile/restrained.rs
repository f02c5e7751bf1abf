//! What may be done where the plan itself cannot be trusted. In: the observation, what is wrong with the plan. Out: the terms
//! of now, so that what a person stops is stopped in the clusters (gate.md G30), without permits that have come to their end,
//! and the reason. It must not open, start, permit or end anything, nor take a step that the refused plan needed for itself.

use super::planner::Planner;
use super::{gates, spent};
use crate::observed::Observed;
use crate::plan::Plan;
use crate::planted::Bug;
use crate::reason::{Reason, Why};

pub(crate) fn restrained(observed: &Observed, what: &str) -> Plan {
    let mut planner = Planner::new(observed, Bug::default());
    spent::permits(&mut planner);
    gates::terms(&mut planner);
    // Of the FleetRollout, and of the release that people look at.
    let release = observed.active().map(|release| release.id.clone());
    let said = |release| Reason {
        release,
        wave: None,
        cluster: None,
        why: Why::NotDecided {
            what: what.to_owned(),
        },
        next: format!(
            "groundswell stop --fleetrollout {} --reason TEXT",
            observed.fleet_rollout.name
        ),
    };
    let mut reasons = vec![said(None)];
    reasons.extend(release.map(|id| said(Some(id))));
    planner.finish_saying(reasons)
}
