//! Going back to a version that was served not long ago.
//!
//! In: the ages of the ReplicaSets, the Rollout's window. Out: whether the steps are skipped. It must not scale.

use super::Pass;
use crate::gate::decision::Mode;
use crate::plan::EventKind;
use crate::reason::Reason;
use crate::sets::SetView;

/// ReplicaSets made after one and before the other; `None` when the first is not the older of the two.
pub fn between(older: &SetView, newer: &SetView, others: &[&SetView]) -> Option<usize> {
    let (from, to) = (older.created?, newer.created?);
    let inside = |set: &&&SetView| set.created.is_some_and(|made| from < made && made < to);
    (from < to).then(|| others.iter().filter(inside).count())
}

impl Pass<'_> {
    /// The wanted version is older than the stable one.
    pub fn goes_back(&self, stable: &SetView) -> bool {
        self.creating.is_none() && between(&self.new, stable, &[]).is_some()
    }

    /// The wanted version is older than the stable one, and fewer others than the window allows lie between them.
    pub fn within_rollback_window(&self) -> bool {
        let window = self.observed.rollout.spec.rollback_window.as_ref();
        let revisions = window.and_then(|window| window.revisions).unwrap_or(0);
        let (Some(stable), true) = (&self.stable, self.creating.is_none()) else {
            return false;
        };
        let others: Vec<&SetView> = self.older.iter().collect();
        between(&self.new, stable, &others)
            .and_then(|count| i32::try_from(count).ok())
            .is_some_and(|count| count < revisions)
    }

    /// Takes the way without steps, if the window allows it. A permit that ends at a step, or that asks for the canary
    /// backwards, outweighs it: the steps are then what the fleet has allowed.
    pub fn take_rollback_window(&mut self) {
        let paused = self.observed.rollout.spec.paused == Some(true);
        let backwards = matches!(
            self.decision.mode,
            Mode::Rollback {
                steps_backwards: true,
                ..
            }
        );
        let bounded = self.decision.max_step.is_some() || backwards;
        if self.at_once.is_some() || paused || bounded || !self.within_rollback_window() {
            return;
        }
        if self.index < self.step_count() {
            let message = format!(
                "revision {} is within the rollback window: its steps are skipped",
                self.new.revision
            );
            self.event(EventKind::Normal, "SkipSteps", message, "");
        }
        self.at_once = Some(Reason::RollbackWindow);
    }
}
