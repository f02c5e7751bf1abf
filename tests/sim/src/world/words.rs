//! What persons say beside approvals: words about releases, stops, freezes, and that a restored database may go on. In:
//! chance. Out: rows as people's commands write them, sensible or not. It must not know which of them will be refused.

use hub_engine::member::LetGo;
use hub_engine::verb::{By, Stop, Verb};
use jiff::SignedDuration;
use tests_golden::hub_words;
use tests_golden::hub_words::over_and_empty;

use super::{World, stamp};
use crate::event::{Event, Ms};

/// So many of a hundred lives with several FleetRollouts end with one of them stopped.
const STOPPED_FOR_GOOD: usize = 20;
/// So many of a hundred words about releases hasten them.
const HASTENS: usize = 12;
/// Longer than it takes until every cluster has heard of it.
const ALARM_LASTS: Ms = 10_000;
/// So often a person mends what others wait for, and so long that takes: longer than most releases.
const MENDS: u32 = 2;
const MEND_TAKES: Ms = 150_000;
/// Sessions are opened again within this.
const ALARM_LATER: Ms = 30_000;

impl World {
    /// Somebody says something, or nobody does.
    pub(super) fn says(&mut self) {
        let fleet = self.one_of(self.store.fleets.len());
        match self.random.below(100) {
            0..=3 => {
                let expedite = self.random.percent(30);
                self.asks(fleet, Verb::Start { expedite }, None);
            }
            4..=21 => self.says_of_a_release(fleet),
            22..=26 => self.stops_or_lets_go(fleet),
            27..=31 => self.freezes_or_not(),
            32..=38 if self.store.fleets.len() > 1 => self.governs_or_not(fleet),
            _ => {}
        }
    }

    /// As people name it.
    pub(crate) fn fleet_name(&self, fleet: usize) -> String {
        let name = &self.store.fleets[fleet].fleet_rollout.name;
        name.to_string()
    }

    fn asks(&mut self, fleet: usize, verb: Verb, release: Option<u64>) {
        let of = self.fleet_name(fleet);
        self.tell(format!("eve says {verb:?} about {of} {release:?}"));
        let id = self.store.request(fleet, verb, release);
        self.ghost.asked(fleet, id);
        self.hint();
    }

    fn says_of_a_release(&mut self, fleet: usize) {
        let newest = self.store.fleets[fleet].newest_number();
        if newest == 0 {
            return;
        }
        let number = hub_words::number(&mut self.random, newest);
        let clusters: Vec<_> = self.agents.iter().map(|own| own.name.clone()).collect();
        let release = self.store.fleets[fleet].release(number);
        let verb = hub_words::verb(&mut self.random, release, &clusters);
        let hastens = self.random.aside(227).percent(HASTENS);
        let verb = if hastens { Verb::Expedite } else { verb };
        self.asks(fleet, verb, Some(number));
    }

    /// A FleetRollout lets clusters go, or takes them in again.
    fn governs_or_not(&mut self, fleet: usize) {
        let clusters = self.store.fleets[fleet].clusters.iter();
        let gone = clusters.filter(|own| own.gone.is_some()).count();
        let again = gone > 0 && self.random.percent(60);
        let agent = self.random.below(self.agents.len());
        let everywhere = self.random.percent(20);
        let cluster = (!everywhere).then(|| self.agents[agent].name.clone());
        let mode = self.random.pick(&[LetGo::KeepServing, LetGo::ReleaseHeld]);
        let verb = if again {
            Verb::Govern { cluster: None }
        } else {
            Verb::Ungovern { cluster, mode }
        };
        self.asks(fleet, verb, None);
    }

    /// One FleetRollout is stopped, or the whole fleet; or whatever stops it is lifted.
    fn stops_or_lets_go(&mut self, fleet: usize) {
        let stop = hub_words::stop(&mut self.random, stamp(self.now));
        if self.store.fleets[fleet].stopped.is_some() {
            self.lifts(fleet);
        } else {
            let of = (!stop.all).then_some(fleet);
            self.store.stop(of, Some(stop), self.now);
            let what = of.map_or("everything".to_owned(), |of| self.fleet_name(of));
            self.tell(format!("{what} is stopped"));
        }
        self.hint();
    }

    /// Now and then one of several is stopped for good: whatever comes of it, the others go on.
    pub(super) fn keeps_one_stopped(&mut self) {
        let fleets = self.store.fleets.len();
        if fleets < 2 || !self.random.percent(STOPPED_FOR_GOOD) {
            return;
        }
        let fleet = self.random.below(fleets);
        self.kept_stopped = Some(fleet);
        let by = By {
            person: "eve".into(),
            reason: "for good".to_owned(),
            at: stamp(self.now),
        };
        let stop = Stop { all: false, by };
        self.store.stop(Some(fleet), Some(stop), self.now);
        let what = self.fleet_name(fleet);
        self.tell(format!("{what} is stopped for good"));
    }

