//! The leave to begin: an Experiment that a Rollout made brings up pods of its versions, and these are not its own to start.
//!
//! In: the word of the Rollout's own plan. Out: nothing is made while it is withheld. It must not know why it is: the fleet,
//! an abort, a pause, or a step that was left are the Rollout's business.
//!
//! What has begun goes on without it, as the pods of a step do when the fleet lets nothing grow: its Rollout ends it. It is
//! what begins anew that needs it, such as one whose status somebody cleared (`kubectl argo rollouts retry experiment`).

use agent_api::{AnalysisPhase, Experiment};
use jiff::SignedDuration;

use super::pass::Pass;
use super::{Reason, phase};

/// The Rollout is asked again so often: its word is made anew each time, and nothing tells when it is another one.
const ASKED_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// Whether the Rollout that made an Experiment lets it begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// It does, or no Rollout made it.
    Given,
    /// Not now.
    Withheld {
        /// The Rollout's reason, as part of a sentence.
        why: String,
    },
}

/// It has begun: pods were asked for, and whoever lets it begin was asked then.
pub fn has_begun(experiment: &Experiment) -> bool {
    let status = experiment.status.as_ref();
    let templates = status.is_some_and(|status| !status.template_statuses.is_empty());
    templates || phase(experiment) != AnalysisPhase::Pending
}

impl Pass<'_> {
    /// It is not to begin now. Says why, and when it is worth asking again.
    pub fn waits_for_leave(&mut self) -> bool {
        let experiment = &self.observed.experiment;
        let (Leave::Withheld { why }, false) = (&self.observed.leave, has_begun(experiment)) else {
            return false;
        };
        let why = why.clone();
        self.status.message = Some(format!("waits for its Rollout: {why}"));
        self.reasons.push(Reason::WaitsForLeave { why });
        let again = self.observed.now.checked_add(ASKED_AGAIN);
        self.wake_at(again.unwrap_or(jiff::Timestamp::MAX));
        true
    }
}
