//! Verdicts come from measurements (S17). In: what servers have answered, runs that are over. Out: the first verdict that nothing
//! stands behind, and a run that does not end. It must not ask the engine how it counts.

use agent_api::AnalysisPhase;

use crate::agent::{Ended, goes_on};
use crate::event::{Ms, Place};
use crate::world::World;

/// A run of one metric is over so soon where servers answer: the question, and one more after an error.
const ENDS_WITHIN: Ms = 120_000;

impl World {
    /// A run asks its first question.
    pub(crate) fn run_begins(&mut self, place: Place, run: &str) {
        let key = (place, run.to_owned());
        let now = self.now;
        self.ghost.runs.entry(key).or_insert((now, false));
    }

    /// An answer was heard; `good`: it says that all is well.
    pub(crate) fn answer_heard(&mut self, place: Place, run: &str, good: bool) {
        let known = self.ghost.runs.get_mut(&(place, run.to_owned()));
        if let Some((_, heard)) = known {
            *heard |= good;
        }
    }

    /// A run is over: a good one has heard something good.
    pub(crate) fn run_ended(&mut self, place: Place, ended: &Ended) {
        let known = self.ghost.runs.get(&(place, ended.run.clone()));
        let heard = known.is_some_and(|(_, heard)| *heard);
        let good = ended.phase == AnalysisPhase::Successful;
        if good && !heard && !ended.stopped {
            let name = self.name_of(place);
            let message = format!("{} in {name} is good, and nothing said so", ended.run);
            return self.fail("S17", message);
        }
        if !good {
            self.ghost.doubted.insert((place, ended.hash.clone()));
        }
    }

    /// Whether some run about this content was not good, whatever the content is.
    pub(super) fn is_doubted(&self, place: Place, digest: &str) -> bool {
        let content = self.ghost.contents.get(digest);
        content.is_some_and(|one| self.ghost.doubted.contains(&(place, one.hash.clone())))
    }

    /// In the end no run goes on.
    pub(super) fn runs_are_over(&mut self) {
        if !self.measures.really {
            return;
        }
        // One whose clock was set back waits for the moment that it had written down, or for its agent's next look at everything.
        let exact = |agent: &usize| !self.ghost.set_back.contains(agent);
        for agent in (0..self.agents.len()).filter(exact).collect::<Vec<_>>() {
            for place in self.places(agent) {
                let mut runs = self.part(place).cluster.observed.analysis_runs.iter();
                let calm = self.config.chaos;
                let late = runs.find(|run| {
                    let name = run.metadata.name.clone().unwrap_or_default();
                    let known = self.ghost.runs.get(&(place, name));
                    let since = known.map_or(calm, |(since, _)| *since).max(calm);
                    goes_on(run) && self.now > since + ENDS_WITHIN
                });
                if let Some(run) = late {
                    let (name, run) = (self.name_of(place), run.metadata.name.clone());
                    return self.fail("S17", format!("{run:?} in {name} does not end"));
                }
            }
        }
    }
}
