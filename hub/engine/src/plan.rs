//! What reconciling answers. In: nothing. Out: actions, status, reasons and when to look again. It must not hold anything
//! that has to be worked out further.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::action::Decision;
use crate::name::ReleaseId;
use crate::reason::Reason;
use crate::release::ReleasePhase;

/// What to write, what is waited for, and when to look again if nothing happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a plan that is not applied has no effect"]
pub struct Plan {
    /// In this order, in one transaction.
    pub actions: Vec<Decision>,
    /// What the FleetRollout shows afterwards.
    pub status: FleetRolloutStatus,
    /// What is waited for afterwards.
    pub reasons: Vec<Reason>,
    /// When time alone may change something.
    pub wake: Option<Timestamp>,
}

/// What the FleetRollout shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetRolloutStatus {
    /// Its newest release.
    #[serde(default)]
    pub release: Option<ReleaseId>,
    /// That release's phase.
    #[serde(default)]
    pub phase: Option<ReleasePhase>,
    /// How many clusters it selects.
    #[serde(default)]
    pub clusters: u32,
    /// How many of them are connected.
    #[serde(default)]
    pub connected: u32,
}
