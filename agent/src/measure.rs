//! Measuring: the queries of AnalysisRuns, beside everything else.
//!
//! In: a metric with its arguments filled in. Out: a finished measurement, judged, and the run named in the queue. It
//! must not hold up a worker or another run: each measurement is a task of its own with a time limit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use agent_api::{AnalysisPhase, Measurement, Metric, StatusTime, Uid};
use agent_engine::analysis::Finished;
use agent_providers::{Asker, Outcome};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::cache::Work;
use crate::key::ObjectKey;
use crate::queue::Queue;

/// Measurements at a time: each holds a connection.
const AT_A_TIME: usize = 32;
/// Longest value kept in a status; an aggregated answer is a few numbers.
const MAX_VALUE: usize = 1024;

/// A metric of a run.
type Place = (Uid, String);

#[derive(Default)]
struct State {
    running: HashMap<Place, AbortHandle>,
    finished: HashMap<Uid, Vec<Finished>>,
    /// The run of a name that something was measured for.
    runs: HashMap<ObjectKey, Uid>,
}

impl State {
    fn forget(&mut self, run: &Uid) {
        self.finished.remove(run);
        self.running.retain(|(uid, _), task| {
            if uid == run {
                task.abort();
            }
            uid != run
        });
    }
}

/// The measurer.
pub struct Measurer {
    asker: Asker,
    queue: Arc<Queue<Work>>,
    slots: Arc<Semaphore>,
    state: Mutex<State>,
}

impl Measurer {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(asker: Asker, queue: Arc<Queue<Work>>) -> Self {
        let slots = Arc::new(Semaphore::new(AT_A_TIME));
        Self {
            asker,
            queue,
            slots,
            state: Mutex::default(),
        }
    }

    /// Starts one measurement, or goes on with it, unless it is under way.
    pub fn start(
        self: &Arc<Self>,
        key: &ObjectKey,
        run: &Uid,
        metric: Metric,
        before: Option<Measurement>,
    ) {
        let place = (run.clone(), metric.name.clone());
        let mut state = self.lock();
        if state.running.contains_key(&place) {
            return;
        }
        // One that was made again under the same name before its end was seen.
        let former = state.runs.insert(key.clone(), run.clone());
        if let Some(former) = former.filter(|former| former != run) {
            state.forget(&former);
        }
        let (this, key, done) = (Arc::clone(self), key.clone(), place.clone());
        let task = tokio::spawn(async move {
            let finished = this.measure(&key.namespace, metric, before).await;
            this.finish(done, finished);
            this.queue.add(Work::Run(key));
        });
        state.running.insert(place, task.abort_handle());
    }

    /// Gives up a measurement.
    pub fn cancel(&self, run: &Uid, metric: &str) {
        if let Some(task) = self
            .lock()
            .running
            .remove(&(run.clone(), metric.to_owned()))
        {
            task.abort();
        }
    }

    /// Metrics of a run that are being measured.
    pub fn in_flight(&self, run: &Uid) -> BTreeSet<String> {
        self.lock()
            .running
            .keys()
            .filter(|(uid, _)| uid == run)
            .map(|(_, metric)| metric.clone())
            .collect()
    }

    /// Measurements of a run that ended and are not in its status yet.
    pub fn finished(&self, run: &Uid) -> Vec<Finished> {
        self.lock().finished.get(run).cloned().unwrap_or_default()
    }

    /// The first so many finished measurements are in the status now.
    pub fn settle(&self, run: &Uid, count: usize) {
        let mut state = self.lock();
        let Some(finished) = state.finished.get_mut(run) else {
            return;
        };
        finished.drain(..count.min(finished.len()));
        if finished.is_empty() {
            state.finished.remove(run);
        }
    }

    /// The run of this name is gone, or on its way out.
    pub fn forget(&self, key: &ObjectKey) {
        let mut state = self.lock();
        if let Some(run) = state.runs.remove(key) {
            state.forget(&run);
        }
    }

    fn finish(&self, place: Place, finished: Finished) {
        let mut state = self.lock();
        // One that was given up meanwhile counts no more.
        if state.running.remove(&place).is_some() {
            state.finished.entry(place.0).or_default().push(finished);
        }
    }

    async fn measure(
        &self,
        namespace: &str,
        metric: Metric,
        before: Option<Measurement>,
    ) -> Finished {
        let _slot = self.slots.acquire().await;
        let now = Timestamp::now();
        let begun = before.as_ref().and_then(|before| before.started_at);
        let memory = before.map(|before| before.metadata).unwrap_or_default();
        let filled = metric.clone().into();
        let outcome = self.asker.ask(&filled, namespace, now, &memory).await;
        let mut finished = Finished {
            metric: metric.name,
            started_at: begun.map_or(now, StatusTime::timestamp),
            finished_at: Timestamp::now(),
            resume_at: None,
            phase: AnalysisPhase::Running,
            value: None,
            message: None,
            metadata: BTreeMap::new(),
        };
        match outcome {
            Outcome::Over {
                judgement,
                value,
                metadata,
            } => {
                finished.phase = judgement.phase;
                finished.message = judgement.message;
                finished.value = value.map(|text| text.chars().take(MAX_VALUE).collect());
                finished.metadata = metadata;
            }
            Outcome::Later { resume_at, memory } => {
                finished.resume_at = Some(resume_at);
                finished.metadata = memory;
            }
        }
        finished
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
