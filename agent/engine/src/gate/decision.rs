//! What the gate decides.
//! In: nothing. Out: the words of a decision, read by the canary engine, the record and the tests. It must not decide.

use agent_api::{ContentDigest, RollbackPhase};

use super::glass::GlassUse;

/// The content that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// What the spec says, with the strategy of the spec.
    RunSpec,
    /// Kept content, with the template and the strategy it was kept with.
    RunKept(ContentDigest),
    /// Nothing: a first deploy that waits.
    HoldNothing,
}

/// What the Rollout is doing as far as the fleet is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Nobody outside has a say now.
    Open,
    /// A permit is being carried out.
    Forward {
        /// The release that the permit belongs to.
        release: String,
    },
    /// The fleet takes the content back, or has.
    Rollback {
        /// The release taken back.
        release: String,
        /// Why.
        why: String,
        /// The phase to show.
        phase: RollbackPhase,
        /// Walk the canary backwards.
        steps_backwards: bool,
    },
    /// The spec, or the next step, waits.
    Held,
}

/// What became of the permit in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermitUse {
    /// There is none.
    Absent,
    /// It is what the cluster acts on.
    Used,
    /// Its outcome is reported: it says nothing any more.
    Consumed,
    /// It does not count, and why.
    Ignored(String),
}

/// Why a canary on its way goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AbortCause {
    /// The hub was silent for longer than the policy allows (G21).
    HubSilent {
        /// Seconds of silence.
        seconds: i64,
    },
    /// The record says that it failed, and the status does not say so yet: a pass was cut off between the two.
    Recorded,
}

/// An outcome that follows from the facts alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GateOutcome {
    /// Git went back before anything started (G19).
    SkippedWithdrawn,
    /// The canary was aborted under the permit.
    FailedAborted,
    /// Git went back in mid-canary (G19).
    FailedWithdrawn,
    /// There is nothing sound to go back to (G23).
    FailedNoRollbackTarget,
    /// The permit is for steps or analysis templates that were edited since (G2): the hub grants anew for those there are.
    RefusedOtherSteps,
}

/// One row's right-hand side.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// What runs.
    pub content: Content,
    /// Content that is neither served nor in flight may get its first ReplicaSet.
    pub may_start: bool,
    /// The share of what is in flight may grow past the present step.
    pub may_raise: bool,
    /// The step index that is not passed.
    pub max_step: Option<i32>,
    /// The fleet's view.
    pub mode: Mode,
    /// The spec's content, when it is not what runs.
    pub held: Option<ContentDigest>,
    /// What is waited for, for people.
    pub message: Option<String>,
    /// What became of the permit.
    pub permit: PermitUse,
    /// The canary goes back to the cluster's own stable.
    pub abort_in_flight: Option<AbortCause>,
    /// A latched abort is lifted: a newer permit names the same digest.
    pub restart: bool,
    /// What is in flight was so before anybody governed it (G11).
    pub adopt: bool,
    /// The verb is not honoured, and who can.
    pub refuse_verb: Option<String>,
    /// An outcome to report.
    pub outcome: Option<GateOutcome>,
    /// What becomes of a person's word to do without the fleet's (G16).
    pub glass: GlassUse,
}
