//! How long the present update takes, and how it ended.
//!
//! In: what the pass decided. Out: `status.duration`. It must not decide, and it says nothing of an update whose beginning
//! was not seen.

use agent_api::names::pause_reason;
use agent_api::{RolloutDuration, StepKind};

use super::{Pass, Strategy};
use crate::reason::Reason;

/// How an update ended, in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// Through its steps.
    Promoted,
    /// A person skipped the rest.
    FastPromoted,
    /// Taken back.
    Aborted,
    /// A newer version took its place.
    Superseded,
    /// An older version, through the steps.
    RolledBack,
    /// An older version, without steps.
    FastRolledBack,
}

impl Completion {
    /// The word in the status and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promoted => "Promoted",
            Self::FastPromoted => "FastPromoted",
            Self::Aborted => "Aborted",
            Self::Superseded => "Superseded",
            Self::RolledBack => "RolledBack",
            Self::FastRolledBack => "FastRolledBack",
        }
    }
}

impl Pass<'_> {
    /// Writes `status.duration`.
    pub fn settle_duration(&mut self) {
        let now = self.observed.now.into();
        let known = self.before.duration.clone();
        let on_its_way = !self.at_stable() || self.news.promoted;
        let begins = self.news.changed && on_its_way || self.news.retried;
        let mut duration = match known {
            _ if begins => RolloutDuration {
                rollout_started_at: Some(now),
                ..RolloutDuration::default()
            },
            Some(known) => known,
            None => return,
        };
        if duration.finished_at.is_none() {
            let completion = self.completion();
            let waits = completion.is_none() && self.waits_for_person();
            match (duration.manual_pause_started_at, waits) {
                (None, true) => duration.manual_pause_started_at = Some(now),
                (Some(since), false) => {
                    let since = self.observed.clock_set.shifted(since);
                    let seconds = self
                        .observed
                        .now
                        .duration_since(since.timestamp())
                        .as_secs()
                        .max(0);
                    let total = duration.total_manual_pause_duration_seconds.unwrap_or(0);
                    duration.total_manual_pause_duration_seconds =
                        Some(total.saturating_add(seconds));
                    duration.manual_pause_started_at = None;
                }
                (None, false) | (Some(_), true) => {}
            }
            if let Some(completion) = completion {
                duration.finished_at = Some(now);
                duration.completion_status = Some(completion.as_str().to_owned());
            }
        }
        self.status.duration = Some(duration);
    }

    fn completion(&self) -> Option<Completion> {
        if self.news.promoted {
            return Some(self.promoted_as());
        }
        if self.aborted() {
            return Some(Completion::Aborted);
        }
        // What was on its way gives way to the stable version.
        self.at_stable().then_some(Completion::FastRolledBack)
    }

    fn promoted_as(&self) -> Completion {
        let previous = self.before.stable_rs.as_ref();
        let previous = self.sets().find(|set| Some(&set.hash) == previous);
        let back = previous.is_some_and(|stable| self.goes_back(stable));
        match &self.news.promoted_by {
            Some(Reason::FullPromotion) => Completion::FastPromoted,
            Some(Reason::RollbackWindow | Reason::FastRollback | Reason::FleetRollback { .. }) => {
                Completion::FastRolledBack
            }
            Some(_) | None if back => Completion::RolledBack,
            Some(_) | None => Completion::Promoted,
        }
    }

    /// Nothing but a person ends the present pause.
    fn waits_for_person(&self) -> bool {
        let spec = &self.observed.rollout.spec;
        let by_reason = |reason: &str| match reason {
            pause_reason::CANARY_PAUSE_STEP => {
                let step = self.step(self.index).map(agent_api::CanaryStep::kind);
                matches!(step, Some(StepKind::Pause(pause)) if pause.duration.is_none())
            }
            pause_reason::BLUE_GREEN_PAUSE => match self.strategy {
                Strategy::BlueGreen(blue_green) => {
                    blue_green.auto_promotion_enabled == Some(false)
                        || blue_green.auto_promotion_seconds.is_none()
                }
                Strategy::Canary(_) => false,
            },
            pause_reason::INCONCLUSIVE_ANALYSIS_RUN | pause_reason::INCONCLUSIVE_EXPERIMENT => true,
            _ => false,
        };
        let pauses = &self.status.pause_conditions;
        spec.paused == Some(true) || pauses.iter().any(|pause| by_reason(&pause.reason))
    }
}
