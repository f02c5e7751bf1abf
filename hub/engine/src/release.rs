//! One version on its way: releases, waves, targets, permits, approvals as the database holds them. In: rows. Out: their
//! types and the questions that every rule asks of them. It must not decide.

mod approval;

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use approval::{Approval, Shown, Stage};

use crate::document::ExpediteWindows;
use crate::name::{ClusterName, Digest, Person, ReleaseId, Revision};
use crate::place;
use crate::verb::Word;
use crate::waves::ReleasePlan;

mod permit;

pub use permit::{Direction, Permit, Previous};

/// A release, with everything under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// `checkout#42`.
    pub id: ReleaseId,
    /// Git revision; none: unknown.
    #[serde(default)]
    pub revision: Option<Revision>,
    /// Images of the content that opened it, sorted.
    #[serde(default)]
    pub images: Vec<String>,
    /// Who or what opened it.
    pub cause: Cause,
    /// Fixed at its opening; shared, for it names every cluster.
    pub plan: Arc<ReleasePlan>,
    /// Of the plan; approvals name it.
    pub plan_digest: String,
    /// Where it stands.
    pub phase: ReleasePhase,
    /// One sentence, once there is something to say.
    #[serde(default)]
    pub verdict: String,
    /// Releases overtaken in a row just before this one (gate.md G26).
    #[serde(default)]
    pub overtook: u32,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it stopped waiting for the release before it.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// In the plan's order.
    #[serde(default)]
    pub waves: Vec<Wave>,
    /// In the order of waves, then clusters; late ones last. Shared until changed, as clusters are.
    #[serde(default)]
    pub targets: Vec<Arc<Target>>,
    /// In the order in which they were given.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// What persons said about it, as far as it still holds.
    #[serde(default)]
    pub word: Word,
}

/// What opened a release (gate.md G24).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Cause {
    /// A connected agent saw the content change.
    Change {
        /// In this cluster.
        cluster: ClusterName,
        /// The stored change.
        change: u64,
    },
    /// A person's word.
    Person {
        /// Who.
        person: Person,
        /// Why.
        reason: String,
        /// The stored request.
        request: u64,
        /// Whether it may shorten what `spec.expedite` allows (gate.md G30).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        expedite: bool,
    },
}

/// Where a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReleasePhase {
    /// For the release before it (gate.md G26).
    Waiting,
    /// Its waves are going on.
    Progressing,
    /// A wave failed; what is in flight ends by itself.
    Halted,
    /// A wave failed; what it touched goes back.
    RollingBack,
    /// Ended: every wave passed.
    Succeeded,
    /// Ended: a wave failed and nothing had to be taken back.
    Failed,
    /// Ended: a wave failed and everything touched is back.
    RolledBack,
    /// Ended: as above, but the verdict names clusters that could not be taken back yet.
    RolledBackPartially,
    /// Ended: overtaken by a newer one.
    Superseded,
    /// Ended: its content was taken out of Git before it got through.
    Withdrawn,
    /// Ended: a person ended it; what had finished stays.
    Aborted,
}

impl ReleasePhase {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Progressing => "Progressing",
            Self::Halted => "Halted",
            Self::RollingBack => "RollingBack",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::RolledBack => "RolledBack",
            Self::RolledBackPartially => "RolledBackPartially",
            Self::Superseded => "Superseded",
            Self::Withdrawn => "Withdrawn",
            Self::Aborted => "Aborted",
        }
    }

    /// Whether nothing of it is decided any more, clusters that still have to go back aside.
    #[must_use]
    pub fn ended(self) -> bool {
        match self {
            Self::Waiting | Self::Progressing | Self::Halted | Self::RollingBack => false,
            Self::Succeeded
            | Self::Failed
            | Self::RolledBack
            | Self::RolledBackPartially
            | Self::Superseded
            | Self::Withdrawn
            | Self::Aborted => true,
        }
    }
}

/// A wave of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// 1-based.
    pub number: u32,
    /// Its name in the plan.
    pub name: String,
    /// Where it stands.
    pub phase: WavePhase,
    /// When its first permit became possible.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// Until when it is watched, once its last target has ended.
    #[serde(default)]
    pub bake_until: Option<Timestamp>,
    /// When it passed or failed.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default)]
    pub verdict: String,
    /// A person ended its bake.
    #[serde(default)]
    pub promoted: bool,
}

/// Where a wave stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WavePhase {
    /// Its turn has not come.
    Pending,
    /// Its turn has come and persons have to agree first.
    WaitingForApproval,
    /// Targets may be permitted.
    Running,
    /// Every target has ended; it is being watched.
    Baking,
    /// Its bake is over and persons have to agree that it passes.
    WaitingToPass,
    /// Ended well.
    Passed,
    /// Ended badly.
    Failed,
    /// Its release ended before its turn, or a person passed over it.
    Skipped,
}

impl WavePhase {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::WaitingForApproval => "WaitingForApproval",
            Self::Running => "Running",
            Self::Baking => "Baking",
            Self::WaitingToPass => "WaitingToPass",
            Self::Passed => "Passed",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
        }
    }

    /// Whether the next wave may have its turn.
    #[must_use]
    pub fn behind(self) -> bool {
        matches!(self, Self::Passed | Self::Skipped)
    }
}

/// One cluster in one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Which cluster.
    pub cluster: ClusterName,
    /// Its wave's number, 1-based.
    pub wave: u32,
    /// It joined after the plan was fixed.
    #[serde(default)]
    pub late: bool,
    /// Where it stands.
    pub state: TargetState,
    /// One sentence about that.
    #[serde(default)]
    pub message: String,
    /// Bound at the first held report, then fixed.
    #[serde(default)]
    pub content: Option<Content>,
    /// What it served when its forward permit was granted: where a rollback goes.
    #[serde(default)]
    pub previous: Option<Previous>,
    /// The newest permit that this release gave it.
    #[serde(default)]
    pub permit: Option<Permit>,
    /// When it came into its present state.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// When it was reported served.
    #[serde(default)]
    pub succeeded_at: Option<Timestamp>,
}

