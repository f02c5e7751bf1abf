//! Persons of model fleets: what they say about releases, when they stop everything, what they freeze. In: random numbers, a
//! release. Out: words, stops and freezes as the database would show them, sensible or not. It must not know which of them
//! will be refused.

use std::collections::BTreeMap;

use hub_engine::ClusterName;
use hub_engine::document::Selector;
use hub_engine::observed::{Observed, Request};
use hub_engine::release::{Release, ReleasePhase, TargetState};
use hub_engine::verb::{By, Scope, Stop, Verb};
use hub_engine::window::{Calendar, FleetWindow, Freeze};
use jiff::Timestamp;

use crate::hub_fleet::Fleet;
use crate::hub_random::{LABEL, Random};

impl Fleet {
    /// Somebody says something about a release that was ever seen.
    pub(crate) fn say(&mut self) -> String {
        let newest = self.observed.newest_number();
        if newest == 0 {
            return "nothing".to_owned();
        }
        let number = number(&mut self.random, newest);
        self.load(number);
        let clusters = self.observed.clusters.iter();
        let clusters: Vec<_> = clusters.map(|own| own.name.clone()).collect();
        let release = self.observed.release(number);
        let gives_up = self.random.aside(5).percent(30);
        let verb = match waited_for(release).filter(|_| gives_up) {
            Some(cluster) => Verb::SkipTarget { cluster },
            None => verb(&mut self.random, release, &clusters),
        };
        let told = format!("eve says {verb:?} about #{number}");
        self.request(verb, Some(number));
        told
    }

    /// A stop, or its end.
    pub(crate) fn stop_or_go(&mut self) -> String {
        if self.observed.stopped.take().is_some() {
            self.observed.went_on = Some(self.observed.now);
            return "the stop is lifted".to_owned();
        }
        self.observed.stopped = Some(stop(&mut self.random, self.observed.now));
        "everything is stopped".to_owned()
    }

    /// Nobody keeps anything from going on any more.
    pub(crate) fn let_go(&mut self) {
        if self.observed.stopped.take().is_some() {
            self.observed.went_on = Some(self.observed.now);
        }
        for number in paused(&self.observed.releases) {
            self.request(Verb::Resume, Some(number));
        }
        for (number, wave) in over_and_empty(&self.observed) {
            self.request(Verb::SkipWave { wave }, Some(number));
        }
    }
}

/// The release that somebody means: mostly the newest one, sometimes an older one, rarely one that never was.
pub fn number(random: &mut Random, newest: u64) -> u64 {
    let back = u64::try_from(random.pick(&[0, 0, 0, 0, 1, 2])).unwrap_or(0);
    if random.percent(3) {
        newest + 1
    } else {
        newest.saturating_sub(back).max(1)
    }
}

/// What somebody says about a release, sensible or not.
pub fn verb(random: &mut Random, release: Option<&Release>, clusters: &[ClusterName]) -> Verb {
    let cluster = some_cluster(random, release, clusters);
    let wave = release.map_or(0, |release| random.below(release.waves.len()));
    let wave = release
        .and_then(|release| release.waves.get(wave).map(|wave| wave.name.clone()))
        .unwrap_or_default();
    match random.below(12) {
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
        _ if random.aside(4).percent(30) => Verb::Expedite,
        _ => Verb::Promote {
            wave: random.percent(50).then_some(wave),
        },
    }
}

/// A cluster that has not got the content yet.
fn waited_for(release: Option<&Release>) -> Option<ClusterName> {
    let mut targets = release?.targets.iter();
    let waits = targets.find(|target| target.state == TargetState::WaitingForContent)?;
    Some(waits.cluster.clone())
}

/// One that failed, if there is one: people look before they speak.
fn some_cluster(
    random: &mut Random,
    release: Option<&Release>,
    clusters: &[ClusterName],
) -> ClusterName {
    let failed = release
        .into_iter()
        .flat_map(|release| &release.targets)
        .find(|target| target.state == TargetState::Failed)
        .map(|target| target.cluster.clone());
    match failed {
        Some(failed) if random.percent(60) => failed,
        Some(_) | None => {
            let index = random.below(clusters.len());
            clusters.get(index).cloned().unwrap_or_default()
        }
    }
}

/// Somebody stops this FleetRollout, or everything.
pub fn stop(random: &mut Random, at: Timestamp) -> Stop {
    let by = By {
        person: "eve".into(),
        reason: "alarm".to_owned(),
        at,
    };
    let all = random.percent(50);
    Stop { all, by }
}

/// Releases that wait for a person to resume them.
pub fn paused(releases: &[Release]) -> Vec<u64> {
    let waits = |release: &&Release| release.word.paused.is_some() && !release.phase.ended();
    let paused = releases.iter().filter(waits);
    paused.map(|release| release.id.number).collect()
}

/// Clusters of one wave's label are frozen.
pub fn freeze(wave: usize, from: Timestamp, to: Timestamp) -> FleetWindow {
    let freeze = Freeze {
        from,
        to,
        reason: "something else is wrong".to_owned(),
    };
    FleetWindow {
        name: "freeze".to_owned(),
        clusters: Selector {
            match_labels: BTreeMap::from([(LABEL.to_owned(), wave.to_string())]),
            match_expressions: Vec::new(),
        },
        calendar: Calendar {
            freezes: vec![freeze],
            ..Calendar::default()
        },
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
