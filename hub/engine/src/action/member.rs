//! What becomes of governance, and of targets whose cluster began anew. In: nothing. Out: one value for each kind of change,
//! with its name and sentence. It must not hold choices.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::member::LetGo;
use crate::name::ClusterName;
use crate::verb::{By, Verb};

/// One change of membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
#[allow(
    missing_docs,
    reason = "the fields are named like those of the tables that they change"
)]
pub enum MemberChange {
    /// Governance ends in a cluster, explicitly and fenced (gate.md G9); its permit goes with it.
    Ungovern {
        request: u64,
        cluster: ClusterName,
        mode: LetGo,
        by: By,
    },
    /// What was let go may be governed again.
    Govern {
        request: u64,
        cluster: ClusterName,
        by: By,
    },
    /// A person's word about the FleetRollout as a whole has taken effect, by the actions before it.
    Answer { request: u64, verb: Verb, by: By },
    /// A permit that was addressed to the cluster which had this name before.
    Forget { cluster: ClusterName, why: String },
    /// A target begins again. `keep`: its content and its permit stay, and its agent has to say again that it serves it.
    Restart {
        release: u64,
        cluster: ClusterName,
        keep: bool,
        why: String,
    },
}

impl MemberChange {
    /// The history row's kind.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Ungovern { .. } => "GateUngoverned",
            Self::Govern { .. } => "GateGovernedAgain",
            Self::Answer { verb, .. } => verb.kind(),
            Self::Forget { .. } => "PermitForgotten",
            Self::Restart { .. } => "TargetRestarted",
        }
    }

    pub(super) fn release(&self) -> Option<u64> {
        match self {
            Self::Restart { release, .. } => Some(*release),
            Self::Ungovern { .. }
            | Self::Govern { .. }
            | Self::Answer { .. }
            | Self::Forget { .. } => None,
        }
    }

    pub(super) fn cluster(&self) -> Option<&ClusterName> {
        match self {
            Self::Ungovern { cluster, .. }
            | Self::Govern { cluster, .. }
            | Self::Forget { cluster, .. }
            | Self::Restart { cluster, .. } => Some(cluster),
            Self::Answer { .. } => None,
        }
    }

    pub(super) fn touches(&self) -> Option<&ClusterName> {
        match self {
            Self::Ungovern { cluster, .. } | Self::Forget { cluster, .. } => Some(cluster),
            Self::Govern { .. } | Self::Answer { .. } | Self::Restart { .. } => None,
        }
    }

    /// Who said so, if a person did.
    #[must_use]
    pub fn by(&self) -> Option<&By> {
        match self {
            Self::Ungovern { by, .. } | Self::Govern { by, .. } | Self::Answer { by, .. } => {
                Some(by)
            }
            Self::Forget { .. } | Self::Restart { .. } => None,
        }
    }
}

impl super::Action {
    /// The person whose word it is; none: the hub decided.
    #[must_use]
    pub fn by(&self) -> Option<&By> {
        match self {
            Self::Obey { by, .. } => Some(by),
            Self::Member { change } => change.by(),
            Self::Govern { .. }
            | Self::SetWaiting { .. }
            | Self::OpenRelease { .. }
            | Self::SettleChange { .. }
            | Self::RefuseRequest { .. }
            | Self::StartRelease { .. }
            | Self::JoinTarget { .. }
            | Self::BindContent { .. }
            | Self::BindDelivery { .. }
            | Self::SetTargetState { .. }
            | Self::RequestApproval { .. }
            | Self::StartWave { .. }
            | Self::VoidApprovals { .. }
            | Self::GrantPermit { .. }
            | Self::RevokePermit { .. }
            | Self::StartBake { .. }
            | Self::PassWave { .. }
            | Self::FailWave { .. }
            | Self::HaltRelease { .. }
            | Self::StartRollback { .. }
            | Self::EndRelease { .. }
            | Self::Bar { .. }
            | Self::Unbar { .. } => None,
        }
    }
}

impl fmt::Display for MemberChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ungovern { cluster, mode, .. } => {
                let held = match mode {
                    LetGo::KeepServing => "what it serves stays, what is held stays held",
                    LetGo::ReleaseHeld => "what is held starts",
                };
                write!(f, "{cluster} is governed no more: {held}")
            }
            Self::Govern { cluster, .. } => write!(f, "{cluster} may be governed again"),
            Self::Answer { verb, by, .. } => {
                write!(f, "{} {}: {}", by.person, verb.sentence(0), by.reason)
            }
            Self::Forget { cluster, why } => write!(f, "{cluster} loses its permit: {why}"),
            Self::Restart { cluster, why, .. } => write!(f, "{cluster} begins again: {why}"),
        }
    }
}
