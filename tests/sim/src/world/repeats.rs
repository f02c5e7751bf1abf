//! An applier that brings what Git has once more, late, or after something newer, and commits that leave a Rollout as it is (S18);
//! configuration that kept content names and that somebody deletes (gate.md G23). In: what Git has. Out: the same again. It
//! must not know who looks at it.

use tests_golden::hub_random::Random;

use agent_api::digest::content_digest;

use super::World;
use super::begin::Config;
use crate::check::runs;
use crate::event::{Event, Ms, Place};

/// In so many of a hundred lives the applier repeats itself, and in so many configuration goes.
const REPEATS: usize = 25;
const CONFIG: usize = 25;
/// So many of a hundred commits leave a Rollout's content as it is, where any do.
const SAME: usize = 30;
/// So many of a hundred that an applier brings come again, and so many once more after the next.
const AGAIN: usize = 30;
const LATE: usize = 20;
/// It catches up within this.
const CATCHES_UP: usize = 6_000;
/// So many of a hundred faults take the configuration of some content with them, where any do.
const GOES: usize = 40;
/// So many of a hundred take any other content's.
const ANY: usize = 20;

/// What comes again, and what goes, in this life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeats {
    applier: bool,
    config: bool,
}

impl Repeats {
    /// Drawn aside, so that every other life stays what it was.
    pub(super) fn of(config: Config) -> Self {
        let aside = |salt| Random::new(config.seed).aside(salt);
        Self {
            applier: config.faults && aside(257).percent(REPEATS),
            config: config.faults && aside(263).percent(CONFIG),
        }
    }
}

impl World {
    /// A commit leaves the Rollout as it is: its version is the one before.
    pub(super) fn leaves_it(&mut self, part: usize) -> Option<String> {
        let mut aside = self.random.aside(269);
        if !self.repeats.applier || !aside.percent(SAME) {
            return None;
        }
        self.meets("SameAgain");
        Some(self.git[part].0.clone())
    }

    /// Something was brought: again, and what came before it once more.
    pub(super) fn git_comes_again(&mut self, place: Place, before: &(String, String)) {
        let mut aside = self.random.aside(271);
        if !self.repeats.applier || !self.chaos {
            return;
        }
        let soon = |aside: &mut Random| Ms::try_from(500 + aside.below(CATCHES_UP)).unwrap_or(500);
        let (version, revision) = self.git[place.part].clone();
        let event = Event::Applied {
            place,
            version,
            revision,
        };
        if aside.percent(AGAIN) {
            self.meets("AppliedAgain");
            let after = soon(&mut aside);
            self.put(after, event);
        } else if aside.percent(LATE) {
            let (version, revision) = before.clone();
            let after = soon(&mut aside);
            self.put(
                after,
                Event::AppliedLate {
                    place,
                    version,
                    revision,
                },
            );
            self.put(after + soon(&mut aside), event);
        }
    }

    /// What is older comes after what is newer.
    pub(super) fn applied_late(&mut self, place: Place, version: &str, revision: &str) {
        if self.part(place).gone || !self.chaos {
            return;
        }
        let own = self.version_in(place.agent, version);
        self.steps_brought(place);
        self.part_mut(place).applied(&own, revision);
        self.has(place);
        self.meets("AppliedLate");
        let name = self.name_of(place);
        self.tell(format!("{name} has {own} ({revision}) again, late"));
        self.changed(place);
    }

    /// Somebody deletes what older content names, unless it runs or Git has it.
    pub(super) fn config_goes(&mut self, agent: usize) {
        let mut aside = self.random.aside(277);
        if !self.repeats.config || !aside.percent(GOES) {
            return;
        }
        let part = aside.below(self.rollouts.len());
        let place = Place { agent, part };
        let own = self.part(place);
        let spec = own.cluster.observed.rollout.spec.template.as_ref();
        let spec = spec.map(|template| content_digest(template).to_string());
        let running = runs(own);
        // As a rule it is what the Rollout would go back to.
        let mut all = self.was_served(place);
        if all.is_empty() || aside.percent(ANY) {
            all = self.contents_of(place);
        }
        all.retain(|one| !running.contains(one) && Some(one) != spec.as_ref());
        if all.is_empty() {
            return;
        }
        let gone = all[aside.below(all.len())].clone();
        let name = self.name_of(place);
        self.tell(format!("what {gone} names in {name} is gone"));
        self.meets("ConfigGone");
        self.part_mut(place).config_gone.insert(gone);
        self.changed(place);
    }
}
