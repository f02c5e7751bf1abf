//! What a person's word does to the tables. In: an observation and an obeyed word. Out: the observation as the next snapshot
//! would show it. It must not choose: whether the word makes sense was decided before.

use crate::action::Action;
use crate::name::Digest;
use crate::observed::Observed;
use crate::release::{Release, ReleasePhase, TargetState, WavePhase};
use crate::verb::{Back, By, Scope, Verb};

impl Observed {
    pub(super) fn obey(&mut self, action: &Action) {
        let Action::Obey {
            request,
            release,
            verb,
            by,
        } = action
        else {
            return;
        };
        self.requests.retain(|other| other.id != *request);
        let number = *release;
        match verb {
            Verb::Start { .. }
            | Verb::SkipTarget { .. }
            | Verb::Ungovern { .. }
            | Verb::Govern { .. } => {}
            Verb::Pause => {
                let paused = Some(by.clone());
                self.change(number, |release| release.word.paused = paused);
            }
            Verb::Expedite => {
                let expedited = Some(by.clone());
                self.change(number, |release| release.word.expedited = expedited);
            }
            Verb::Resume => self.change(number, |release| release.word.paused = None),
            // One that was aborted while it waited has ended already.
            Verb::Abort { scope } => {
                let open = self
                    .release(number)
                    .is_some_and(|release| !release.phase.ended());
                if open {
                    self.go_back(number, scope.unwrap_or(Scope::Touched), by);
                }
            }
            Verb::Rollback => {
                self.unpass(number);
                self.go_back(number, Scope::Touched, by);
            }
            Verb::Retry { cluster } => {
                let wave = self
                    .release(number)
                    .and_then(|release| release.target(cluster))
                    .map(|target| target.wave);
                if let Some(wave) = wave {
                    self.reopen_wave(number, wave);
                }
            }
            Verb::SkipWave { wave } => {
                let now = self.now;
                let verdict = passed_over(by);
                self.change(number, |release| {
                    for wave in release.waves.iter_mut().filter(|other| other.name == *wave) {
                        wave.phase = WavePhase::Skipped;
                        wave.ended_at = Some(now);
                        wave.verdict.clone_from(&verdict);
                    }
                });
            }
            Verb::Promote { wave } => self.change(number, |release| {
                for own in &mut release.waves {
                    own.promoted = own.promoted || Some(&own.name) == wave.as_ref();
                }
            }),
        }
    }

    fn go_back(&mut self, number: u64, scope: Scope, by: &By) {
        self.change(number, |release| {
            release.word.paused = None;
            release.verdict = verdict(by, release.phase.ended());
            release.phase = ReleasePhase::RollingBack;
            release.ended_at = None;
            release.word.back = Some(Back {
                scope,
                by: by.clone(),
            });
        });
    }

    /// A wave with a target that starts again runs again, and with it a release that had halted.
    pub(super) fn reopen_wave(&mut self, number: u64, wave: u32) {
        self.change(number, |release| {
            if release.phase == ReleasePhase::Halted {
                release.phase = ReleasePhase::Progressing;
            }
            for wave in release
                .waves
                .iter_mut()
                .filter(|other| other.number == wave)
            {
                wave.phase = WavePhase::Running;
                wave.bake_until = None;
                // What a person had seen enough of is not what it bakes next.
                wave.promoted = false;
                wave.ended_at = None;
                wave.verdict.clear();
            }
        });
    }

    /// What a release served is no passed content any more, unless another one that has passed served it, too; of one that is
    /// known by its outline only, what it bound has to do.
    fn unpass(&mut self, number: u64) {
        let served = self.release(number).map(served_in).unwrap_or_default();
        let kept: Vec<Digest> = self
            .past
            .iter()
            .filter(|past| past.number != number && past.phase == ReleasePhase::Succeeded)
            .flat_map(|past| match self.release(past.number) {
                Some(release) => served_in(release),
                None => past.digests.clone(),
            })
            .collect();
        self.passed
            .retain(|digest| !served.contains(digest) || kept.contains(digest));
    }
}

fn served_in(release: &Release) -> Vec<Digest> {
    release
        .targets
        .iter()
        .filter(|target| target.state == TargetState::Succeeded)
        .filter_map(|target| target.content.as_ref())
        .map(|content| content.digest.clone())
        .collect()
}

/// What a passed-over wave or target shows.
pub(crate) fn passed_over(by: &By) -> String {
    format!("{SKIPPED_BY}{}: {}", by.person, by.reason)
}

/// What stands in front of the message of a target that a person passed over.
pub(crate) const SKIPPED_BY: &str = "skipped by ";

/// One sentence for the release and for every cluster that goes back.
fn verdict(by: &By, ended: bool) -> String {
    let words = if ended { "rolled back" } else { "aborted" };
    format!("{words} by {}: {}", by.person, by.reason)
}
