//! What a plan waits for and why. In: values of the plan. Out: a stable code, a sentence and the command that helps. The
//! hub stores them, `explain` prints them. It must not be decided on.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::member::LetGo;
use crate::name::{ClusterName, Digest, FleetRolloutName, Person, ReleaseId};
use crate::paper::Paper;
use crate::release::{ReleasePhase, Stage};

/// A reason and what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The release; none: the FleetRollout as a whole.
    #[serde(default)]
    pub release: Option<ReleaseId>,
    /// Number of the wave.
    #[serde(default)]
    pub wave: Option<u32>,
    /// The cluster.
    #[serde(default)]
    pub cluster: Option<ClusterName>,
    /// What is waited for.
    pub why: Why,
    /// The command that tells more or helps; empty: only time helps.
    #[serde(default)]
    pub next: String,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase", tag = "code")]
#[allow(missing_docs, reason = "the sentence of each is its documentation")]
pub enum Why {
    WaitingForWave {
        wave: u32,
        waves: u32,
        name: String,
        release: ReleaseId,
    },
    WaitingForApproval {
        wave: u32,
        name: String,
        have: u32,
        required: u32,
        groups: Vec<String>,
        #[serde(default)]
        stage: Stage,
    },
    WaitingForSlot {
        in_flight: u32,
        most: u32,
    },
    WaitingForContent {
        until: Option<Timestamp>,
    },
    WaitingForRelease {
        release: ReleaseId,
    },
    Baking {
        wave: u32,
        name: String,
        until: Timestamp,
    },
    InFlight {
        step: u32,
        steps: u32,
        phase: String,
        message: String,
    },
    NotStarted {
        /// Its cluster's clock, where by that the permit's time is over.
        #[serde(default)]
        clock_ahead: i64,
    },
    Disconnected {
        since: Option<Timestamp>,
    },
    Regressed,
    ClockAhead {
        seconds: i64,
    },
    NotReported,
    UndecodableGate,
    Barred {
        digest: Digest,
        release: ReleaseId,
    },
    Ahead {
        digest: Digest,
    },
    Behind {
        digest: Digest,
    },
    Conflict {
        other: FleetRolloutName,
    },
    NoLongerSelected,
    NoClusters,
    Halted {
        verdict: String,
    },
    RollingBack {
        remaining: u32,
    },
    RollbackQueued {
        in_flight: u32,
        most: u32,
    },
    RollbackUnreachable {
        digest: Digest,
    },
    NotTakenBack {
        message: String,
    },
    WindowClosed {
        until: Timestamp,
        why: String,
    },
    WaitingForFleetRollout {
        release: ReleaseId,
        phase: ReleasePhase,
    },
    Paused {
        by: Person,
        reason: String,
    },
    Stopped {
        message: String,
    },
    LeftTheFleet {
        by: Person,
        reason: String,
    },
    LetGo {
        by: Person,
        reason: String,
        mode: LetGo,
    },
    BeganAgain {
        what: String,
        until: Timestamp,
    },
    Observing,
    OnPaper {
        paper: Paper,
    },
    HeldAtStep {
        message: String,
    },
    NothingSpeaksForIt {
        wave: u32,
        name: String,
    },
    NotApproved {
        wave: u32,
        name: String,
        images: Vec<String>,
    },
    BoundBefore {
        digest: Digest,
        bound: Digest,
        release: ReleaseId,
    },
    NotDecided {
        what: String,
    },
}

impl Why {
    /// A stable identifier.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::WaitingForWave { .. } => "WaitingForWave",
            Self::WaitingForApproval { .. } => "WaitingForApproval",
            Self::WaitingForSlot { .. } => "WaitingForSlot",
            Self::WaitingForContent { .. } => "WaitingForContent",
            Self::WaitingForRelease { .. } => "WaitingForRelease",
            Self::Baking { .. } => "Baking",
            Self::InFlight { .. } => "InFlight",
            Self::NotStarted { .. } => "NotStarted",
            Self::Disconnected { .. } => "Disconnected",
            Self::Regressed => "Regressed",
            Self::ClockAhead { .. } => "ClockAhead",
            Self::NotReported => "NotReported",
            Self::UndecodableGate => "UndecodableGate",
            Self::Barred { .. } => "Barred",
            Self::Ahead { .. } => "Ahead",
            Self::Behind { .. } => "Behind",
            Self::Conflict { .. } => "Conflict",
            Self::NoLongerSelected => "NoLongerSelected",
            Self::NoClusters => "NoClusters",
            Self::Halted { .. } => "Halted",
            Self::RollingBack { .. } => "RollingBack",
            Self::RollbackQueued { .. } => "RollbackQueued",
            Self::RollbackUnreachable { .. } => "RollbackUnreachable",
            Self::NotTakenBack { .. } => "NotTakenBack",
            Self::WindowClosed { .. } => "WindowClosed",
            Self::WaitingForFleetRollout { .. } => "WaitingForFleetRollout",
            Self::Paused { .. } => "Paused",
            Self::Stopped { .. } => "Stopped",
            Self::LeftTheFleet { .. } => "LeftTheFleet",
            Self::LetGo { .. } => "LetGo",
            Self::BeganAgain { .. } => "BeganAgain",
            Self::Observing => "Observing",
            Self::OnPaper { .. } => "OnPaper",
            Self::HeldAtStep { .. } => "HeldAtStep",
            Self::NothingSpeaksForIt { .. } => "NothingSpeaksForIt",
            Self::NotApproved { .. } => "NotApproved",
            Self::BoundBefore { .. } => "BoundBefore",
            Self::NotDecided { .. } => "NotDecided",
        }
    }
}

