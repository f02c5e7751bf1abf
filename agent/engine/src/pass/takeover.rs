//! A version whose analyses another controller began: how often it did so.
//!
//! In: names of runs, in the status and among those observed; a run that is begun anew has `.1`, `.2`… at its end with either
//! controller. Out: the attempt that our names go on from, so that nothing is decided by a run of an earlier try. It must
//! not look at steps.

use std::collections::BTreeMap;

use agent_api::{AnalysisPhase, AnalysisRun};

use super::Pass;
use super::runs::RunKind;
use crate::sets::{ANNOTATION_ATTEMPT, ANNOTATION_BACKGROUND_ATTEMPT};

/// Names with an attempt of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Of steps, before and after the switch.
    Steps,
    /// In the background.
    Background,
}

impl Line {
    fn of(kind: RunKind) -> Self {
        match kind {
            RunKind::Step | RunKind::PrePromotion | RunKind::PostPromotion => Self::Steps,
            RunKind::Background => Self::Background,
        }
    }
}

impl Pass<'_> {
    /// Goes on from the runs of another controller, and gives the annotations that remember it. In a version that is just
    /// taken over the runs tell that the status does not name, too: what went wrong in one of those was an earlier try.
    pub(super) fn go_on_from_runs(&mut self, takes_over: bool) -> BTreeMap<String, String> {
        let known = |line| match self.named(line) {
            None if takes_over => self.unnamed(line),
            named => named,
        };
        let (steps, background) = (known(Line::Steps), known(Line::Background));
        let mut notes = BTreeMap::new();
        if let Some(attempt) = steps.filter(|attempt| *attempt > self.new.attempt) {
            self.new.attempt = attempt;
            notes.insert(ANNOTATION_ATTEMPT.to_owned(), attempt.to_string());
        }
        if let Some(attempt) = background.filter(|attempt| *attempt > self.new.background_attempt) {
            self.new.background_attempt = attempt;
            notes.insert(
                ANNOTATION_BACKGROUND_ATTEMPT.to_owned(),
                attempt.to_string(),
            );
        }
        notes
    }

    /// The attempt that is next after every one that has a run.
    pub(super) fn after_runs(&self, attempt: u32, kind: RunKind) -> u32 {
        let line = Line::of(kind);
        let runs = self.observed.analysis_runs.iter().filter_map(run_name);
        let used = runs.filter_map(|name| self.attempt_in(name));
        let used = used
            .filter(|(of, _)| *of == line)
            .map(|(_, attempt)| attempt);
        used.fold(attempt, u32::max).saturating_add(1)
    }

    /// The attempt of the run that the status names; of several the last.
    fn named(&self, line: Line) -> Option<u32> {
        const ALL: [RunKind; 4] = [
            RunKind::Step,
            RunKind::Background,
            RunKind::PrePromotion,
            RunKind::PostPromotion,
        ];
        let known = ALL.into_iter().filter_map(|kind| kind.known(&self.before));
        let attempts = known.filter_map(|run| self.attempt_in(&run.name));
        let of_line = attempts.filter(|(of, _)| *of == line);
        of_line.map(|(_, attempt)| attempt).max()
    }

    /// The attempt that no run has gone wrong in.
    fn unnamed(&self, line: Line) -> Option<u32> {
        let runs = self.observed.analysis_runs.iter();
        let attempts = runs.filter_map(|run| {
            let (of, attempt) = self.attempt_in(run_name(run)?)?;
            let over = u32::from(went_wrong(run));
            (of == line).then(|| attempt.saturating_add(over))
        });
        attempts.max()
    }

    /// What a name says, if it is one of the present version's runs.
    fn attempt_in(&self, name: &str) -> Option<(Line, u32)> {
        let base = format!("{}-{}-{}", self.name(), self.new.hash, self.new.revision);
        let rest = name.strip_prefix(&base)?;
        let (place, attempt) = match rest.rsplit_once('.') {
            Some((place, attempt)) => (place, attempt.parse().ok()?),
            None => (rest, 0),
        };
        match place.strip_prefix('-') {
            None if place.is_empty() => Some((Line::Background, attempt)),
            Some("pre" | "post") => Some((Line::Steps, attempt)),
            Some(step) if step.parse::<u32>().is_ok() => Some((Line::Steps, attempt)),
            Some(_) | None => None,
        }
    }
}

fn run_name(run: &AnalysisRun) -> Option<&str> {
    run.metadata.name.as_deref()
}

fn went_wrong(run: &AnalysisRun) -> bool {
    let phase = run.status.as_ref().and_then(|status| status.phase);
    phase.is_some_and(|phase| phase.is_completed() && phase != AnalysisPhase::Successful)
}
