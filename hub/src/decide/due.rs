//! Which FleetRollouts are decided next. In: news, what each one is about, the moment at which its last plan wants to be looked
//! at again. Out: whether it is its turn. It must not be what correctness hangs on: everything is swept again and again, because
//! news can be lost, and a decision on what has not changed does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hub_engine::{FleetRolloutName, RolloutName};

use crate::hints::News;

/// Between two sweeps of a small fleet, and the longest sleep.
pub(super) const SWEEP_MIN: Duration = Duration::from_secs(1);
/// Between two sweeps of a big one: lost news cost no more than this.
pub(super) const SWEEP_MAX: Duration = Duration::from_secs(10);
/// A sweep is a tenth of the time at most.
const SWEEP_SHARE: u32 = 10;

/// What is known of a FleetRollout that was decided.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    /// What it governs.
    pub(super) rollout: RolloutName,
    /// Which ones it comes after.
    pub(super) after: Vec<FleetRolloutName>,
    /// When time alone may change something.
    pub(super) wake: Option<Instant>,
}

/// What is settled, and when everything is swept.
#[derive(Debug)]
pub(super) struct Due {
    /// As of the last decision of each.
    known: BTreeMap<FleetRolloutName, Settled>,
    settled: BTreeSet<FleetRolloutName>,
    /// Could not be decided: not before then.
    paused: BTreeMap<FleetRolloutName, Instant>,
    sweep: Instant,
}

impl Due {
    /// Everything is due.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            known: BTreeMap::new(),
            settled: BTreeSet::new(),
            paused: BTreeMap::new(),
            sweep: now,
        }
    }

    /// Whether everything is swept now; if so, nothing is taken for settled any more.
    pub(super) fn sweeps(&mut self, news: &News, now: Instant) -> bool {
        let all = news.anything || now >= self.sweep;
        if all {
            self.settled.clear();
        }
        all
    }

    /// A sweep took so long.
    pub(super) fn swept(&mut self, took: Duration, now: Instant) {
        self.sweep = now + (took * SWEEP_SHARE).clamp(SWEEP_MIN, SWEEP_MAX);
    }

    /// Whether it is a FleetRollout's turn.
    pub(super) fn is(&self, name: &FleetRolloutName, news: &News, now: Instant) -> bool {
        if self.paused.get(name).is_some_and(|until| *until > now) {
            return false;
        }
        let known = self.known.get(name);
        let Some(known) = known.filter(|_| self.settled.contains(name)) else {
            return true;
        };
        known.wake.is_some_and(|wake| wake <= now) || self.concerns(name, news)
    }

    /// Whether news are about it; where nothing is known of it they may be.
    pub(super) fn concerns(&self, name: &FleetRolloutName, news: &News) -> bool {
        let Some(known) = self.known.get(name) else {
            return *news != News::default();
        };
        let decided = |other: &FleetRolloutName| {
            let same = || {
                let other = self.known.get(other);
                other.is_none_or(|other| other.rollout == known.rollout)
            };
            other != name && (known.after.contains(other) || same())
        };
        news.anything || news.rollouts.contains(&known.rollout) || news.decided.iter().any(decided)
    }

    /// It was decided; nothing more is to be done before news or its wake-up.
    pub(super) fn settle(&mut self, name: &FleetRolloutName, settled: Settled) {
        self.known.insert(name.clone(), settled);
        self.settled.insert(name.clone());
        self.paused.remove(name);
    }

    /// There is more to do, or it is not known.
    pub(super) fn unsettle(&mut self, name: &FleetRolloutName) {
        self.settled.remove(name);
    }

    /// It could not be decided, and is not tried again before then.
    pub(super) fn pause(&mut self, name: &FleetRolloutName, until: Instant) {
        self.settled.remove(name);
        self.paused.insert(name.clone(), until);
    }

    /// Until the next turn of any without news.
    pub(super) fn sleep(&self, now: Instant) -> Duration {
        let settled = self.settled.iter().filter_map(|name| self.known.get(name));
        let wakes = settled.filter_map(|one| one.wake);
        let next = wakes.chain([self.sweep]).min();
        next.map_or(SWEEP_MIN, |next| next.saturating_duration_since(now))
            .min(SWEEP_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(name: &str) -> RolloutName {
        RolloutName {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    fn settled(name: &str, after: &[&str], wake: Option<Instant>) -> Settled {
        Settled {
            rollout: rollout(name),
            after: after.iter().map(|name| (*name).into()).collect(),
            wake,
        }
    }

    #[test]
    fn whose_turn_it_is() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let mut due = Due::new(now);
        assert!(due.sweeps(&News::default(), now), "nothing was swept yet");
        due.swept(Duration::from_millis(500), now);
        due.settle(&"web".into(), settled("web", &[], None));
        due.settle(&"api".into(), settled("api", &["web"], Some(later)));
        due.settle(&"db".into(), settled("db", &[], None));
        let decided = |name: &str| News {
            decided: [name.into()].into(),
            ..News::default()
        };
        let reported = |name: &str| News {
            rollouts: [rollout(name)].into(),
            ..News::default()
        };
        let cases: [(News, Instant, &[&str]); 6] = [
            (News::default(), now, &["new"]),
            (News::default(), later, &["api", "new"]),
            (reported("web"), now, &["web", "new"]),
            (decided("web"), now, &["api", "new"]),
            (decided("api"), now, &["new"]),
            (decided("unknown"), now, &["web", "api", "db", "new"]),
        ];
        for (news, at, wanted) in cases {
            let turn: Vec<&str> = ["web", "api", "db", "new"]
                .into_iter()
                .filter(|name| due.is(&(*name).into(), &news, at))
                .collect();
            assert_eq!(turn, wanted, "{news:?}");
        }
        assert!(!due.sweeps(&News::default(), now + Duration::from_secs(4)));
        let anything = News {
            anything: true,
            ..News::default()
        };
        assert!(due.sweeps(&anything, now) && due.is(&"db".into(), &News::default(), now));
        due.swept(Duration::from_secs(60), now);
        assert!(due.sweeps(&News::default(), now + SWEEP_MAX));
    }
}
