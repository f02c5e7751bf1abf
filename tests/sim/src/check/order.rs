//! FleetRollouts that come after others, and what clusters bring that no other one does (design.md section 5 `after`, gate.md
//! G4, G25). In: commits, contents that Git brought, what persons saw. Out: the first thing that is wrong. It must not ask the
//! engine: what it compares with is what Git, persons and commits said.

use hub_engine::ClusterName;
use hub_engine::release::{ReleasePhase, Stage};

use super::Ghost;
use crate::event::{Draft, Ms, Place};
use crate::world::{World, millis};

/// Whatever comes after a release waits no longer.
const PASSED: [ReleasePhase; 2] = [ReleasePhase::Succeeded, ReleasePhase::Withdrawn];

impl Ghost {
    /// Since when the release that nobody simulates has not passed.
    fn payments_behind(&self) -> Option<Ms> {
        let (phase, since) = self.payments?;
        (!PASSED.contains(&phase)).then_some(since)
    }
}

impl World {
    /// Since when the newest release of each FleetRollout has not passed, by the commits.
    pub(crate) fn order_noted(&mut self) {
        for fleet in 0..self.store.fleets.len() {
            let phase = self.store.newest(fleet).map(|release| release.phase);
            if phase.is_some_and(|phase| !PASSED.contains(&phase)) {
                self.ghost.behind.entry(fleet).or_insert(self.now);
            } else {
                self.ghost.behind.remove(&fleet);
            }
        }
    }

    /// A wave starts only while the newest release of whatever the FleetRollout comes after has passed: one that opens when the
    /// decision is made already is the next wave's concern.
    pub(super) fn in_order(&mut self, draft: &Draft, wave: u32) {
        let tables = &self.store.fleets[draft.fleet];
        let decided = millis(draft.observed.now);
        let mut others = tables.fleet_rollout.after.iter();
        let waited = others.find(|name| {
            let since = match self.store.named(name) {
                Some(other) => self.ghost.behind.get(&other).copied(),
                None => self.ghost.payments_behind(),
            };
            since.is_some_and(|since| since < decided)
        });
        if let Some(other) = waited {
            let own = &tables.fleet_rollout.name;
            let message = format!("wave {wave} of {own} starts, and {other} has not passed");
            self.fail("after", message);
        }
    }

    /// Git, or whoever made the Rollout, has given it what it has now.
    pub(crate) fn has(&mut self, place: Place) {
        let rollout = &self.part(place).cluster.observed.rollout;
        if let Some(template) = rollout.spec.template.clone() {
            let digest = agent_api::digest::content_digest(&template).to_string();
            self.part_mut(place).config_gone.remove(&digest);
            self.ghost.given(place, &template);
        }
        self.revision_said(place);
        self.content_written(place);
        self.strategy_said(place);
    }

    /// G4, G25: what is permitted is what this cluster was given, and where its wave needs approvals, enough persons saw the
    /// images that it has.
    pub(super) fn its_own(
        &mut self,
        fleet: usize,
        number: u64,
        cluster: &ClusterName,
        digest: &str,
    ) {
        let part = self.part_of(fleet);
        let agent = self.agents.iter().position(|own| &own.name == cluster);
        let had = agent.and_then(|agent| self.ghost.had.get(&Place { agent, part }));
        if !had.is_some_and(|all| all.contains(digest)) {
            let message = format!("{cluster} is permitted {digest}, which it was never given");
            return self.fail("G4", message);
        }
        let release = self.store.fleets[fleet].release(number);
        let target = release.and_then(|release| Some((release, release.target(cluster)?)));
        let Some((release, target)) = target else {
            return;
        };
        let Some(spec) = release.approval_of(target.wave, Stage::Before) else {
            return;
        };
        let content = self.ghost.contents.get(digest);
        let others = content.is_some_and(|content| content.images != release.images);
        let images = content.map_or(&[][..], |content| content.images.as_slice());
        let said = self.ghost.approvals.get(&(fleet, number, target.wave));
        let before = said.into_iter().flatten();
        let before = before.filter(|one| one.stage == Stage::Before);
        let saw = before.filter(|one| {
            let mut all = images.iter();
            all.all(|image| one.images.contains(image))
        });
        let mut persons: Vec<&str> = saw.map(|one| one.person.as_str()).collect();
        persons.sort_unstable();
        persons.dedup();
        if u32::try_from(persons.len()).unwrap_or(u32::MAX) < spec.required {
            let message = format!(
                "{cluster} starts {images:?} in #{number}, which {persons:?} of {} have seen",
                spec.required
            );
            return self.fail("G25", message);
        }
        if others {
            self.meets("OtherImagesApproved");
        }
    }
}
