//! The lasting part of a gate entry. In: rows. Out: what holds for a cluster whatever is released. It must not decide.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::document::{Enforcement, OnHubLoss, RollbackPhase, presence};
use crate::name::Digest;

/// The lasting part of a gate entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Terms {
    /// Whether its agent holds anything (gate.md G13).
    #[serde(default, skip_serializing_if = "presence::is_default")]
    pub enforcement: Enforcement,
    /// What the agent does without the hub.
    #[serde(default)]
    pub on_hub_loss: OnHubLoss,
    /// The phase of a cluster that the fleet took back.
    #[serde(default)]
    pub rollback_phase: RollbackPhase,
    /// Sorted.
    #[serde(default)]
    pub barred: Vec<Digest>,
    /// No release yet (gate.md G10).
    #[serde(default)]
    pub first_deploy_free: bool,
    /// Digests whose first deploy is free (gate.md G10), sorted.
    #[serde(default)]
    pub passed: Vec<Digest>,
    /// Nothing starts and what is in flight holds at its step: what it shows (gate.md G30).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// A window closed on what is in flight, which holds at its step (`spec.onWindowClose`): what it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_closed: Option<String>,
    /// When the newest such hold ended: the deadline of what it held counts from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_opened: Option<Timestamp>,
}
