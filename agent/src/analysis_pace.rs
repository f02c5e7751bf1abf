//! How the AnalysisRuns of this agent are kept in step without their statuses.
//!
//! In: what is measured and written of each run. Out: how many runs are being measured; how many measurements are in a
//! status that the cache does not show yet; the part of a second that a status does not keep, so that the load of a second
//! does not come all at its beginning. It must not decide anything, and what it has may be lost.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use agent_api::{StatusTime, Uid};
use agent_engine::analysis::{Finished, Reason};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::key::ObjectKey;

#[derive(Debug, Default)]
struct Paced {
    uid: Uid,
    /// The version of the status that was written last, and how many measurements, from the first on, are in it.
    written: Option<(u64, usize)>,
    /// By metric: what is cut off the time at which it was last measured.
    cut: Vec<(Box<str>, SignedDuration)>,
}

/// What a cached run shows of what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Everything; so many measurements are in its status since the last look.
    All(usize),
    /// It is older than what was written.
    Old,
}

/// Versions are integers since Kubernetes 1.35 promises so.
fn number(version: Option<&str>) -> Option<u64> {
    version?.parse().ok()
}

/// Writes of measurements alone at a time: few beside the workers, so that a slow API server holds up no measurement.
const SPARE_WRITES: usize = 8;

/// Runs that are being measured.
#[derive(Debug)]
pub struct Pace {
    runs: Mutex<HashMap<ObjectKey, Paced>>,
    spare: Semaphore,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            runs: Mutex::default(),
            spare: Semaphore::new(SPARE_WRITES),
        }
    }
}

impl Pace {
    /// A run is being measured, and this is what is new. Returns how many runs are.
    pub fn measured(&self, key: &ObjectKey, uid: &Uid, finished: &[Finished]) -> usize {
        let mut runs = self.lock();
        let run = runs.entry(key.clone()).or_default();
        if run.uid != *uid {
            *run = Paced {
                uid: uid.clone(),
                ..Paced::default()
            };
        }
        for one in finished {
            let shown = StatusTime::from(one.finished_at).timestamp();
            let cut = one.finished_at.duration_since(shown);
            match run.cut.iter_mut().find(|(name, _)| **name == *one.metric) {
                Some((_, known)) => *known = cut,
                None => run.cut.push((one.metric.as_str().into(), cut)),
            }
        }
        runs.len()
    }

    /// When to look at a run again for the sake of its metrics: at their times, what the status has cut off them added.
    pub fn wake(&self, key: &ObjectKey, reasons: &[Reason]) -> Option<Timestamp> {
        let runs = self.lock();
        let cuts = runs.get(key).map(|run| run.cut.as_slice());
        let exact = |name: &str, at: Timestamp| {
            let mut cuts = cuts.into_iter().flatten();
            let cut = cuts.find(|(known, _)| **known == *name);
            cut.and_then(|(_, cut)| at.checked_add(*cut).ok())
                .unwrap_or(at)
        };
        let wakes = reasons.iter().filter_map(|reason| {
            if let Reason::NextAt { metric, at } = reason {
                return Some(exact(metric, *at));
            }
            if let Reason::ResumesAt { at, .. } = reason {
                return Some(*at);
            }
            None
        });
        wakes.min()
    }

    /// So many measurements of a run are in the status that was just written. False if that cannot be told from a version.
    pub fn wrote(&self, key: &ObjectKey, version: Option<&str>, count: usize) -> bool {
        let mut runs = self.lock();
        match (number(version), runs.get_mut(key)) {
            (Some(version), Some(run)) => {
                run.written = Some((version, count));
                true
            }
            (None, _) | (_, None) => false,
        }
    }

    /// What the cache shows of a run at this version of what was written.
    pub fn shown(&self, key: &ObjectKey, uid: &Uid, version: Option<&str>) -> Shown {
        let mut runs = self.lock();
        let Some(run) = runs.get_mut(key).filter(|run| run.uid == *uid) else {
            return Shown::All(0);
        };
        let Some((written, count)) = run.written else {
            return Shown::All(0);
        };
        if number(version).is_some_and(|version| version < written) {
            return Shown::Old;
        }
        run.written = None;
        Shown::All(count)
    }

    /// Permission for a write of measurements alone, if it would not be one too many.
    pub fn spare_write(&self) -> Option<SemaphorePermit<'_>> {
        self.spare.try_acquire().ok()
    }

    /// A run is over, or gone.
    pub fn forget(&self, key: &ObjectKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectKey, Paced>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use agent_api::AnalysisPhase;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_767_225_600_000 + millis).unwrap()
    }

    fn finished(metric: &str, millis: i64) -> Finished {
        Finished {
            metric: metric.into(),
            started_at: at(millis),
            finished_at: at(millis),
            resume_at: None,
            phase: AnalysisPhase::Successful,
            value: None,
            message: None,
            metadata: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_written_counts_once_and_when_it_is_shown() {
        let (pace, key) = (Pace::default(), ObjectKey::new("shop", "run"));
        let (uid, other) = (Uid::from("u"), Uid::from("made again"));
        assert!(!pace.wrote(&key, Some("5"), 1), "nothing is known of it");
        assert_eq!(pace.measured(&key, &uid, &[finished("a", 0)]), 1);
        assert!(!pace.wrote(&key, Some("five"), 1));
        assert!(pace.wrote(&key, Some("5"), 2));
        assert_eq!(pace.shown(&key, &uid, Some("4")), Shown::Old);
        assert_eq!(pace.shown(&key, &other, Some("4")), Shown::All(0));
        assert_eq!(pace.shown(&key, &uid, Some("6")), Shown::All(2));
        assert_eq!(pace.shown(&key, &uid, Some("6")), Shown::All(0));
        assert!(pace.wrote(&key, Some("7"), 2));
        pace.measured(&key, &other, &[]);
        assert_eq!(pace.shown(&key, &other, Some("1")), Shown::All(0));
        pace.forget(&key);
        assert!(pace.lock().is_empty());
    }

    #[test]
    fn a_run_is_looked_at_when_it_is_due_and_not_at_the_beginning_of_that_second() {
        let (pace, key) = (Pace::default(), ObjectKey::new("shop", "run"));
        let next = |metric: &str, millis: i64| Reason::NextAt {
            metric: metric.into(),
            at: at(millis),
        };
        let reasons = [next("a", 10_000), next("b", 10_000)];
        assert_eq!(pace.wake(&key, &reasons), Some(at(10_000)));
        pace.measured(
            &key,
            &"u".into(),
            &[finished("a", 700), finished("b", 250), finished("a", 400)],
        );
        assert_eq!(pace.wake(&key, &reasons), Some(at(10_250)));
        assert_eq!(pace.wake(&key, &[next("a", 10_000)]), Some(at(10_400)));
        assert_eq!(pace.wake(&key, &[Reason::Terminated]), None);
    }
}
