//! Persons of the model fleet: what they say about releases, and when they stop everything. In: a fleet. Out: requests and
//! stops as the database would show them, sensible or not. It must not know which of them will be refused.

use hub_engine::observed::{Observed, Request};
use hub_engine::release::{Release, ReleasePhase, TargetState};
use hub_engine::verb::{By, Scope, Stop, Verb};

use crate::hub_fleet::Fleet;

impl Fleet {
    /// Somebody says something about a release that was ever seen.
    pub(crate) fn say(&mut self) -> String {
        let newest = self.observed.newest_number();
        if newest == 0 {
            return "nothing".to_owned();
        }
        // Mostly the newest one, sometimes an older one, rarely one that never was.
        let back = u64::try_from(self.random.pick(&[0, 0, 0, 0, 1, 2])).unwrap_or(0);
        let number = if self.random.percent(3) {
            newest + 1
        } else {
            newest.saturating_sub(back).max(1)
        };
        self.load(number);
        let verb = self.verb(number);
        let told = format!("eve says {verb:?} about #{number}");
        self.request(verb, Some(number));
        told
    }

    fn verb(&mut self, number: u64) -> Verb {
        let release = self.observed.release(number).cloned();
        let cluster = self.some_cluster(release.as_ref());
        let wave = release
            .as_ref()
            .map_or(0, |release| self.random.below(release.waves.len()));
        let wave = release
            .and_then(|release| release.waves.get(wave).map(|wave| wave.name.clone()))
            .unwrap_or_default();
        match self.random.below(12) {
            0 => Verb::Pause,
            1 => Verb::Resume,
            2 => Verb::Abort { scope: None },
            3 => Verb::Abort {
                scope: Some(Scope::Unfinished),
            },
            4 => Verb::Abort {
                scope: Some(Scope::Touched),
            },
            5..=6 => Verb::Rollback,
            7..=8 => Verb::Retry { cluster },
            9 => Verb::SkipTarget { cluster },
            10 => Verb::SkipWave { wave },
            _ if self.random.aside(4).percent(30) => Verb::Expedite,
            _ => Verb::Promote {
                wave: self.random.percent(50).then_some(wave),
            },
        }
    }

    /// One that failed, if there is one: people look before they speak.
    fn some_cluster(&mut self, release: Option<&Release>) -> hub_engine::ClusterName {
        let failed = release
            .into_iter()
            .flat_map(|release| &release.targets)
            .find(|target| target.state == TargetState::Failed)
            .map(|target| target.cluster.clone());
        match failed {
            Some(failed) if self.random.percent(60) => failed,
            Some(_) | None => self.any_cluster(),
        }
    }

    /// A stop, or its end.
    pub(crate) fn stop_or_go(&mut self) -> String {
        if self.observed.stopped.take().is_some() {
            self.observed.went_on = Some(self.observed.now);
            return "the stop is lifted".to_owned();
        }
        let by = By {
            person: "eve".into(),
            reason: "alarm".to_owned(),
            at: self.observed.now,
        };
        let all = self.random.percent(50);
        self.observed.stopped = Some(Stop { all, by });
        "everything is stopped".to_owned()
    }

    /// Nobody keeps anything from going on any more.
    pub(crate) fn let_go(&mut self) {
        if self.observed.stopped.take().is_some() {
            self.observed.went_on = Some(self.observed.now);
        }
        let paused: Vec<u64> = self
            .observed
            .releases
            .iter()
            .filter(|release| release.word.paused.is_some() && !release.phase.ended())
            .map(|release| release.id.number)
            .collect();
        for number in paused {
            self.request(Verb::Resume, Some(number));
        }
        for (number, wave) in over_and_empty(&self.observed) {
            self.request(Verb::SkipWave { wave }, Some(number));
        }
    }
}

/// Waves that came to their end without anybody in them: nobody but a person passes over them.
#[must_use]
pub fn over_and_empty(observed: &Observed) -> Vec<(u64, String)> {
    let over = |release: &Release, wave: u32| {
        release.targets_of(wave).all(|target| {
            matches!(
                target.state,
                TargetState::Skipped | TargetState::Failed | TargetState::Removed
            )
        })
    };
    let open = observed.releases.iter();
    let at = open.filter_map(|release| {
        let wave = release.waves.iter().find(|wave| !wave.phase.behind())?;
        let going = release.phase == ReleasePhase::Progressing;
        (going && over(release, wave.number)).then(|| (release.id.number, wave.name.clone()))
    });
    at.collect()
}

impl Fleet {
    pub(crate) fn request(&mut self, verb: Verb, release: Option<u64>) {
        let id = self.next_row();
        self.observed.requests.push(Request {
            id,
            person: "eve".into(),
            reason: "because".to_owned(),
            verb,
            release,
        });
    }
}
