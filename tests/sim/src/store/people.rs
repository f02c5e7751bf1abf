//! What people write: approvals, words, stops, windows. In: their commands. Out: rows as `hub_store` has them. It must not ask
//! whether a word makes sense.

use hub_engine::document::Enforcement;
use hub_engine::observed::{Predecessor, Request};
use hub_engine::paper;
use hub_engine::release::{Approval, ReleasePhase, Shown, Stage, WavePhase};
use hub_engine::verb::{Stop, Verb};
use hub_engine::window::FleetWindow;
use jiff::Timestamp;

use super::Store;
use crate::event::Ms;
use crate::world::stamp;

/// The FleetRollout that some come after and nobody simulates.
const PAYMENTS: &str = "payments";

/// A stop, and when the last one of its row was lifted.
#[derive(Debug, Clone, Default)]
pub struct StopRow {
    /// Whose word; none: it was lifted.
    pub stop: Option<Stop>,
    /// When.
    pub lifted: Option<Timestamp>,
}

/// Who approves, by the certificate, and when.
#[derive(Debug, Clone)]
pub struct By<'a> {
    /// The name.
    pub person: &'a str,
    /// The group.
    pub group: &'a str,
    /// The database's time.
    pub at: Ms,
    /// What they saw of the wave; none: their client does not say.
    pub shown: Option<Shown>,
}

/// Whether a person saw what an approval would cover now; an old client shows the images that opened the release.
fn seen(opened: &[String], now: &Shown, shown: Option<&Shown>) -> bool {
    let all = |seen: &[String]| now.images.iter().all(|image| seen.contains(image));
    match shown {
        Some(shown) => {
            (shown.stage, &shown.revision) == (now.stage, &now.revision) && all(&shown.images)
        }
        None => now.stage == Stage::Before && all(opened),
    }
}

impl Store {
    /// As `approval_add`: a person approves a wave of a release, or the one that waits. False: it is refused.
    pub fn approve(&mut self, fleet: usize, number: u64, asked: Option<u32>, by: By<'_>) -> bool {
        let (person, at) = (by.person, by.at);
        let known = self.approvals(fleet, number);
        let taken = self.approves(fleet, number, asked, by);
        if !taken {
            self.refuse("Approve", person, at);
        } else if self.approvals(fleet, number) > known {
            self.approved(fleet, number, at);
        }
        taken
    }

    /// How many approvals a release has.
    #[must_use]
    pub fn approvals(&self, fleet: usize, number: u64) -> usize {
        let release = self.fleets[fleet].release(number);
        release.map_or(0, |release| release.approvals.len())
    }

    fn approves(&mut self, fleet: usize, number: u64, asked: Option<u32>, by: By<'_>) -> bool {
        let mut releases = self.fleets[fleet].releases.iter_mut();
        let Some(release) = releases.find(|one| one.id.number == number) else {
            return false;
        };
        let mut waves = release.waves.iter();
        let found = match asked {
            Some(number) => waves.find(|wave| wave.number == number),
            None => waves.find(|wave| {
                let waits = [WavePhase::WaitingForApproval, WavePhase::WaitingToPass];
                waits.contains(&wave.phase)
            }),
        };
        let Some((phase, now)) = found.map(|wave| (wave.phase, release.shown(wave))) else {
            return false;
        };
        let wave = found.map_or(0, |wave| wave.number);
        let stage = now.stage;
        let about = by.shown.as_ref().map_or(stage, |shown| shown.stage);
        let said = release
            .approvals_that_count(wave, about)
            .into_iter()
            .any(|one| {
                let whole = now.images.iter().all(|image| one.images.contains(image));
                one.person.as_str() == by.person && whole
            });
        if said {
            return true;
        }
        let Some(spec) = release.approval_of(wave, stage) else {
            return false;
        };
        let seen = seen(&release.images, &now, by.shown.as_ref());
        let own = spec.exclude_author
            && release
                .author()
                .is_some_and(|author| author.as_str() == by.person);
        let when = match phase {
            WavePhase::Pending
            | WavePhase::WaitingForApproval
            | WavePhase::Baking
            | WavePhase::WaitingToPass => true,
            WavePhase::Running | WavePhase::Passed | WavePhase::Failed | WavePhase::Skipped => {
                false
            }
        };
        let may = spec.groups.iter().any(|group| group == by.group);
        if release.phase.ended() || own || !when || !may || !seen {
            return false;
        }
        self.serial += 1;
        release.approvals.push(Approval {
            id: self.serial,
            wave,
            stage,
            person: by.person.into(),
            groups: vec![by.group.to_owned()],
            comment: String::new(),
            plan_digest: release.plan_digest.clone(),
            revision: release.revision.clone(),
            images: release.images_of_wave(wave),
            at: stamp(by.at),
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

    /// What some FleetRollouts come after, and what is no part of this world, has a release in this phase.
    pub fn payments(&mut self, phase: ReleasePhase) {
        let id = hub_engine::ReleaseId {
            fleet_rollout: PAYMENTS.into(),
            number: 1,
        };
        let one = |name: &hub_engine::FleetRolloutName| Predecessor {
            name: name.clone(),
            newest: Some((id.clone(), phase)),
        };
        for tables in &mut self.fleets {
            let after = tables.fleet_rollout.after.iter();
            let of_it = after.filter(|name| name.as_str() == PAYMENTS);
            tables.before = of_it.map(one).collect();
        }
        self.touch(None);
    }

    /// A stop of one FleetRollout or of all, or its end: a transaction that decides at the same time has to begin anew.
    pub fn stop(&mut self, of: Option<usize>, stop: Option<Stop>, now: Ms) {
        let lifted = stop.is_none().then(|| stamp(now));
        let kind = if stop.is_some() {
            "FleetStopped"
        } else {
            "StopLifted"
        };
        self.noted(kind, "eve", now);
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

    /// As `apply` turns a document to another enforcement. False: it may not turn now.
    pub fn enforce(&mut self, fleet: usize, to: Enforcement, now: Ms) -> bool {
        let observed = self.observe(fleet, now);
        let may = observed.is_ok_and(|observed| paper::turn(&observed, to).is_none());
        if may {
            self.fleets[fleet].fleet_rollout.enforcement = to;
            self.touch(Some(fleet));
        }
        may
    }

    /// The windows of the whole fleet, likewise.
    pub fn windows(&mut self, windows: Vec<FleetWindow>) {
        for tables in &mut self.fleets {
            tables.windows.clone_from(&windows);
        }
        self.touch(None);
    }

    /// Whoever declared windows takes them away: documents without any.
    pub fn always_open(&mut self) {
        for tables in &mut self.fleets {
            tables.fleet_rollout.calendar.windows.clear();
        }
        for fleet in 0..self.fleets.len() {
            self.applied(fleet, self.fleets[fleet].now);
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
