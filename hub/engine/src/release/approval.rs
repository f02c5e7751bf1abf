//! Persons' agreement to waves. In: approvals as stored. Out: which of them count. It must not look at a clock: one that
//! has expired is voided by an action.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Cause, Release, Wave, WavePhase};
use crate::document::ApprovalSpec;
use crate::name::{Person, Revision};

/// What an approval is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Stage {
    /// That the wave starts.
    #[default]
    Before,
    /// That the wave passes.
    After,
}

impl Stage {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "Before",
            Self::After => "After",
        }
    }

    /// The phase of a wave that asks for it.
    #[must_use]
    pub fn asks(self) -> WavePhase {
        match self {
            Self::Before => WavePhase::WaitingForApproval,
            Self::After => WavePhase::WaitingToPass,
        }
    }
}

/// What an approval of a wave covers at one moment, and what a person is shown of it before they agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// That the wave starts, or that it passes.
    pub stage: Stage,
    /// The release's revision.
    pub revision: Option<Revision>,
    /// Every image, sorted.
    pub images: Vec<String>,
}

impl Wave {
    /// What an approval given now is about: once a wave has started, that it passes.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.phase {
            WavePhase::Pending | WavePhase::WaitingForApproval => Stage::Before,
            WavePhase::Running
            | WavePhase::Baking
            | WavePhase::WaitingToPass
            | WavePhase::Passed
            | WavePhase::Failed
            | WavePhase::Skipped => Stage::After,
        }
    }
}

/// One person's agreement to one wave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The stored row.
    pub id: u64,
    /// The wave's number.
    pub wave: u32,
    /// That it starts, or that it passes.
    #[serde(default)]
    pub stage: Stage,
    /// Who, by certificate.
    pub person: Person,
    /// Their groups, by certificate.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What they wrote.
    #[serde(default)]
    pub comment: String,
    /// The plan that they saw.
    pub plan_digest: String,
    /// The revision that they saw.
    #[serde(default)]
    pub revision: Option<Revision>,
    /// The images that they saw, sorted.
    #[serde(default)]
    pub images: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// Why it does not count any more; empty: it counts.
    #[serde(default)]
    pub voided: String,
}

impl Approval {
    /// Whether the person saw each of these images.
    #[must_use]
    pub fn covers(&self, images: &[String]) -> bool {
        images.iter().all(|image| self.images.contains(image))
    }
}

impl Release {
    /// Who has to agree at this point of a wave; none: nobody.
    #[must_use]
    pub fn approval_of(&self, wave: u32, stage: Stage) -> Option<&ApprovalSpec> {
        let planned = self.plan.wave(wave)?;
        match stage {
            Stage::Before => planned.approval.as_ref(),
            Stage::After => planned.approval_after.as_ref(),
        }
    }

    /// The person whose own approval does not count where authors are excluded; none: no person started it.
    #[must_use]
    pub fn author(&self) -> Option<&Person> {
        match &self.cause {
            Cause::Person { person, .. } => Some(person),
            Cause::Change { .. } => None,
        }
    }

    /// The approvals that count for a wave: by persons of the right groups, each once, for this plan and revision.
    #[must_use]
    pub fn approvals_that_count(&self, wave: u32, stage: Stage) -> Vec<&Approval> {
        let Some(spec) = self.approval_of(wave, stage) else {
            return Vec::new();
        };
        let mut counting: Vec<&Approval> = Vec::new();
        for approval in &self.approvals {
            let excluded = spec.exclude_author && self.author() == Some(&approval.person);
            let counts = approval.wave == wave
                && approval.stage == stage
                && !excluded
                && approval.voided.is_empty()
                && approval.plan_digest == self.plan_digest
                && approval.revision == self.revision
                && approval
                    .groups
                    .iter()
                    .any(|group| spec.groups.contains(group))
                && !counting.iter().any(|other| other.person == approval.person);
            if counts {
                counting.push(approval);
            }
        }
        counting
    }

    /// What an approval of this wave would cover now.
    #[must_use]
    pub fn shown(&self, wave: &Wave) -> Shown {
        Shown {
            stage: wave.stage(),
            revision: self.revision.clone(),
            images: self.images_of_wave(wave.number),
        }
    }

    /// When an approval stops counting by its age; none: it does not, or the wave has started on its strength. A wave that asks
    /// again has not started on the strength of what it asks for.
    #[must_use]
    pub fn expires_at(&self, approval: &Approval) -> Option<Timestamp> {
        let spec = self.approval_of(approval.wave, approval.stage)?;
        let started = self
            .wave(approval.wave)
            .is_some_and(|wave| wave.started_at.is_some() && wave.phase != Stage::Before.asks());
        let used = approval.stage == Stage::Before && started;
        spec.expires
            .filter(|_| !used && approval.voided.is_empty())
            .map(|expires| expires.after(approval.at))
    }
}
