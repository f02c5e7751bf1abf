//! The analysis in the background of a canary: from its first step until the version is the stable one.
//!
//! In: the runs observed, the present step. Out: one run under a name that a restart repeats, an abort or a pause by its
//! verdict. It must not judge measurements.

use std::collections::BTreeMap;

use agent_api::StepAnalysis;

use super::Pass;
use super::runs::RunKind;
use super::verdict::Heard;
use crate::sets::ANNOTATION_BACKGROUND_ATTEMPT;

/// Whether the walk through the steps may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// Nothing is against it.
    Good,
    /// It has aborted the version, or waits for a person.
    Stops,
}

impl<'a> Pass<'a> {
    fn background(&self) -> Option<&'a StepAnalysis> {
        self.strategy.canary()?.background()
    }

    /// The run is wanted: a version is on its way, by steps, and far enough.
    fn in_background(&self) -> Option<&'a StepAnalysis> {
        let analysis = self.background()?;
        let walks =
            !self.at_stable() && !self.initial() && !self.aborted() && self.at_once.is_none();
        let begun = self.index >= analysis.starting_step.unwrap_or(0);
        (walks && begun).then_some(analysis)
    }

    /// Makes the run, follows it, and acts on its verdict.
    pub fn watch_background(&mut self) -> Background {
        let Some(analysis) = self.in_background() else {
            return Background::Good;
        };
        self.resume_run(RunKind::Background);
        match self.follow_run(RunKind::Background, analysis) {
            Heard::Good | Heard::Runs => Background::Good,
            Heard::Stops => Background::Stops,
        }
    }

    /// The next run in the background gets a name of its own.
    pub fn next_background(&mut self) {
        if self.background().is_none() {
            return;
        }
        let before = self.new.background_attempt;
        self.new.background_attempt = self.after_runs(before, RunKind::Background);
        let attempt = self.new.background_attempt.to_string();
        self.annotate_new(BTreeMap::from([(
            ANNOTATION_BACKGROUND_ATTEMPT.to_owned(),
            attempt,
        )]));
    }

    /// The run that may go on, if one may.
    pub fn background_run(&self) -> Option<String> {
        self.in_background()?;
        let canary = self.status.canary.as_ref()?;
        let known = canary.current_background_analysis_run_status.as_ref()?;
        Some(known.name.clone())
    }
}
