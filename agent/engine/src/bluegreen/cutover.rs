//! Which version the Services select.
//!
//! In: the stage, what the Services select, the numbers. Out: the active Service's target, and the writes to both. It
//! must not scale.

use std::collections::BTreeMap;

use agent_api::names::ANNOTATION_SCALE_DOWN_DEADLINE;
use agent_api::{BlueGreenStrategy, PodHash, StatusTime};
use jiff::SignedDuration;

use super::{DEFAULT_DELAY, Stage};
use crate::pass::Pass;
use crate::reason::Reason;
use crate::sets::SetView;

impl Pass<'_> {
    /// The version that the active Service shall select; `None` leaves it alone.
    pub(super) fn active_target(
        &mut self,
        stage: Stage,
        strategy: &BlueGreenStrategy,
    ) -> Option<PodHash> {
        let selected = self.selected(strategy);
        let known = selected
            .as_ref()
            .filter(|hash| self.sets().any(|set| set.hash == **hash));
        let back = self.aborted() && !self.initial();
        if stage == Stage::CutsOver && !self.aborted() {
            return Some(self.new.hash.clone());
        }
        // Back to the stable version, at once; or what it selects is none of ours.
        let home = if self.at_stable() {
            self.new.clone()
        } else if let Some(stable) = self.stable.clone().filter(|_| back || known.is_none()) {
            stable
        } else {
            return known.cloned();
        };
        let before = match (&selected, known) {
            (_, Some(hash)) => self.available_of(hash),
            // Without a hash it selects the pods of all versions.
            (None, None) => self
                .sets()
                .map(|set| set.available)
                .fold(0_i32, i32::saturating_add),
            (Some(_), None) => 0,
        };
        // Never to fewer pods than users have now.
        if known == Some(&home.hash) || home.available >= before.min(self.replicas()) {
            return (self.creating.is_none() || !self.at_stable()).then_some(home.hash);
        }
        self.reasons.push(Reason::PodsPending {
            name: home.name,
            available: home.available,
            wanted: before.min(self.replicas()),
        });
        known.cloned()
    }

    fn available_of(&self, hash: &PodHash) -> i32 {
        self.sets()
            .find(|set| set.hash == *hash)
            .map_or(0, |set| set.available)
    }

    /// What the active Service leaves keeps its pods for a while, for nodes that have not heard of it yet. The stable
    /// version keeps them anyway, and an aborted one has a delay of its own.
    pub(super) fn leave(&mut self, strategy: &BlueGreenStrategy, target: Option<&PodHash>) {
        let selected = self.selected(strategy);
        if selected.as_ref() == target || target.is_none() {
            return;
        }
        let left = self
            .older
            .iter()
            .position(|set| Some(&set.hash) == selected.as_ref() && set.desired > 0);
        let Some(mut set) = left.and_then(|place| self.older.get(place).cloned()) else {
            return;
        };
        let seconds = strategy.scale_down_delay_seconds.unwrap_or(DEFAULT_DELAY);
        self.delay(&mut set, seconds);
        if let Some(place) = left.and_then(|place| self.older.get_mut(place)) {
            *place = set;
        }
    }

    /// From now on so many seconds are left to a version's pods.
    pub(super) fn delay(&mut self, set: &mut SetView, seconds: i32) {
        let length = SignedDuration::from_secs(i64::from(seconds.max(0)));
        let at = StatusTime::from(self.observed.now).saturating_add(length);
        set.scale_down_at = Some(at);
        let written = BTreeMap::from([(
            ANNOTATION_SCALE_DOWN_DEADLINE.to_owned(),
            Some(at.to_string()),
        )]);
        self.annotate_set(&set.name, written);
    }

    /// The preview Service always selects the newest version, the active one what was decided.
    pub(super) fn switch_services(&mut self, strategy: &BlueGreenStrategy, to: Option<&PodHash>) {
        let newest = self.new.hash.clone();
        if let Some(name) = strategy
            .preview_service
            .as_deref()
            .filter(|name| !name.is_empty())
        {
            // What the API server refuses has nothing to be previewed.
            if self.refused().is_none() && !self.has_no_steps() {
                self.switch_service(name, &newest);
                let state = self.status.blue_green.get_or_insert_default();
                state.preview_selector = Some(newest.to_string());
            }
        } else if let Some(state) = &mut self.status.blue_green {
            state.preview_selector = None;
        }
        let Some(name) = strategy.active_service.as_deref() else {
            return;
        };
        if let Some(to) = to {
            self.switch_service(name, to);
        }
        let state = self.status.blue_green.get_or_insert_default();
        state.active_selector = to.map(PodHash::to_string);
    }
}
