//! What persons say beside approvals: words about releases, stops, freezes, and that a restored database may go on. In:
//! chance. Out: rows as people's commands write them, sensible or not. It must not know which of them will be refused.

use std::collections::BTreeMap;

use hub_engine::document::Selector;
use hub_engine::release::{Release, TargetState};
use hub_engine::verb::{By, Scope, Stop, Verb};
use hub_engine::window::{Calendar, FleetWindow, Freeze};
use jiff::SignedDuration;
use tests_golden::hub_random::LABEL;
use tests_golden::hub_words::over_and_empty;

use super::{World, stamp};

impl World {
    /// Somebody says something, or nobody does.
    pub(super) fn says(&mut self) {
        match self.random.below(100) {
            0..=3 => {
                let expedite = self.random.percent(30);
                self.asks(Verb::Start { expedite }, None);
            }
            4..=21 => self.says_of_a_release(),
            22..=26 => self.stops_or_lets_go(),
            27..=31 => self.freezes_or_not(),
            _ => {}
        }
    }

    fn asks(&mut self, verb: Verb, release: Option<u64>) {
        self.tell(format!("eve says {verb:?} about {release:?}"));
        self.store.request(verb, release);
        self.hint();
    }

    fn says_of_a_release(&mut self) {
        let newest = self.store.tables.newest_number();
        if newest == 0 {
            return;
        }
        // Mostly the newest one, sometimes an older one, rarely one that never was.
        let back = u64::try_from(self.random.pick(&[0, 0, 0, 0, 1, 2])).unwrap_or(0);
        let number = if self.random.percent(3) {
            newest + 1
        } else {
            newest.saturating_sub(back).max(1)
        };
        let verb = self.verb(number);
        self.asks(verb, Some(number));
    }

    fn verb(&mut self, number: u64) -> Verb {
        let release = self.store.tables.release(number).cloned();
        let cluster = self.some_cluster(release.as_ref());
        let waves = release.map(|release| release.waves).unwrap_or_default();
        let at = self.random.below(waves.len());
        let wave = waves.get(at).map(|wave| wave.name.clone());
        let wave = wave.unwrap_or_default();
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
            5 => Verb::Rollback,
            6..=8 => Verb::Retry { cluster },
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
        let any = self.random.below(self.agents.len());
        match failed {
            Some(failed) if self.random.percent(60) => failed,
            Some(_) | None => self.agents[any].name.clone(),
        }
    }

    fn stops_or_lets_go(&mut self) {
        let by = By {
            person: "eve".into(),
            reason: "alarm".to_owned(),
            at: stamp(self.now),
        };
        let all = self.random.percent(50);
        let stopped = self.store.tables.stopped.is_none();
        self.store
            .stop(stopped.then_some(Stop { all, by }), self.now);
        self.tell(format!("everything is stopped: {stopped}"));
        self.hint();
    }

    fn freezes_or_not(&mut self) {
        if !self.store.tables.windows.is_empty() {
            self.store.windows(Vec::new());
            self.tell("nothing is frozen any more".to_owned());
            return self.hint();
        }
        let wave = self.random.below(3).to_string();
        let seconds = self.some(10, 60);
        let from = stamp(self.now + self.random.pick(&[0, 0, 5_000]));
        let freeze = Freeze {
            from,
            to: from
                .checked_add(SignedDuration::from_secs(seconds))
                .unwrap_or(from),
            reason: "something else is wrong".to_owned(),
        };
        self.tell(format!(
            "clusters {wave} are frozen for {seconds} s from {from}"
        ));
        self.store.windows(vec![FleetWindow {
            name: "freeze".to_owned(),
            clusters: Selector {
                match_labels: BTreeMap::from([(LABEL.to_owned(), wave)]),
                match_expressions: Vec::new(),
            },
            calendar: Calendar {
                freezes: vec![freeze],
                ..Calendar::default()
            },
        }]);
        self.hint();
    }

    /// A person who knows what was lost says so.
    pub(super) fn recovers(&mut self) {
        let waits = self.store.restored(self.now);
        if !waits || self.chaos && self.random.percent(50) {
            return;
        }
        let incarnation = self.store.recover(self.now);
        self.tell(format!(
            "eve recovers the database into incarnation {incarnation}"
        ));
        self.recovered(incarnation);
        // A copy from before a recovery would give its incarnation again: no database can know of that.
        self.copies.store = None;
        self.hint();
        self.wake_sessions();
    }

    /// Nobody keeps anything from going on any more.
    pub(super) fn lets_go(&mut self) {
        if self.store.tables.stopped.is_some() {
            self.store.stop(None, self.now);
            self.tell("the stop is lifted".to_owned());
            self.hint();
        }
        if !self.store.tables.windows.is_empty() {
            self.store.windows(Vec::new());
            self.hint();
        }
        let paused = |release: &&Release| release.word.paused.is_some() && !release.phase.ended();
        let releases = self.store.tables.releases.iter();
        let paused: Vec<u64> = releases.filter(paused).map(|one| one.id.number).collect();
        let asked = |number: &u64| {
            let mut requests = self.store.tables.requests.iter();
            requests.any(|one| one.release == Some(*number) && one.verb == Verb::Resume)
        };
        let paused: Vec<u64> = paused.into_iter().filter(|one| !asked(one)).collect();
        for number in paused {
            self.asks(Verb::Resume, Some(number));
        }
        let said = |number: u64| {
            let mut requests = self.store.tables.requests.iter();
            requests.any(|one| one.release == Some(number))
        };
        let over = over_and_empty(&self.store.tables).into_iter();
        let over: Vec<(u64, String)> = over.filter(|(number, _)| !said(*number)).collect();
        for (number, wave) in over {
            self.asks(Verb::SkipWave { wave }, Some(number));
        }
    }
}
