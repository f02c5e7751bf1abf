//! What a plan can do. In: nothing. Out: one value for each kind of change to the database, with its name and sentence.
//! Each becomes table changes and one history row in one transaction. It must not hold choices: whoever writes an action
//! decides nothing.

mod fate;
mod member;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use fate::ChangeFate;
pub use member::MemberChange;

use crate::document::Enforcement;
use crate::name::{ClusterName, Digest, Revision};
use crate::observed::{Terms, Waiting};
use crate::release::{Cause, Content, Direction, ReleasePhase, Stage, TargetState};
use crate::verb::{By, Verb};
use crate::waves::ReleasePlan;

/// An action and the facts that it was decided on, as JSON for the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// Why: the observed facts, small.
    pub evidence: serde_json::Value,
}

/// One change. `release` is always the number of a release of the FleetRollout that the plan is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase", tag = "action", deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the fields are named like those of the tables that they change"
)]
pub enum Action {
    /// A gate's lasting terms, for the first time or changed.
    Govern { cluster: ClusterName, terms: Terms },
    /// What a held cluster shows; none: nothing is held for a release.
    SetWaiting {
        cluster: ClusterName,
        waiting: Option<Waiting>,
    },
    /// A new release; it waits or progresses from the start.
    OpenRelease {
        release: u64,
        revision: Option<Revision>,
        images: Vec<String>,
        cause: Cause,
        plan: ReleasePlan,
        phase: ReleasePhase,
        overtook: u32,
    },
    /// A change that opens nothing; it is recorded and dropped.
    SettleChange {
        cluster: ClusterName,
        change: u64,
        fate: ChangeFate,
    },
    /// A request that changes nothing; it is recorded and dropped.
    RefuseRequest { request: u64, why: String },
    /// A person's word about a release takes effect. What becomes of its targets has actions of its own before it.
    Obey {
        request: u64,
        release: u64,
        verb: Verb,
        by: By,
    },
    /// A waiting release begins.
    StartRelease { release: u64 },
    /// A cluster that the plan does not name takes part, in the last wave.
    JoinTarget {
        release: u64,
        cluster: ClusterName,
        wave: u32,
    },
    /// A target's content, once and for all.
    BindContent {
        release: u64,
        cluster: ClusterName,
        content: Content,
    },
    /// The steps and analysis templates of a bound content, edited before its permit took effect (gate.md G2).
    BindDelivery {
        release: u64,
        cluster: ClusterName,
        content: Content,
    },
    /// Where a target stands.
    SetTargetState {
        release: u64,
        cluster: ClusterName,
        state: TargetState,
        message: String,
    },
    /// A wave's turn has come, or its bake is over, but persons have to agree.
    RequestApproval {
        release: u64,
        wave: u32,
        #[serde(default)]
        stage: Stage,
    },
    /// A wave's targets may be permitted.
    StartWave { release: u64, wave: u32 },
    /// Approvals stop counting.
    VoidApprovals {
        release: u64,
        wave: u32,
        approvals: Vec<u64>,
        why: String,
    },
    /// A target may go to one digest.
    GrantPermit {
        release: u64,
        cluster: ClusterName,
        direction: Direction,
        digest: Digest,
        delivery: Digest,
        start_by: Option<Timestamp>,
        max_step: Option<u32>,
        why: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        steps_backwards: bool,
    },
    /// A target's permit is taken away; what it serves, it goes on serving.
    RevokePermit {
        release: u64,
        cluster: ClusterName,
        why: String,
    },
    /// Every target of a wave has ended; it is watched until then.
    StartBake {
        release: u64,
        wave: u32,
        until: Timestamp,
    },
    /// A wave ended well.
    PassWave { release: u64, wave: u32 },
    /// A wave ended badly.
    FailWave {
        release: u64,
        wave: u32,
        why: String,
    },
    /// Nothing new starts.
    HaltRelease { release: u64, why: String },
    /// What it touched goes back.
    StartRollback { release: u64, why: String },
    /// A release's verdict. Ended ones may be named again: a partial rollback that was completed.
    EndRelease {
        release: u64,
        phase: ReleasePhase,
        verdict: String,
    },
    /// A digest that failed may not start until a person says so.
    Bar { release: u64, digest: Digest },
    /// A person said so.
    Unbar { request: u64, digest: Digest },
    /// Governance ends or begins, or a target begins again.
    Member { change: MemberChange },
}

