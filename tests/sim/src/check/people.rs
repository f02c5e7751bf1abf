//! What persons said, and what must not be done against it (faults.md S1, S19; gate.md G24, G30). In: approvals as they were given,
//! words as the history has them. Out: the first decision that forgets one. It must not ask what the engine makes of them.

use std::collections::{BTreeMap, BTreeSet};

use hub_engine::release::{Cause, Release, ReleasePhase, Stage};
use hub_engine::verb::{Scope, Verb};
use hub_engine::{Action, ClusterName};
use hub_store::session::CONNECTED_SECONDS;

use super::ghost::Number;
use crate::event::{Draft, Ms};
use crate::world::{World, millis};

/// A person's agreement to a wave.
#[derive(Debug, Clone)]
pub(crate) struct Agreed {
    pub(crate) person: String,
    /// The images that they saw.
    pub(crate) images: Vec<String>,
    /// That it starts, or that it passes.
    pub(crate) stage: Stage,
    pub(crate) at: Ms,
}

/// What persons said of releases, and in which order releases came.
#[derive(Debug, Default)]
pub(super) struct People {
    /// Clusters that they passed over.
    passed_over: BTreeSet<(Number, ClusterName)>,
    /// Releases that go back while what had finished stays.
    stays: BTreeSet<Number>,
    /// Releases that may shorten what their documents allow.
    hurried: BTreeSet<Number>,
    /// Releases that did not wait, or wait no longer.
    pub(super) started: BTreeSet<Number>,
    /// By FleetRollout: releases that had started and were overtaken, one after the other.
    pub(super) overtaken: BTreeMap<usize, u32>,
}

impl People {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others are no word of a person and no beginning or end"
    )]
    pub(super) fn said(&mut self, fleet: usize, action: &Action) {
        match action {
            Action::Obey { release, verb, .. } => self.obeyed((fleet, *release), verb),
            Action::OpenRelease {
                release,
                cause,
                phase,
                ..
            } => {
                if matches!(cause, Cause::Person { expedite: true, .. }) {
                    self.hurried.insert((fleet, *release));
                }
                if *phase != ReleasePhase::Waiting {
                    self.started.insert((fleet, *release));
                }
            }
            Action::StartRelease { release } => {
                self.started.insert((fleet, *release));
            }
            Action::EndRelease { release, phase, .. } => self.ended((fleet, *release), *phase),
            _ => {}
        }
    }

    /// What had begun has ended: overtaken, or by itself.
    fn ended(&mut self, release: Number, phase: ReleasePhase) {
        if !self.started.remove(&release) {
            return;
        }
        let overtaken = self.overtaken.entry(release.0).or_default();
        *overtaken = if phase == ReleasePhase::Superseded {
            *overtaken + 1
        } else {
            0
        };
    }

    fn obeyed(&mut self, release: Number, verb: &Verb) {
        match verb {
            Verb::SkipTarget { cluster } => {
                self.passed_over.insert((release, cluster.clone()));
            }
            Verb::Retry { cluster } => {
                self.passed_over.remove(&(release, cluster.clone()));
            }
            Verb::Abort {
                scope: Some(Scope::Unfinished),
            } => {
                self.stays.insert(release);
            }
            Verb::Abort { .. } | Verb::Rollback => {
                self.stays.remove(&release);
            }
            Verb::Expedite => {
                self.hurried.insert(release);
            }
            Verb::Start { .. }
            | Verb::Pause
            | Verb::Resume
            | Verb::SkipWave { .. }
            | Verb::Promote { .. }
            | Verb::Ungovern { .. }
            | Verb::Govern { .. } => {}
        }
    }

    /// Whether what had finished stays in spite of the rollback.
    pub(super) fn stays(&self, release: Number) -> bool {
        self.stays.contains(&release)
    }
}

impl World {
    /// S1: enough persons have agreed when a wave starts, or passes, and none of their words was too old by then.
    pub(super) fn agreed(&mut self, draft: &Draft, number: u64, wave: u32, stage: Stage) {
        let release = self.store.fleets[draft.fleet].release(number);
        let Some(spec) = release.and_then(|release| release.approval_of(wave, stage)) else {
            return;
        };
        let decided = millis(draft.observed.now);
        let (required, expires) = (spec.required, spec.expires);
        let lasts =
            |at: Ms| expires.is_none_or(|expires| decided < at + Ms::from(expires.0) * 1_000);
        let said = self.ghost.approvals.get(&(draft.fleet, number, wave));
        let said = said.into_iter().flatten();
        let counts = said.filter(|one| one.stage == stage && lasts(one.at));
        let persons: BTreeSet<&str> = counts.map(|one| one.person.as_str()).collect();
        if u32::try_from(persons.len()).unwrap_or(u32::MAX) < required {
            let message = format!(
                "wave {wave} of #{number} goes on by the words of {persons:?}, {required} have to agree {stage:?}"
            );
            self.fail("S1", message);
        }
    }

    /// S7, S19: nothing starts in a cluster that nobody hears, nor in one that a person passed over.
    pub(super) fn may_be_permitted(&mut self, draft: &Draft, number: u64, cluster: &ClusterName) {
        let release = (draft.fleet, number);
        let heard = self.ghost.last_word.get(cluster).copied();
        let silent = heard.map_or(Ms::MAX, |heard| millis(draft.observed.now) - heard);
        if silent > Ms::from(CONNECTED_SECONDS) * 1_000 {
            let message = format!("{cluster} starts in #{number}, and was last heard at {heard:?}");
            return self.fail("S7", message);
        }
        let key = (release, cluster.clone());
        if self.ghost.people.passed_over.contains(&key) {
            let message =
                format!("{cluster} starts in #{number}, in which a person passed it over");
            self.fail("S19", message);
        }
    }

    /// G30: whether a person has hastened a release and this wave is not its first: one before it has shown the content, or will.
    pub(super) fn is_hurried(&self, fleet: usize, release: &Release, wave: u32) -> bool {
        let number = (fleet, release.id.number);
        let mut before = release.targets.iter().filter(|target| target.wave < wave);
        self.ghost.people.hurried.contains(&number)
            && before.any(|target| {
                let touched = (number, target.cluster.clone());
                target.state.before_permit() || self.ghost.touched.contains(&touched)
            })
    }

    /// Something that a cluster's agent said is committed.
    pub(crate) fn heard(&mut self, cluster: &ClusterName) {
        self.ghost.last_word.insert(cluster.clone(), self.now);
    }
}
