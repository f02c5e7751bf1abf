//! What a run's verdict means for the version that it is about, whatever the run is for.
//!
//! In: the run as observed. Out: whether the version may go on; a pause where the verdict is unclear, an abort where it is
//! bad; another run where a person has let an unclear one pass. It must not judge measurements.

use agent_api::names::pause_reason;
use agent_api::{AnalysisPhase, StepAnalysis};

use super::Pass;
use super::runs::{RunKind, RunView};
use crate::plan::EventKind;
use crate::planted::Planted;
use crate::reason::Reason;

/// What a run says of the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is good.
    Good,
    /// Nothing yet.
    Runs,
    /// It is bad, or a person has to say.
    Stops,
}

impl Pass<'_> {
    /// The run of this kind, made if it was not yet, and what it says.
    pub fn follow_run(&mut self, kind: RunKind, analysis: &StepAnalysis) -> Heard {
        let run = self.run_of(kind, analysis);
        if kind == RunKind::Background && self.bug.is(Planted::BackgroundIgnored) {
            return Heard::Good;
        }
        match run.phase {
            AnalysisPhase::Successful => Heard::Good,
            AnalysisPhase::Running | AnalysisPhase::Pending => self.still_runs(kind, run),
            AnalysisPhase::Inconclusive => {
                self.pause_inconclusive(kind, run);
                Heard::Stops
            }
            AnalysisPhase::Failed | AnalysisPhase::Error => {
                self.abort_for(&self.what_run(kind), &run);
                Heard::Stops
            }
        }
    }

    /// Somebody has let an unclear run pass, or what is there was ended while nothing waited for it: the next one is
    /// another. The background leaves the sign of it to the present step, whose pause was lifted with this one.
    pub fn resume_run(&mut self, kind: RunKind) {
        if !self.was_ended(kind) && !self.resumed_after_inconclusive(kind) {
            return;
        }
        match kind {
            RunKind::Background => self.next_background(),
            RunKind::Step | RunKind::PrePromotion | RunKind::PostPromotion => {
                self.clear_pauses();
                self.next_attempt();
            }
        }
    }

    fn still_runs(&mut self, kind: RunKind, run: RunView) -> Heard {
        let (run, shown) = (run.name, self.index.saturating_add(1));
        let reason = match kind {
            RunKind::Background => Reason::AnalysisRunning { step: None, run },
            RunKind::Step => Reason::AnalysisRunning {
                step: Some(shown),
                run,
            },
            RunKind::PrePromotion | RunKind::PostPromotion => Reason::PromotionAnalysis {
                what: kind.what(),
                run,
            },
        };
        if kind != RunKind::Background {
            if self.bug.is(Planted::AnalysisAssumedGood) {
                return Heard::Good;
            }
            self.clear_pauses();
        }
        self.reasons.push(reason);
        Heard::Runs
    }

    fn pause_inconclusive(&mut self, kind: RunKind, run: RunView) {
        let (reason, run) = (pause_reason::INCONCLUSIVE_ANALYSIS_RUN, run.name);
        if self.pause(reason).is_none() {
            self.add_pause(reason);
            let shown = self.index.saturating_add(1);
            let message = match kind {
                RunKind::Step => format!("paused at step {shown}: analysis {run} is inconclusive"),
                RunKind::Background => {
                    format!("paused: analysis {run} in the background is inconclusive")
                }
                RunKind::PrePromotion | RunKind::PostPromotion => {
                    format!("paused {}: analysis {run} is inconclusive", kind.what())
                }
            };
            let what = match kind {
                RunKind::Background => "background",
                RunKind::Step | RunKind::PrePromotion | RunKind::PostPromotion => "inconclusive",
            };
            self.event(EventKind::Warning, "RolloutPaused", message, what);
        }
        self.reasons.push(Reason::AnalysisInconclusive { run });
    }

    /// Which run it is, for sentences.
    pub(super) fn what_run(&self, kind: RunKind) -> String {
        match kind {
            RunKind::Step => format!("of step {}", self.index.saturating_add(1)),
            RunKind::Background | RunKind::PrePromotion | RunKind::PostPromotion => {
                kind.what().to_owned()
            }
        }
    }
}
