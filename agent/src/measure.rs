//! Measuring: the queries of AnalysisRuns, beside everything else.
//!
//! In: a metric with its arguments filled in. Out: a finished measurement, judged, and the run named in the queue. It
//! must not hold up a worker or another run: each measurement is a task of its own with a time limit, and a server that
//! does not answer keeps only its own share of them (see [`slots`]).

mod slots;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use agent_api::analysis::SecretKeyRef;
use agent_api::{Measurement, Metric, StatusTime, Uid};
use agent_engine::analysis::Finished;
use agent_providers::{Asker, Leg, Outcome, server};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::cache::Work;
use crate::job::Jobs;
use crate::key::ObjectKey;
use crate::queue::Queue;
use slots::Slots;

/// Jobs that are made or looked at at a time; the API server answers each in milliseconds, or within a time limit.
const JOBS_AT_A_TIME: usize = 64;

/// What is to be measured.
pub struct Question {
    /// The metric, its arguments filled in but for those from Secrets.
    pub metric: Metric,
    /// Arguments from Secrets that it has places for.
    pub secrets: Vec<(String, SecretKeyRef)>,
    /// Which measurement of the metric it is, from 1.
    pub number: i64,
    /// The measurement as it stands in the status, when it goes on.
    pub before: Option<Measurement>,
}

/// One run.
#[derive(Default)]
struct Run {
    running: HashMap<String, AbortHandle>,
    finished: Vec<Finished>,
}

impl Drop for Run {
    fn drop(&mut self) {
        for task in self.running.values() {
            task.abort();
        }
    }
}

#[derive(Default)]
struct State {
    /// Runs that something is measured for, or was and is not in the status yet.
    runs: HashMap<Uid, Run>,
    /// The run of a name that something was measured for.
    names: HashMap<ObjectKey, Uid>,
}

/// The measurer.
pub struct Measurer {
    asker: Asker,
    jobs: Arc<Jobs>,
    queue: Arc<Queue<Work>>,
    slots: Slots,
    job_slots: Semaphore,
    state: Mutex<State>,
}

impl Measurer {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(asker: Asker, jobs: Arc<Jobs>, queue: Arc<Queue<Work>>) -> Self {
        Self {
            asker,
            jobs,
            queue,
            slots: Slots::default(),
            job_slots: Semaphore::new(JOBS_AT_A_TIME),
            state: Mutex::default(),
        }
    }

    /// Starts one measurement, or goes on with it, unless it is under way.
    pub fn start(self: &Arc<Self>, key: &ObjectKey, run: &Uid, question: Question) {
        let name = question.metric.name.clone();
        let mut state = self.lock();
        // One that was made again under the same name before its end was seen.
        let former = state.names.insert(key.clone(), run.clone());
        if let Some(former) = former.filter(|former| former != run) {
            state.runs.remove(&former);
        }
        let known = state.runs.entry(run.clone()).or_default();
        if known.running.contains_key(&name) {
            return;
        }
        let (this, key, run, metric) = (Arc::clone(self), key.clone(), run.clone(), name.clone());
        let task = tokio::spawn(async move {
            let finished = this.measure(&key, &run, question).await;
            this.finish(&run, &metric, finished);
            this.queue.add(Work::Run(key));
        });
        known.running.insert(name, task.abort_handle());
    }

    /// Gives up a measurement.
    pub fn cancel(&self, run: &Uid, metric: &str) {
        let mut state = self.lock();
        let known = state.runs.get_mut(run);
        if let Some(task) = known.and_then(|known| known.running.remove(metric)) {
            task.abort();
        }
    }

    /// Metrics of a run that are being measured, and measurements that ended and are not in its status yet: both at one
    /// moment, so that none is in neither.
    pub fn under_way(&self, run: &Uid) -> (BTreeSet<String>, Vec<Finished>) {
        let state = self.lock();
        let Some(known) = state.runs.get(run) else {
            return <_>::default();
        };
        let in_flight = known.running.keys().cloned().collect();
        (in_flight, known.finished.clone())
    }

    /// The first so many finished measurements are in the status now.
    pub fn settle(&self, run: &Uid, count: usize) {
        let mut state = self.lock();
        if let Some(known) = state.runs.get_mut(run) {
            known.finished.drain(..count.min(known.finished.len()));
        }
    }

    /// The run of this name is over, gone, or on its way out.
    pub fn forget(&self, key: &ObjectKey) {
        let mut state = self.lock();
        if let Some(run) = state.names.remove(key) {
            state.runs.remove(&run);
        }
    }

    fn finish(&self, run: &Uid, metric: &str, finished: Finished) {
        let mut state = self.lock();
        // One that was given up meanwhile counts no more.
        if let Some(known) = state.runs.get_mut(run)
            && known.running.remove(metric).is_some()
        {
            known.finished.push(finished);
        }
    }

    async fn measure(&self, key: &ObjectKey, run: &Uid, question: Question) -> Finished {
        let Question {
            metric,
            secrets,
            number,
            before,
        } = question;
        let name = metric.name.clone();
        let begun = before.as_ref().and_then(|before| before.started_at);
        let begun = begun.map(StatusTime::timestamp);
        let memory = before.map(|before| before.metadata);
        let (now, outcome) = if metric.provider.job.is_some() {
            let place = self.jobs.place(key, run.as_str(), &name, number);
            let _slot = self.job_slots.acquire().await;
            let now = Timestamp::now();
            let outcome = match memory {
                Some(memory) => self.jobs.look(&memory, begun.unwrap_or(now)).await,
                None => match self.asker.fill(metric, &secrets, &key.namespace).await {
                    Ok(filled) => self.jobs.begin(filled.metric(), &place).await,
                    Err(message) => Outcome::error(message),
                },
            };
            (now, outcome)
        } else {
            self.ask(&key.namespace, metric, &secrets, memory).await
        };
        finished(name, begun.unwrap_or(now), outcome)
    }

    /// Asks a server, when there is a slot for it.
    async fn ask(
        &self,
        namespace: &str,
        metric: Metric,
        secrets: &[(String, SecretKeyRef)],
        memory: Option<BTreeMap<String, String>>,
    ) -> (Timestamp, Outcome) {
        // Secrets come from the API server, which no slot is for.
        let filled = match self.asker.fill(metric, secrets, namespace).await {
            Ok(filled) => filled,
            Err(message) => return (Timestamp::now(), Outcome::error(message)),
        };
        let server = server(filled.metric(), self.asker.environment());
        let _slot = self.slots.acquire(&server, namespace).await;
        let now = Timestamp::now();
        let memory = memory.unwrap_or_default();
        let outcome = self.asker.ask(&filled, namespace, now, &memory).await;
        (now, outcome)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn finished(metric: String, started_at: Timestamp, outcome: Outcome) -> Finished {
    let Leg {
        phase,
        message,
        value,
        metadata,
        resume_at,
    } = outcome.into();
    Finished {
        metric,
        started_at,
        finished_at: Timestamp::now(),
        resume_at,
        phase,
        value,
        message,
        metadata,
    }
}

#[cfg(test)]
mod tests;
