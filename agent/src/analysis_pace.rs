//! How the AnalysisRuns of this agent are kept in step without writing each measurement.
//!
//! In: what is planned for each run. Out: its status where it is ahead of the cache's; how many runs are being measured; the
//! part of a second that a status does not keep, so that the load of a second does not come all at its beginning. It must
//! not decide anything, and what it has may be lost: no verdict is in it alone for longer than its write takes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use agent_api::{AnalysisPhase, AnalysisRunStatus, StatusTime, Uid};
use agent_engine::analysis::holding::counted;
use agent_engine::analysis::{Finished, Reason};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::key::ObjectKey;
use crate::packed::Packed;

#[derive(Debug, Default)]
struct Paced {
    uid: Uid,
    /// The status as planned, while the cache may not show it. With ten thousand runs it would be most of the agent's memory.
    ahead: Option<Packed>,
    /// By metric: what is cut off the time at which it was last measured.
    cut: Vec<(Box<str>, SignedDuration)>,
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

    /// The status of a run to go on from, if it is ahead of the one that is cached. It is given away: put back what follows.
    pub fn ahead(
        &self,
        key: &ObjectKey,
        uid: &Uid,
        cached: Option<&AnalysisRunStatus>,
    ) -> Option<AnalysisRunStatus> {
        let ahead = {
            let mut runs = self.lock();
            let run = runs.get_mut(key).filter(|run| run.uid == *uid)?;
            run.ahead.take()?
        };
        let ahead: AnalysisRunStatus = ahead.read().ok()?;
        let Some(cached) = cached else {
            return Some(ahead);
        };
        // Somebody else ended it, made it begin again, or counted more.
        let over = cached.phase.is_some_and(AnalysisPhase::is_completed);
        let same = cached.started_at.is_none() || cached.started_at == ahead.started_at;
        let goes_on = !over && same && counted(cached) <= counted(&ahead) && *cached != ahead;
        goes_on.then_some(ahead)
    }

    /// What is planned for a run that is being measured.
    pub fn plan(&self, key: &ObjectKey, status: &AnalysisRunStatus) {
        let ahead = Packed::of(status).ok();
        if let Some(run) = self.lock().get_mut(key) {
            run.ahead = ahead;
        }
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

    use serde_json::json;

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
    fn what_is_ahead_of_the_cache_is_gone_on_from() {
        let (pace, key) = (Pace::default(), ObjectKey::new("shop", "run"));
        let (uid, other) = (Uid::from("u"), Uid::from("made again"));
        let status = |phase: &str, begun: i64, count: i64| -> AnalysisRunStatus {
            let results = json!([{"name": "a", "phase": "Running", "count": count}]);
            serde_json::from_value(json!({"phase": phase, "startedAt": at(begun).to_string(), "metricResults": results}))
                .unwrap()
        };
        let planned = status("Running", 0, 2);
        let found = |uid: &Uid, cached: Option<AnalysisRunStatus>| {
            pace.plan(&key, &planned);
            pace.ahead(&key, uid, cached.as_ref()).is_some()
        };
        assert!(!found(&uid, None), "nothing is known of it");
        assert_eq!(pace.measured(&key, &uid, &[finished("a", 0)]), 1);
        assert!(found(&uid, None), "its first write is not shown");
        assert!(found(&uid, Some(status("Running", 0, 1))));
        assert!(!found(&uid, Some(planned.clone())), "it is shown");
        assert!(!found(&uid, Some(status("Running", 0, 3))));
        assert!(!found(&uid, Some(status("Running", 5000, 1))));
        assert!(!found(&uid, Some(status("Failed", 0, 1))));
        assert!(!found(&other, None));
        pace.measured(&key, &other, &[]);
        assert_eq!(pace.ahead(&key, &other, None), None);
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