    /// When nothing breaks and everybody is connected: what a person says then reaches every cluster in time.
    pub(super) fn alarm(&mut self) {
        // Drawn aside, so that everything before the end of a life stays what it was.
        let mut aside = self.random.aside(37);
        let fleet = aside.below(self.store.fleets.len());
        // Before a database that was put back decides again, nothing comes of it.
        let recovered = self.store.recovery.recovered;
        if self.store.waits(self.now) || recovered.is_some_and(|at| self.now < at + ALARM_LATER) {
            return self.put(ALARM_LATER, Event::Alarm);
        }
        self.alarm_until = self.now + ALARM_LASTS;
        self.ghost.alarmed(self.now);
        if aside.percent(50) {
            let open = |one: &&hub_engine::release::Release| !one.phase.ended();
            let release = self.store.fleets[fleet].releases.iter().find(open);
            if let Some(number) = release.map(|one| one.id.number) {
                return self.asks(fleet, Verb::Abort { scope: None }, Some(number));
            }
        }
        let all = aside.percent(50);
        let by = By {
            person: "eve".into(),
            reason: "alarm".to_owned(),
            at: stamp(self.now),
        };
        let of = (!all && self.kept_stopped != Some(fleet)).then_some(fleet);
        let stop = Stop {
            all: of.is_none(),
            by,
        };
        self.store.stop(of, Some(stop), self.now);
        self.tell(format!("an alarm: {of:?} is stopped"));
        self.hint();
    }

    /// Whatever stops a FleetRollout does so no more.
    fn lifts(&mut self, fleet: usize) {
        let kept = self.kept_stopped == Some(fleet);
        let own = (!kept).then_some(Some(fleet));
        for of in [Some(None), own].into_iter().flatten() {
            let row = self.store.stops.get(&of);
            if row.is_some_and(|row| row.stop.is_some()) {
                self.store.stop(of, None, self.now);
                let what = of.map_or("everything".to_owned(), |of| self.fleet_name(of));
                self.tell(format!("the stop of {what} is lifted"));
            }
        }
    }

    fn freezes_or_not(&mut self) {
        if self.store.fleets.iter().any(|one| !one.windows.is_empty()) {
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
        self.older_copy_soon();
        let incarnation = self.store.recover(self.now);
        self.tell(format!(
            "eve recovers the database into incarnation {incarnation}"
        ));
        self.recovered(incarnation);
        self.hint();
        self.wake_sessions();
    }

    /// Nobody keeps anything from going on any more.
    pub(super) fn lets_go(&mut self) {
        if self.now < self.alarm_until {
            return;
        }
        for fleet in 0..self.store.fleets.len() {
            let stopped = self.store.fleets[fleet].stopped.as_ref();
            let kept = self.kept_stopped == Some(fleet);
            if stopped.is_some_and(|stop| stop.all || !kept) {
                self.lifts(fleet);
                self.hint();
            }
        }
        if self.store.fleets.iter().any(|one| !one.windows.is_empty()) {
            self.store.windows(Vec::new());
            self.hint();
        }
        for fleet in 0..self.store.fleets.len() {
            if self.kept_stopped != Some(fleet) {
                self.lets_releases_go(fleet);
            }
            if !self.waits_for_good(fleet) {
                self.mends_before(fleet);
            }
        }
    }

    /// It is stopped for good, or comes after what is.
    pub(crate) fn waits_for_good(&self, fleet: usize) -> bool {
        let after = self.store.fleets[fleet].fleet_rollout.after.iter();
        let mut others = after.filter_map(|name| self.store.named(name));
        self.kept_stopped == Some(fleet) || others.any(|other| self.waits_for_good(other))
    }

    /// A release waits for one that ended badly: the next one there has to pass, so Git gets a good version; where that does
    /// not help, nobody waits any longer.
    fn mends_before(&mut self, fleet: usize) {
        let tables = &self.store.fleets[fleet];
        let mut open = tables.releases.iter().filter(|one| !one.phase.ended());
        let Some(number) = open.next().map(|one| one.id.number) else {
            return;
        };
        let after = tables.fleet_rollout.after.iter();
        let mut others = after.filter_map(|name| self.store.named(name));
        let Some(other) = others.find(|other| {
            let newest = self.store.newest(*other);
            let ended = newest.is_some_and(|release| release.phase.ended());
            ended && self.ghost.behind.contains_key(other)
        }) else {
            return;
        };
        let (mends, last) = self.mends.get(&other).copied().unwrap_or_default();
        if mends > 0 && self.now < last + MEND_TAKES {
            return;
        }
        let asked = tables.requests.iter();
        let asked = asked.into_iter().any(|one| one.release == Some(number));
        if mends < MENDS {
            self.meets("OtherMended");
            self.mends.insert(other, (mends + 1, self.now));
            self.mended(self.part_of(other));
        } else if !asked {
            self.asks(fleet, Verb::Abort { scope: None }, Some(number));
        }
    }

    fn lets_releases_go(&mut self, fleet: usize) {
        let tables = &self.store.fleets[fleet];
        let paused = hub_words::paused(&tables.releases);
        let asked = |number: &u64| {
            let mut requests = tables.requests.iter();
            requests.any(|one| one.release == Some(*number) && one.verb == Verb::Resume)
        };
        let paused: Vec<u64> = paused.into_iter().filter(|one| !asked(one)).collect();
        for number in paused {
            self.asks(fleet, Verb::Resume, Some(number));
        }
        let tables = &self.store.fleets[fleet];
        let said = |number: u64| {
            let mut requests = tables.requests.iter();
            requests.any(|one| one.release == Some(number))
        };
        let over = over_and_empty(tables).into_iter();
        let over: Vec<(u64, String)> = over.filter(|(number, _)| !said(*number)).collect();
        for (number, wave) in over {
            self.asks(fleet, Verb::SkipWave { wave }, Some(number));
        }
    }
}
