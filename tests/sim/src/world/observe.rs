//! FleetRollouts that only observe (gate.md G13). In: which life it is. Out: a document whose waves are on paper, and the moment at which
//! a person lets it hold. It must not know what is held.

use hub_engine::FleetRollout;
use hub_engine::document::Enforcement;
use tests_golden::hub_random::Random;

use super::World;
use super::begin::Config;
use crate::event::{Event, Ms};

/// In so many of a hundred lives one FleetRollout begins like that, and in so many of these nobody ever ends it.
const LIVES: usize = 12;
const FOR_GOOD: usize = 40;
/// When a person ends it, and so soon it is tried again where something is under way.
const ENFORCED: (Ms, Ms) = (40_000, 160_000);
const AGAIN: Ms = 5_000;

/// One of these documents, where this is such a life.
pub(super) fn one_observes(wanted: &mut [FleetRollout], config: Config) {
    let mut aside = Random::new(config.seed).aside(203);
    let one = aside.below(wanted.len());
    if let Some(document) = wanted.get_mut(one).filter(|_| aside.percent(LIVES)) {
        document.enforcement = Enforcement::Observe;
    }
}

impl World {
    /// When whatever only observes is to hold.
    pub(super) fn enforced_later(&mut self) {
        let mut aside = Random::new(self.config.seed).aside(207);
        for fleet in 0..self.store.fleets.len() {
            let (least, most) = ENFORCED;
            let span = usize::try_from(most - least).unwrap_or(0);
            let after = least + Ms::try_from(aside.below(span)).unwrap_or(0);
            if self.observes(fleet) && !aside.percent(FOR_GOOD) {
                self.put(after, Event::Enforced(fleet));
            }
        }
    }

    /// Whether its waves are on paper.
    pub(crate) fn observes(&self, fleet: usize) -> bool {
        let document = &self.store.fleets[fleet].fleet_rollout;
        document.enforcement == Enforcement::Observe
    }

    /// As `apply` does it, with the same question first: whether it may turn.
    pub(super) fn enforced(&mut self, fleet: usize) {
        if !self.observes(fleet) {
            return;
        }
        if !self.store.enforce(fleet, Enforcement::Enforce, self.now) {
            return self.put(AGAIN, Event::Enforced(fleet));
        }
        let of = self.fleet_name(fleet);
        self.tell(format!("eve applies {of}, and it holds from now on"));
        self.meets("Enforced");
        self.hint();
    }
}
