//! What the owner of a run knows of it.
//!
//! In: a Rollout's or an Experiment's status. Out: the phase under which it names the run. It must not decide: a run is kept
//! until its owner knows how it ended, or the failure would be lost with it and the run be made again.

use agent_api::{AnalysisPhase, ExperimentStatus, RolloutStatus};

/// What the owner of a run knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nobody owns it.
    NoOwner,
    /// The owner's status names the run, with this phase.
    Named(Option<AnalysisPhase>),
    /// The owner's status does not name it, or no longer; or the owner is not to be seen from here.
    Unnamed,
}

/// By a Rollout's status.
#[must_use]
pub fn by_rollout(status: &RolloutStatus, run: &str) -> Told {
    let canary = status.canary.iter().flat_map(|canary| {
        [
            &canary.current_step_analysis_run_status,
            &canary.current_background_analysis_run_status,
        ]
    });
    let blue_green = status.blue_green.iter().flat_map(|blue_green| {
        [
            &blue_green.pre_promotion_analysis_run_status,
            &blue_green.post_promotion_analysis_run_status,
        ]
    });
    let mut named = canary.chain(blue_green).flatten();
    let named = named.find(|known| known.name == run);
    named.map_or(Told::Unnamed, |known| Told::Named(known.status))
}

/// By an Experiment's status.
#[must_use]
pub fn by_experiment(status: &ExperimentStatus, run: &str) -> Told {
    let mut named = status.analysis_runs.iter();
    let named = named.find(|known| known.analysis_run == run);
    named.map_or(Told::Unnamed, |known| Told::Named(known.phase))
}

#[cfg(test)]
mod tests;