/// The sentence that gate.md G14 fixes: what a held Rollout shows.
#[must_use]
pub fn waiting_sentence(wave: u32, waves: u32, name: &str, release: &ReleaseId) -> String {
    format!("waiting for wave {wave} of {waves} ({name}) of release {release}")
}

impl Reason {
    /// A stable identifier.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.why.code()
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> String {
        self.why.to_string()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl fmt::Display for Why {
    #[allow(clippy::too_many_lines, reason = "one arm a variant")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitingForWave { wave, waves, name, release } => f.write_str(&waiting_sentence(*wave, *waves, name, release)),
            Self::WaitingForApproval { wave, name, have, required, groups, stage } => {
                let to = match stage {
                    Stage::Before => "",
                    Stage::After => " to pass",
                };
                write!(f, "wave {wave} ({name}) has {have} of {required} approvals by {}{to}", groups.join(" or "))
            }
            Self::WaitingForSlot { in_flight, most } => write!(f, "waits for its turn in the wave (in flight: {in_flight} of at most {most})"),
            Self::WaitingForContent { until: Some(until) } => {
                write!(f, "the cluster has not reported the release's content; it counts as failed at {until}")
            }
            Self::WaitingForContent { until: None } => f.write_str("the cluster has not reported the release's content"),
            Self::WaitingForRelease { release } => write!(f, "waiting for release {release} to end"),
            Self::Baking { wave, name, until } => write!(f, "wave {wave} ({name}) bakes until {until}"),
            Self::InFlight { step, steps, phase, message } => {
                write!(f, "at step {step} of {steps}, {phase}")?;
                if message.is_empty() { Ok(()) } else { write!(f, ": {message}") }
            }
            Self::NotStarted { clock_ahead } => {
                f.write_str("permitted, and its agent has not started it yet")?;
                clock::ahead(*clock_ahead).map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Self::Disconnected { since: Some(since) } => write!(f, "its agent was last heard at {since}"),
            Self::Disconnected { since: None } => f.write_str("its agent was never heard"),
            Self::Regressed => f.write_str("its agent came back with an older set than it had, and starts nothing until it has caught up"),
            Self::ClockAhead { seconds } => {
                f.write_str("not permitted, for its agent would not start")?;
                clock::ahead(*seconds).map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Self::NotReported => f.write_str("its agent has not reported the Rollout"),
            Self::UndecodableGate => f.write_str("its agent cannot decode the Rollout's Gate, and holds it"),
            Self::Barred { digest, release } => write!(f, "its content {digest} failed in release {release}"),
            Self::Ahead { digest } => write!(f, "holds {digest}, which no release covers"),
            Self::Behind { digest } => write!(f, "holds {digest}, which is older than the release"),
            Self::Conflict { other } => write!(f, "FleetRollout {other} governs the same Rollout in this cluster"),
            Self::NoLongerSelected => f.write_str("the FleetRollout no longer selects this cluster, and its Rollout stays governed"),
            Self::NoClusters => f.write_str("the FleetRollout selects no cluster"),
            Self::Halted { verdict } => write!(f, "halted: {verdict}"),
            Self::RollingBack { remaining } => write!(f, "still to go back: {remaining}"),
            Self::RollbackQueued { in_flight, most } => write!(f, "waits for its turn to go back, last wave first (going back: {in_flight} of at most {most})"),
            Self::RollbackUnreachable { digest } => write!(f, "goes back to {digest} as soon as its agent is heard again"),
            Self::NotTakenBack { message } => write!(f, "could not be taken back: {message}"),
            Self::WindowClosed { until, why } => write!(f, "may not start before {until}: {why}"),
            Self::WaitingForFleetRollout { release, phase } if phase.ended() => {
                write!(f, "comes after {}, whose release {release} ended {}; the next one there has to pass", release.fleet_rollout, phase.as_str())
            }
            Self::WaitingForFleetRollout { release, phase } => {
                write!(f, "comes after {}, whose release {release} is {}", release.fleet_rollout, phase.as_str())
            }
            Self::Paused { by, reason } => write!(f, "paused by {by}: {reason}"),
            Self::LeftTheFleet { by, reason } => write!(f, "left the fleet, by {by}: {reason}"),
            Self::LetGo { by, reason, mode } => write!(f, "governed no more ({}), by {by}: {reason}", mode.as_str()),
            Self::BeganAgain { what, until } => write!(f, "{what}; it is waited for until {until}"),
            Self::Observing => f.write_str("enforcement is Observe: waves run on paper, nothing is held and nothing permitted"),
            Self::OnPaper { paper } => paper.fmt(f),
            Self::NothingSpeaksForIt { wave, name } => {
                write!(f, "every cluster was left out of wave {wave} ({name}), so nothing speaks for it; a person passes over it, or aborts")
            }
            Self::NotApproved { wave, name, images } => {
                let what = if images.is_empty() { "this".to_owned() } else { images.join(", ") };
                write!(f, "{what} has no approval that counts for wave {wave} ({name}), which is over; a new release asks for it")
            }
            Self::BoundBefore { digest, bound, release } => {
                write!(f, "holds {digest} by now, and release {release} is bound to {bound} here, which came first; a new release brings it")
            }
            Self::NotDecided { what } => {
                write!(f, "nothing is decided, for the hub's plan breaks a rule of its own ({what}): what is permitted goes on, nothing \
                           else starts, and a stop still counts; this is a fault of groundswell, please report it with this sentence")
            }
            Self::HeldAtStep { message } => write!(f, "holds at its step: {message}"),
            Self::Stopped { message } => write!(f, "nothing starts, and what is in flight holds at its step: {message}"),
        }
    }
}
