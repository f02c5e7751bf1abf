//! What is told of a run by whoever had it made.
//!
//! In: a run's name, phase and message. Out: an event's type, reason and text. It must not know what the run is for.

use agent_api::AnalysisPhase;

use crate::plan::EventKind;

/// The event of a phase; none before the run has begun.
pub(crate) fn news(
    run: &str,
    phase: AnalysisPhase,
    message: &str,
) -> Option<(EventKind, &'static str, String)> {
    let (kind, reason) = match phase {
        AnalysisPhase::Pending => return None,
        AnalysisPhase::Running => (EventKind::Normal, "AnalysisRunRunning"),
        AnalysisPhase::Successful => (EventKind::Normal, "AnalysisRunSuccessful"),
        AnalysisPhase::Inconclusive => (EventKind::Normal, "AnalysisRunInconclusive"),
        AnalysisPhase::Error => (EventKind::Warning, "AnalysisRunError"),
        AnalysisPhase::Failed => (EventKind::Warning, "AnalysisRunFailed"),
    };
    let why = if message.is_empty() { "" } else { ": " };
    let phase = phase.as_str().to_lowercase();
    Some((
        kind,
        reason,
        format!("analysis {run} is {phase}{why}{message}"),
    ))
}
