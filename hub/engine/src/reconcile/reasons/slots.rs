//! What a release has in flight, counted once for all of its targets. In: the release. Out: what a target says that waits
//! for others. It must not ask about the cluster itself.

use std::collections::BTreeMap;

use crate::reason::Why;
use crate::reconcile::rollback::at_once;
use crate::release::{Release, Target, TargetState};

/// In flight, and there in all.
type Counts = (usize, usize);

/// Counts of a release.
pub(super) struct Slots {
    waves: BTreeMap<u32, Counts>,
    back: Counts,
}

impl Slots {
    pub(super) fn of(release: &Release) -> Self {
        let mut slots = Self {
            waves: BTreeMap::new(),
            back: (0, 0),
        };
        for target in &release.targets {
            let wave = slots.waves.entry(target.wave).or_default();
            wave.0 += usize::from(target.state.in_flight());
            wave.1 += 1;
            slots.back.0 += usize::from(target.state == TargetState::RollingBack);
            slots.back.1 += usize::from(target.touched());
        }
        slots
    }

    /// Its wave has begun, and others come first.
    pub(super) fn forward(&self, release: &Release, target: &Target) -> Option<Why> {
        let planned = release.plan.wave(target.wave)?;
        let (in_flight, all) = *self.waves.get(&target.wave)?;
        Some(Why::WaitingForSlot {
            in_flight: count(in_flight),
            most: count(planned.max_concurrent.at_least_one_of(all)),
        })
    }

    /// It is to go back, and others come first. None: nothing goes back.
    pub(super) fn back(&self, release: &Release) -> Option<Why> {
        let (going, touched) = self.back;
        let most = at_once(release)?.at_least_one_of(touched);
        Some(Why::RollbackQueued {
            in_flight: count(going),
            most: count(most),
        })
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
