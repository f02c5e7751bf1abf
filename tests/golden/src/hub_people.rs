//! What people do beside the model fleet: approve, freeze, release something else first. In: a story's random numbers. Out:
//! the next observation. It must not know what the engine makes of it.

#![allow(
    clippy::expect_used,
    reason = "a model for tests: a panic in it is a failed test"
)]

use hub_engine::observed::Predecessor;
use hub_engine::release::{Approval, ReleasePhase, Stage, WavePhase};
use hub_engine::{FleetRolloutName, ReleaseId};
use jiff::SignedDuration;

use crate::hub_fleet::Fleet;
use crate::hub_words;

impl Fleet {
    /// Another FleetRollout, which this one may come after, has a release.
    pub(crate) fn payments(&mut self) -> String {
        let phase = self.random.pick(&[
            ReleasePhase::Progressing,
            ReleasePhase::Succeeded,
            ReleasePhase::RolledBack,
        ]);
        self.set_payments(Some(phase));
        format!("payments#1 is {}", phase.as_str())
    }

    pub(crate) fn set_payments(&mut self, phase: Option<ReleasePhase>) {
        let id = ReleaseId {
            fleet_rollout: "payments".into(),
            number: 1,
        };
        let after = &self.observed.fleet_rollout.after;
        let one = |name: &FleetRolloutName| Predecessor {
            name: name.clone(),
            newest: phase.map(|phase| (id.clone(), phase)),
        };
        self.observed.before = after.iter().map(one).collect();
    }

    /// Somebody freezes a part of the fleet for an hour.
    pub(crate) fn freeze(&mut self) -> String {
        let now = self.observed.now;
        let hour = SignedDuration::from_hours(1);
        let to = now.checked_add(hour).expect("a time");
        let wave = self.random.below(3);
        self.observed.windows = vec![hub_words::freeze(wave, now, to)];
        format!("clusters {wave} are frozen for an hour")
    }

    pub(crate) fn approve(&mut self) -> String {
        let person = self.random.pick(&["ada", "bob"]);
        let group = self.random.pick(&["sre", "sre", "dev"]);
        self.approve_as(person, group);
        format!("{person} of {group} approves")
    }

    pub(crate) fn approve_as(&mut self, person: &str, group: &str) {
        let now = self.observed.now;
        let id = self.rows + 1;
        let Some(release) = self
            .observed
            .releases
            .iter_mut()
            .find(|release| !release.phase.ended())
        else {
            return;
        };
        let Some(wave) = release.waves.iter().find(|wave| {
            matches!(
                wave.phase,
                WavePhase::WaitingForApproval | WavePhase::WaitingToPass
            )
        }) else {
            return;
        };
        let stage = if wave.phase == WavePhase::WaitingToPass {
            Stage::After
        } else {
            Stage::Before
        };
        let number = wave.number;
        self.rows = id;
        release.approvals.push(Approval {
            id,
            wave: number,
            stage,
            person: person.into(),
            groups: vec![group.to_owned()],
            comment: String::new(),
            plan_digest: release.plan_digest.clone(),
            revision: release.revision.clone(),
            images: release.images_of_wave(number),
            at: now,
            voided: String::new(),
        });
    }
}
