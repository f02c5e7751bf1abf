//! What persons say beside approvals: words about releases, stops, freezes, and that a restored database may go on. In:
//! chance. Out: rows as people's commands write them, sensible or not. It must not know which of them will be refused.

use hub_engine::verb::Verb;
use jiff::SignedDuration;
use tests_golden::hub_words;
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
        let number = hub_words::number(&mut self.random, newest);
        let clusters: Vec<_> = self.agents.iter().map(|own| own.name.clone()).collect();
        let release = self.store.tables.release(number);
        let verb = hub_words::verb(&mut self.random, release, &clusters);
        self.asks(verb, Some(number));
    }

    fn stops_or_lets_go(&mut self) {
        let stop = hub_words::stop(&mut self.random, stamp(self.now));
        let stopped = self.store.tables.stopped.is_none();
        self.store.stop(stopped.then_some(stop), self.now);
        self.tell(format!("everything is stopped: {stopped}"));
        self.hint();
    }

    fn freezes_or_not(&mut self) {
        if !self.store.tables.windows.is_empty() {
            self.store.windows(Vec::new());
            self.tell("nothing is frozen any more".to_owned());
            return self.hint();
        }
        let wave = self.random.below(3);
        let seconds = self.some(10, 60);
        let from = stamp(self.now + self.random.pick(&[0, 0, 5_000]));
        let to = from.checked_add(SignedDuration::from_secs(seconds));
        self.tell(format!(
            "clusters {wave} are frozen for {seconds} s from {from}"
        ));
        let freeze = hub_words::freeze(wave, from, to.unwrap_or(from));
        self.store.windows(vec![freeze]);
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
        self.copies.moment = None;
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
        let paused = hub_words::paused(&self.store.tables.releases);
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