/// Where a target stands (design.md section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TargetState {
    /// Nothing is known of it yet.
    Pending,
    /// Its cluster has not reported the release's content.
    WaitingForContent,
    /// Its content is bound and may not start.
    Held,
    /// It may start.
    Permitted,
    /// It has started.
    Progressing,
    /// It has started and pauses by its own steps.
    Paused,
    /// Served, by its engine's word for this release, digest and permit.
    Succeeded,
    /// Did not come to serve it.
    Failed,
    /// Has a permit to go back.
    RollingBack,
    /// Serves its previous version again.
    RolledBack,
    /// Needed nothing.
    Skipped,
    /// Its Rollout is not there.
    Removed,
    /// Holds content older than the release's, brought at connect.
    Behind,
    /// In flight and out of contact: neither good nor bad.
    Unknown,
}

impl TargetState {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::WaitingForContent => "WaitingForContent",
            Self::Held => "Held",
            Self::Permitted => "Permitted",
            Self::Progressing => "Progressing",
            Self::Paused => "Paused",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::RollingBack => "RollingBack",
            Self::RolledBack => "RolledBack",
            Self::Skipped => "Skipped",
            Self::Removed => "Removed",
            Self::Behind => "Behind",
            Self::Unknown => "Unknown",
        }
    }

    /// Whether it has not been permitted and may still be.
    #[must_use]
    pub fn before_permit(self) -> bool {
        match self {
            Self::Pending | Self::WaitingForContent | Self::Held | Self::Behind => true,
            Self::Permitted
            | Self::Progressing
            | Self::Paused
            | Self::Succeeded
            | Self::Failed
            | Self::RollingBack
            | Self::RolledBack
            | Self::Skipped
            | Self::Removed
            | Self::Unknown => false,
        }
    }

    /// Whether it has a forward permit without an outcome. Unknown is in flight: it counts against concurrency.
    #[must_use]
    pub fn in_flight(self) -> bool {
        match self {
            Self::Permitted | Self::Progressing | Self::Paused | Self::Unknown => true,
            Self::Pending
            | Self::WaitingForContent
            | Self::Held
            | Self::Succeeded
            | Self::Failed
            | Self::RollingBack
            | Self::RolledBack
            | Self::Skipped
            | Self::Removed
            | Self::Behind => false,
        }
    }
}

/// One content as a cluster's agent described it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Content digest.
    pub digest: Digest,
    /// Delivery digest.
    #[serde(default)]
    pub delivery: Digest,
    /// Git revision; none: unknown.
    #[serde(default)]
    pub revision: Option<Revision>,
    /// Its images.
    #[serde(default)]
    pub images: Vec<String>,
    /// The Rollout's generation that carried it.
    #[serde(default)]
    pub generation: i64,
}

impl Release {
    /// A wave by its number.
    #[must_use]
    pub fn wave(&self, number: u32) -> Option<&Wave> {
        self.waves.iter().find(|wave| wave.number == number)
    }

    /// A target by its cluster.
    #[must_use]
    pub fn target(&self, cluster: &ClusterName) -> Option<&Target> {
        self.targets
            .get(place::of_target(&self.targets, cluster)?)
            .map(Arc::as_ref)
    }

    /// Whether a person said that it may shorten what `spec.expedite` allows (gate.md G30).
    #[must_use]
    pub fn expedited(&self) -> bool {
        self.word.expedited.is_some() || matches!(self.cause, Cause::Person { expedite: true, .. })
    }

    /// Whether an earlier wave shows the content first, or will: the first one is never hastened (gate.md G30). One without
    /// clusters, or passed over before anything of it started, shows nothing.
    #[must_use]
    pub fn comes_after_another(&self, wave: u32) -> bool {
        let mut targets = self.targets.iter().filter(|target| target.wave < wave);
        targets.any(|target| target.touched() || target.state.before_permit())
    }

    /// Whether a wave passes the FleetRollout's own windows: an expedited one after the first, by policy (gate.md G30).
    #[must_use]
    pub fn passes_windows(&self, wave: u32) -> bool {
        let policy = self.plan.expedite.map(|expedite| expedite.windows);
        self.expedited() && self.comes_after_another(wave) && policy == Some(ExpediteWindows::Pass)
    }

    /// The targets of a wave.
    pub fn targets_of(&self, wave: u32) -> impl Iterator<Item = &Target> {
        self.targets
            .iter()
            .map(Arc::as_ref)
            .filter(move |target| target.wave == wave)
    }

    /// Whether its first wave is behind it (gate.md G26).
    #[must_use]
    pub fn past_first_wave(&self) -> bool {
        self.waves.first().is_some_and(|wave| wave.phase.behind())
    }

    /// Every image that an approval of this wave would cover now, sorted.
    #[must_use]
    pub fn images_of_wave(&self, wave: u32) -> Vec<String> {
        let bound = self
            .targets_of(wave)
            .filter_map(|target| target.content.as_ref());
        let mut images: Vec<_> = self
            .images
            .iter()
            .chain(bound.flat_map(|content| &content.images))
            .cloned()
            .collect();
        images.sort();
        images.dedup();
        images
    }
}

impl Target {
    /// Whether the release ever permitted it to start: what a rollback of scope Touched covers.
    #[must_use]
    pub fn touched(&self) -> bool {
        self.permit.is_some()
    }
}