impl Action {
    /// The history row's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Govern { .. } => "GateGoverned",
            Self::SetWaiting { .. } => "GateWaiting",
            Self::OpenRelease { .. } => "ReleaseOpened",
            Self::SettleChange { .. } => "ChangeSettled",
            Self::RefuseRequest { .. } => "RequestRefused",
            Self::StartRelease { .. } => "ReleaseStarted",
            Self::JoinTarget { .. } => "TargetJoined",
            Self::BindContent { .. } => "ContentBound",
            Self::BindDelivery { .. } => "DeliveryBound",
            Self::SetTargetState { state, .. } => target_kind(*state),
            Self::RequestApproval { .. } => "ApprovalRequested",
            Self::StartWave { .. } => "WaveStarted",
            Self::VoidApprovals { .. } => "ApprovalsVoided",
            Self::GrantPermit { .. } => "PermitGranted",
            Self::RevokePermit { .. } => "PermitRevoked",
            Self::StartBake { .. } => "BakeStarted",
            Self::PassWave { .. } => "WavePassed",
            Self::FailWave { .. } => "WaveFailed",
            Self::HaltRelease { .. } => "ReleaseHalted",
            Self::StartRollback { .. } => "RollbackStarted",
            Self::EndRelease { .. } => "ReleaseEnded",
            Self::Bar { .. } => "DigestBarred",
            Self::Unbar { .. } => "DigestUnbarred",
            Self::Obey { verb, .. } => verb.kind(),
            Self::Member { change } => change.kind(),
        }
    }

    /// The release that it belongs to, if any.
    #[must_use]
    pub fn release(&self) -> Option<u64> {
        match self {
            Self::OpenRelease { release, .. }
            | Self::StartRelease { release }
            | Self::JoinTarget { release, .. }
            | Self::BindContent { release, .. }
            | Self::BindDelivery { release, .. }
            | Self::SetTargetState { release, .. }
            | Self::RequestApproval { release, .. }
            | Self::StartWave { release, .. }
            | Self::VoidApprovals { release, .. }
            | Self::GrantPermit { release, .. }
            | Self::RevokePermit { release, .. }
            | Self::StartBake { release, .. }
            | Self::PassWave { release, .. }
            | Self::FailWave { release, .. }
            | Self::HaltRelease { release, .. }
            | Self::StartRollback { release, .. }
            | Self::EndRelease { release, .. }
            | Self::Bar { release, .. }
            | Self::Obey { release, .. } => Some(*release),
            Self::Member { change } => change.release(),
            Self::Govern { .. }
            | Self::SetWaiting { .. }
            | Self::SettleChange { .. }
            | Self::RefuseRequest { .. }
            | Self::Unbar { .. } => None,
        }
    }

    /// The cluster that it is about, if any.
    #[must_use]
    pub fn cluster(&self) -> Option<&ClusterName> {
        match self {
            Self::Govern { cluster, .. }
            | Self::SetWaiting { cluster, .. }
            | Self::SettleChange { cluster, .. }
            | Self::JoinTarget { cluster, .. }
            | Self::BindContent { cluster, .. }
            | Self::BindDelivery { cluster, .. }
            | Self::SetTargetState { cluster, .. }
            | Self::GrantPermit { cluster, .. }
            | Self::RevokePermit { cluster, .. } => Some(cluster),
            Self::Obey { verb, .. } => match verb {
                Verb::Retry { cluster } | Verb::SkipTarget { cluster } => Some(cluster),
                Verb::Start { .. }
                | Verb::Pause
                | Verb::Resume
                | Verb::Abort { .. }
                | Verb::Rollback
                | Verb::SkipWave { .. }
                | Verb::Promote { .. }
                | Verb::Expedite
                | Verb::Ungovern { .. }
                | Verb::Govern { .. } => None,
            },
            Self::Member { change } => change.cluster(),
            Self::OpenRelease { .. }
            | Self::RefuseRequest { .. }
            | Self::StartRelease { .. }
            | Self::RequestApproval { .. }
            | Self::StartWave { .. }
            | Self::VoidApprovals { .. }
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

    /// The cluster whose desired set it changes, if any: its version has to be raised with it (gate.md L1).
    #[must_use]
    pub fn touches(&self) -> Option<&ClusterName> {
        match self {
            Self::Govern { cluster, .. }
            | Self::SetWaiting { cluster, .. }
            | Self::GrantPermit { cluster, .. }
            | Self::RevokePermit { cluster, .. } => Some(cluster),
            Self::Member { change } => change.touches(),
            Self::OpenRelease { .. }
            | Self::SettleChange { .. }
            | Self::RefuseRequest { .. }
            | Self::Obey { .. }
            | Self::StartRelease { .. }
            | Self::JoinTarget { .. }
            | Self::BindContent { .. }
            | Self::BindDelivery { .. }
            | Self::SetTargetState { .. }
            | Self::RequestApproval { .. }
            | Self::StartWave { .. }
            | Self::VoidApprovals { .. }
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

fn target_kind(state: TargetState) -> &'static str {
    match state {
        TargetState::Pending => "TargetPending",
        TargetState::WaitingForContent => "TargetWaitingForContent",
        TargetState::Held => "TargetHeld",
        TargetState::Permitted => "TargetPermitted",
        TargetState::Progressing => "TargetProgressing",
        TargetState::Paused => "TargetPaused",
        TargetState::Succeeded => "TargetSucceeded",
        TargetState::Failed => "TargetFailed",
        TargetState::RollingBack => "TargetRollingBack",
        TargetState::RolledBack => "TargetRolledBack",
        TargetState::Skipped => "TargetSkipped",
        TargetState::Removed => "TargetRemoved",
        TargetState::Behind => "TargetBehind",
        TargetState::Unknown => "TargetUnknown",
    }
}

impl fmt::Display for Action {
    #[allow(clippy::too_many_lines, reason = "one arm a variant")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Govern { cluster, terms } => write!(
                f,
                "govern {cluster}{}: first deploy {}, {} passed, {} barred{}",
                if terms.enforcement == Enforcement::Observe {
                    " on paper"
                } else {
                    ""
                },
                if terms.first_deploy_free {
                    "free"
                } else {
                    "gated"
                },
                terms.passed.len(),
                terms.barred.len(),
                terms
                    .stopped
                    .as_ref()
                    .or(terms.window_closed.as_ref())
                    .map(|why| format!(", {why}"))
                    .unwrap_or_default()
            ),
            Self::SetWaiting {
                cluster,
                waiting: Some(waiting),
            } => write!(f, "{cluster} shows: {}", waiting.message),
            Self::SetWaiting {
                cluster,
                waiting: None,
            } => write!(f, "{cluster} waits for nothing"),
            Self::OpenRelease {
                release,
                revision,
                images,
                phase,
                plan,
                ..
            } => {
                let revision = revision
                    .as_ref()
                    .map_or("unknown", |revision| revision.as_str());
                let waves = plan.len();
                write!(
                    f,
                    "open release #{release}: revision {revision}, {}, {waves} waves, {}",
                    images.join(" "),
                    phase.as_str()
                )
            }
            Self::SettleChange { cluster, fate, .. } => {
                write!(f, "the change in {cluster} opens no release: {fate}")
            }
            Self::RefuseRequest { why, .. } => write!(f, "the request changes nothing: {why}"),
            Self::Obey {
                release, verb, by, ..
            } => write!(
                f,
                "{} {}: {}",
                by.person,
                verb.sentence(*release),
                by.reason
            ),
            Self::StartRelease { release } => write!(f, "release #{release} starts"),
            Self::JoinTarget {
                release,
                cluster,
                wave,
            } => write!(f, "{cluster} joins release #{release} late, in wave {wave}"),
            Self::BindContent {
                release,
                cluster,
                content,
            } => {
                write!(
                    f,
                    "{cluster} holds {} for release #{release}",
                    content.digest
                )
            }
            Self::BindDelivery {
                cluster, content, ..
            } => write!(
                f,
                "{cluster} delivers {} by {} from now on",
                content.digest, content.delivery
            ),
            Self::SetTargetState {
                cluster,
                state,
                message,
                ..
            } if message.is_empty() => {
                write!(f, "{cluster} is {}", state.as_str())
            }
            Self::SetTargetState {
                cluster,
                state,
                message,
                ..
            } => write!(f, "{cluster} is {}: {message}", state.as_str()),
            Self::RequestApproval {
                wave,
                stage: Stage::Before,
                ..
            } => write!(f, "wave {wave} asks for approval"),
            Self::RequestApproval {
                wave,
                stage: Stage::After,
                ..
            } => write!(f, "wave {wave} asks for approval to pass"),
            Self::StartWave { wave, .. } => write!(f, "wave {wave} starts"),
            Self::VoidApprovals {
                wave,
                approvals,
                why,
                ..
            } => {
                write!(
                    f,
                    "approvals of wave {wave} stop counting ({}): {why}",
                    approvals.len()
                )
            }
            Self::GrantPermit {
                cluster,
                direction: Direction::Forward,
                digest,
                ..
            } => write!(f, "{cluster} may go to {digest}"),
            Self::GrantPermit {
                cluster,
                direction: Direction::Rollback,
                digest,
                steps_backwards,
                ..
            } => {
                let how = if *steps_backwards {
                    " by the canary's steps"
                } else {
                    ""
                };
                write!(f, "{cluster} goes back to {digest}{how}")
            }
            Self::RevokePermit { cluster, why, .. } => {
                write!(f, "{cluster} loses its permit: {why}")
            }
            Self::StartBake { wave, until, .. } => write!(f, "wave {wave} bakes until {until}"),
            Self::PassWave { wave, .. } => write!(f, "wave {wave} passed"),
            Self::FailWave { wave, why, .. } => write!(f, "wave {wave} failed: {why}"),
            Self::HaltRelease { release, why } => write!(f, "release #{release} halts: {why}"),
            Self::StartRollback { release, why } => {
                write!(f, "release #{release} goes back: {why}")
            }
            Self::EndRelease {
                release,
                phase,
                verdict,
            } => write!(f, "release #{release} ended {}: {verdict}", phase.as_str()),
            Self::Bar { digest, .. } => write!(f, "{digest} is barred"),
            Self::Unbar { digest, .. } => write!(f, "{digest} is barred no more"),
            Self::Member { change } => change.fmt(f),
        }
    }
}
