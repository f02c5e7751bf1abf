//! What people write: approvals, words, stops, windows. In: their commands. Out: rows as `hub_store` has them. It must not ask
//! whether a word makes sense.

use hub_engine::observed::{Predecessor, Request};
use hub_engine::release::{Approval, ReleasePhase, Stage, WavePhase};
use hub_engine::verb::{Stop, Verb};
use hub_engine::window::FleetWindow;
use jiff::Timestamp;

use super::Store;
use crate::event::Ms;
use crate::world::stamp;

/// A stop, and when the last one of its row was lifted.
#[derive(Debug, Clone, Default)]
pub struct StopRow {
    /// Whose word; none: it was lifted.
    pub stop: Option<Stop>,
    /// When.
    pub lifted: Option<Timestamp>,
}

impl Store {
    /// A person approves the wave of a FleetRollout that asks for it.
    pub fn approve(&mut self, fleet: usize, person: &str, group: &str, now: Ms) -> bool {
        self.serial += 1;
        let id = self.serial;
        let open = |release: &&mut hub_engine::release::Release| !release.phase.ended();
        let Some(release) = self.fleets[fleet].releases.iter_mut().find(open) else {
            return false;
        };
        let asked = |wave: &hub_engine::release::Wave| match wave.phase {
            WavePhase::WaitingForApproval => Some((wave.number, Stage::Before)),
            WavePhase::WaitingToPass => Some((wave.number, Stage::After)),
            WavePhase::Pending
            | WavePhase::Running
            | WavePhase::Baking
            | WavePhase::Passed
            | WavePhase::Failed
            | WavePhase::Skipped => None,
        };
        let Some((number, stage)) = release.waves.iter().find_map(asked) else {
            return false;
        };
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
            at: stamp(now),
            voided: String::new(),
        });
        true
    }

    /// A person asks a FleetRollout for something; the number of the word.
    pub fn request(&mut self, fleet: usize, verb: Verb, release: Option<u64>) -> u64 {
        self.serial += 1;
        self.fleets[fleet].requests.push(Request {
            id: self.serial,
            person: "eve".into(),
            reason: "because".to_owned(),
            verb,
            release,
        });
        self.serial
    }

    /// What some FleetRollouts come after has a release in this phase.
    pub fn payments(&mut self, phase: ReleasePhase) {
        let id = hub_engine::ReleaseId {
            fleet_rollout: "payments".into(),
            number: 1,
        };
        let one = |name: &hub_engine::FleetRolloutName| Predecessor {
            name: name.clone(),
            newest: Some((id.clone(), phase)),
        };
        for tables in &mut self.fleets {
            tables.before = tables.fleet_rollout.after.iter().map(one).collect();
        }
        self.touch(None);
    }

    /// A stop of one FleetRollout or of all, or its end: a transaction that decides at the same time has to begin anew.
    pub fn stop(&mut self, of: Option<usize>, stop: Option<Stop>, now: Ms) {
        let lifted = stop.is_none().then(|| stamp(now));
        let row = self.stops.entry(of).or_default();
        // A new stop takes the row of the one before it, and with it when that was lifted.
        *row = StopRow { stop, lifted };
        for fleet in 0..self.fleets.len() {
            // A stop of the whole fleet before its own.
            let rows = [None, Some(fleet)].map(|of| self.stops.get(&of));
            let rows = rows.into_iter().flatten();
            let stopped = rows.clone().find_map(|row| row.stop.clone());
            self.fleets[fleet].went_on = rows.filter_map(|row| row.lifted).max();
            self.fleets[fleet].stopped = stopped;
        }
        self.touch(of);
    }

    /// The windows of the whole fleet, likewise.
    pub fn windows(&mut self, windows: Vec<FleetWindow>) {
        for tables in &mut self.fleets {
            tables.windows.clone_from(&windows);
        }
        self.touch(None);
    }

    /// Whatever decides about this FleetRollout, or about any, has to begin anew.
    pub(super) fn touch(&mut self, of: Option<usize>) {
        for (fleet, commits) in self.commits.iter_mut().enumerate() {
            *commits += u64::from(of.is_none_or(|of| of == fleet));
        }
    }
}
