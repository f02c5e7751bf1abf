//! Waves on paper (gate.md G13). In: commits about what only observes, what its clusters run in the end. Out: the first thing that is held,
//! permitted or opened by it. It must not ask either engine.

use agent_api::digest::content_digest;
use hub_engine::Action;
use hub_engine::action::ChangeFate;

use super::runs;
use crate::event::Place;
use crate::world::World;

impl World {
    /// G13: nothing is opened and nobody is permitted anything; what would have been held is in the history.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others start nothing and are no word about a change"
    )]
    pub(super) fn on_paper(&mut self, fleet: usize, action: &Action) {
        if !self.observes(fleet) {
            return;
        }
        let wrong = match action {
            Action::OpenRelease { .. } | Action::StartWave { .. } | Action::GrantPermit { .. } => {
                true
            }
            Action::SettleChange { fate, .. } => match fate {
                ChangeFate::OnPaper { paper } => {
                    self.meets(if paper.holds() {
                        "HeldOnPaper"
                    } else {
                        "StartedOnPaper"
                    });
                    false
                }
                ChangeFate::NotSelected
                | ChangeFate::NotNewer
                | ChangeFate::FirstDeploy
                | ChangeFate::Withdrawn => false,
                ChangeFate::Joined { .. }
                | ChangeFate::Older { .. }
                | ChangeFate::Barred { .. } => true,
            },
            _ => false,
        };
        if wrong {
            let name = self.store.fleets[fleet].fleet_rollout.name.clone();
            self.fail("G13", format!("{name} only observes: {action}"));
        }
    }

    /// G13: in the end whatever only observes has kept nothing back: each cluster runs what Git has, unless its analysis finds that bad.
    pub(super) fn nothing_is_held(&mut self) {
        let fleets = 0..self.store.fleets.len();
        let observing: Vec<usize> = fleets.filter(|fleet| self.observes(*fleet)).collect();
        for fleet in observing {
            let part = self.part_of(fleet);
            let agents = 0..self.agents.len();
            let mut places = agents.map(|agent| Place { agent, part });
            let held = places.find(|place| self.is_held_on_paper(fleet, *place));
            if let Some(place) = held {
                let name = self.name_of(place);
                self.fail(
                    "G13",
                    format!("{name} does not run what Git has, and is only observed"),
                );
            }
        }
    }

    fn is_held_on_paper(&self, fleet: usize, place: Place) -> bool {
        let own = &self.agents[place.agent];
        let governs = self.ghost.governor(&(own.name.clone(), place.part)) == Some(fleet);
        let part = self.part(place);
        let template = part.cluster.observed.rollout.spec.template.as_ref();
        let Some(digest) = template.map(|template| content_digest(template).to_string()) else {
            return false;
        };
        // A person there, or an analysis, may have taken it back: that is the cluster's own business.
        let aborted = part.status().abort == Some(true) || self.is_doubted(place, &digest);
        let bad = aborted || self.ghost.is_bad(place, &digest, &self.bad);
        governs && !bad && !runs(part).contains(&digest)
    }
}
