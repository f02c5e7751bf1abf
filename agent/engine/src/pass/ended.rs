//! Runs and Experiments that their Rollout ended because nothing waited for them any more, such as those of a step that a
//! client has left. What is ended so is Successful with whatever it had measured by then, nothing as a rule; a step that is
//! entered again must not take that for its verdict.
//!
//! In: what is observed, the status as it was. Out: the next attempt, in the place of one that was ended. It must not end
//! anything.

use agent_api::{AnalysisPhase, ObjectMeta};

use super::Pass;
use super::runs::RunKind;
use crate::experiment::phase;

/// Annotation on runs and Experiments that their Rollout ended because nothing waited for them any more.
pub const ANNOTATION_NOT_NEEDED: &str = "fleet.groundswell.dev/not-needed";

/// It carries the mark of one that nothing waited for.
pub fn is_marked(metadata: &ObjectMeta) -> bool {
    let annotations = metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.contains_key(ANNOTATION_NOT_NEEDED))
}

/// What went wrong before its end went wrong.
fn stands(phase: AnalysisPhase) -> bool {
    match phase {
        AnalysisPhase::Failed | AnalysisPhase::Error => true,
        AnalysisPhase::Successful
        | AnalysisPhase::Running
        | AnalysisPhase::Pending
        | AnalysisPhase::Inconclusive => false,
    }
}

impl Pass<'_> {
    /// The run of this kind says nothing: it was ended while nothing waited for it. One without the mark may be another
    /// controller's, or its end a person's; what the status names was waited for then.
    pub(super) fn was_ended(&self, kind: RunKind) -> bool {
        let name = self.run_name(kind);
        let Some(run) = self.find_run(&name) else {
            return false;
        };
        let status = run.status.as_ref();
        let phase = status.and_then(|status| status.phase).unwrap_or_default();
        let named = kind.known(&self.before).is_some_and(|run| run.name == name);
        let for_nobody = is_marked(&run.metadata) || !named;
        run.spec.terminate == Some(true) && for_nobody && !stands(phase)
    }

    /// The same of the Experiment of the step.
    pub(crate) fn experiment_was_ended(&self, name: &str) -> bool {
        let mut all = self.observed.experiments.iter();
        let found = all.find(|one| one.metadata.name.as_deref() == Some(name));
        let Some(one) = found else {
            return false;
        };
        let before = self.before.canary.as_ref();
        let known = before.and_then(|canary| canary.current_experiment.as_deref());
        let for_nobody = is_marked(&one.metadata) || known != Some(name);
        one.spec.terminate == Some(true) && for_nobody && !stands(phase(one))
    }
}
