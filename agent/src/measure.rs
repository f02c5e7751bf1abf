//! Measuring: the queries of AnalysisRuns, beside everything else.
//!
//! In: a metric with its arguments filled in. Out: a finished measurement, judged, and the run named in the queue. It
//! must not hold up a worker or another run: each measurement is a task of its own with a time limit, and a server that
//! does not answer keeps only its own share of them (see [`slots`]). What is given up leaves no Job behind (see [`ends`]).

pub mod ends;
mod slots;

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_api::analysis::SecretKeyRef;
use agent_api::{Measurement, Metric, StatusTime, Uid};
use agent_engine::analysis::Finished;
use agent_providers::job::Place as JobPlace;
use agent_providers::{Asker, Leg, Outcome, server};
use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::cache::Work;
use crate::job::{Jobs, job_of};
use crate::key::ObjectKey;
use crate::lease_clock::Moment;
use crate::moments::by_clock_of;
use crate::queue::Queue;
use ends::Ends;
use slots::Slots;

/// Jobs that are made, looked at or ended at a time; the API server answers each in milliseconds, or within a time limit.
const JOBS_AT_A_TIME: usize = 64;
/// Longest leg of a measurement, from the wait for its turn to the last answer of a conversation: twice the longest time
/// that one answer may take.
const LONGEST: Duration = Duration::from_secs(600);
/// What nobody reads.
const GIVEN_UP: &str = "given up before its turn";

/// What is to be measured.
pub struct Question {
    /// The metric, its arguments filled in but for those from Secrets.
    pub metric: Box<Metric>,
    /// Arguments from Secrets that it has places for.
    pub secrets: Vec<(String, SecretKeyRef)>,
    /// Which measurement of the metric it is, from 1.
    pub number: i64,
    /// The measurement as it stands in the status, when it goes on.
    pub before: Option<Measurement>,
}

/// A measurement that is under way.
struct Task {
    /// Of all of them, so that an older one of the same metric is not taken for it.
    id: u64,
    handle: AbortHandle,
    /// Once its turn has come it may be making a Job, which has to be known to be ended: it is not cut off then, and looks
    /// after its Job itself.
    has_job: bool,
    /// Since when it is asked; before that it waits for its turn.
    asked: Option<Moment>,
}

impl Task {
    fn give_up(&self) {
        if !self.has_job || self.asked.is_none() {
            self.handle.abort();
        }
    }
}

/// One run.
#[derive(Default)]
struct Run {
    running: HashMap<String, Task>,
    finished: Vec<Finished>,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.running.values().for_each(Task::give_up);
    }
}

/// What an earlier leg left to be known, and when that began.
type Before = (BTreeMap<String, String>, Option<Timestamp>);

/// Which measurement a task is.
#[derive(Clone)]
struct Place {
    key: ObjectKey,
    run: Uid,
    metric: String,
    id: u64,
}

#[derive(Default)]
struct State {
    /// Runs that something is measured for, or was and is not in the status yet.
    runs: HashMap<Uid, Run>,
    /// The run of a name that something was measured for.
    names: HashMap<ObjectKey, Uid>,
    /// Tasks so far.
    tasks: u64,
}

impl State {
    fn run(&mut self, key: &ObjectKey, uid: &Uid) -> &mut Run {
        // One that was made again under the same name before its end was seen.
        let former = self.names.insert(key.clone(), uid.clone());
        if let Some(former) = former.filter(|former| former != uid) {
            self.runs.remove(&former);
        }
        self.runs.entry(uid.clone()).or_default()
    }
}

/// The measurer.
pub struct Measurer {
    asker: Asker,
    jobs: Arc<Jobs>,
    queue: Arc<Queue<Work>>,
    slots: Slots,
    job_slots: Arc<Semaphore>,
    /// Jobs that are to end.
    pub ends: Arc<Ends>,
    longest: Duration,
    state: Mutex<State>,
}

impl Measurer {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(asker: Asker, jobs: Arc<Jobs>, queue: Arc<Queue<Work>>) -> Self {
        let job_slots = Arc::new(Semaphore::new(JOBS_AT_A_TIME));
        let ends = Ends::new(
            Arc::clone(&jobs),
            Arc::clone(&queue),
            Arc::clone(&job_slots),
        );
        Self {
            asker,
            jobs,
            queue,
            slots: Slots::default(),
            job_slots,
            ends: Arc::new(ends),
            longest: LONGEST,
            state: Mutex::default(),
        }
    }

    /// Starts one measurement, or goes on with it, unless it is under way.
    pub fn start(self: &Arc<Self>, key: &ObjectKey, run: &Uid, question: Question) {
        let metric = question.metric.name.clone();
        let mut state = self.lock();
        let id = state.tasks;
        let known = state.run(key, run);
        if known.running.contains_key(&metric) {
            return;
        }
        let place = Place {
            key: key.clone(),
            run: run.clone(),
            metric: metric.clone(),
            id,
        };
        let job = self.job(&place, &question);
        let (this, has_job) = (Arc::clone(self), job.is_some());
        let task = tokio::spawn(async move {
            let finished = this.measure_in_time(&place, question).await;
            if this.finish(&place, finished) {
                this.queue.add(Work::Run(place.key));
            } else if let Some(job) = job {
                // Given up meanwhile: nobody else may know of its Job.
                this.ends.end(job);
            }
        });
        let task = Task {
            id,
            handle: task.abort_handle(),
            has_job,
            asked: None,
        };
        known.running.insert(metric, task);
        state.tasks = id.wrapping_add(1);
    }

    /// The Job that a measurement makes, or made.
    fn job(&self, place: &Place, question: &Question) -> Option<ObjectKey> {
        question.metric.provider.job.as_ref()?;
        if let Some(before) = &question.before {
            return job_of(&before.metadata);
        }
        let Place {
            key, run, metric, ..
        } = place;
        let made = self.jobs.place(key, run.as_str(), metric, question.number);
        Some(ObjectKey::new(made.namespace.clone(), made.name()))
    }

    /// Gives up a measurement.
    pub fn cancel(&self, run: &Uid, metric: &str) {
        let mut state = self.lock();
        let known = state.runs.get_mut(run);
        if let Some(task) = known.and_then(|known| known.running.remove(metric)) {
            task.give_up();
        }
    }

    /// Metrics of a run that are being measured, each with the time since when it is asked, by the clock as it is set `at`, or
    /// none while it waits for its turn; and measurements that ended and are not in its status yet: both at one moment, so
    /// that none is in neither.
    pub fn under_way(
        &self,
        run: &Uid,
        at: Moment,
    ) -> (BTreeMap<String, Option<Timestamp>>, Vec<Finished>) {
        let state = self.lock();
        let Some(known) = state.runs.get(run) else {
            return <_>::default();
        };
        let running = known.running.iter();
        let asked = |task: &Task| task.asked.map(|asked| by_clock_of(asked, at));
        let in_flight = running.map(|(metric, task)| (metric.clone(), asked(task)));
        (in_flight.collect(), known.finished.clone())
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

    /// Whether it counts: one that was given up meanwhile does not.
    fn finish(&self, place: &Place, finished: Finished) -> bool {
        let mut state = self.lock();
        let Some(known) = state.runs.get_mut(&place.run) else {
            return false;
        };
        let task = known.running.get(&place.metric);
        if task.is_none_or(|task| task.id != place.id) {
            return false;
        }
        known.running.remove(&place.metric);
        known.finished.push(finished);
        true
    }

    /// Its turn has come; not when it was given up just now.
    fn asks(&self, place: &Place) -> bool {
        let mut state = self.lock();
        let known = state.runs.get_mut(&place.run);
        let task = known.and_then(|known| known.running.get_mut(&place.metric));
        let task = task.filter(|task| task.id == place.id);
        task.map(|task| task.asked = Some(Moment::read())).is_some()
    }

    /// One leg; what takes too long, or panics, is an error like any other.
    async fn measure_in_time(&self, place: &Place, question: Question) -> Finished {
        let before = question.before.as_ref();
        let begun = before.and_then(|before| before.started_at);
        let begun = begun.map_or_else(Timestamp::now, StatusTime::timestamp);
        let leg = AssertUnwindSafe(self.measure(place, question)).catch_unwind();
        let why = match tokio::time::timeout(self.longest, leg).await {
            Ok(Ok(finished)) => return finished,
            Ok(Err(_)) => "measuring it panicked: report this as a bug".to_owned(),
            Err(_) => format!(
                "it was not measured within {} s, the wait for its turn included: look at the provider",
                self.longest.as_secs()
            ),
        };
        let message = format!("metric {:?}: {why}", place.metric);
        tracing::warn!(run = %place.key, message);
        finished(place.metric.clone(), begun, Outcome::error(message))
    }

    async fn measure(&self, place: &Place, question: Question) -> Finished {
        let Place { key, run, .. } = place;
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
            let job = self.jobs.place(key, run.as_str(), &name, number);
            let before = memory.map(|memory| (memory, begun));
            // Boxed: it would take room in every measurement that waits for a server.
            Box::pin(self.of_job(place, metric, &secrets, &job, before)).await
        } else {
            self.ask(place, metric, &secrets, memory).await
        };
        finished(name, begun.unwrap_or(now), outcome)
    }

    /// Makes a Job, or looks at the one that was made before.
    async fn of_job(
        &self,
        place: &Place,
        metric: Box<Metric>,
        secrets: &[(String, SecretKeyRef)],
        job: &JobPlace,
        before: Option<Before>,
    ) -> (Timestamp, Outcome) {
        let _slot = self.job_slots.acquire().await;
        let now = Timestamp::now();
        let namespace = &place.key.namespace;
        let outcome = match before {
            _ if !self.asks(place) => Outcome::error(GIVEN_UP.to_owned()),
            Some((memory, begun)) => self.jobs.look(&memory, begun.unwrap_or(now)).await,
            None => match self.asker.fill(metric, secrets, namespace).await {
                Ok(filled) => self.jobs.begin(filled.metric(), job).await,
                Err(message) => Outcome::error(message),
            },
        };
        (now, outcome)
    }

    /// Asks a server, when there is a slot for it.
    async fn ask(
        &self,
        place: &Place,
        metric: Box<Metric>,
        secrets: &[(String, SecretKeyRef)],
        memory: Option<BTreeMap<String, String>>,
    ) -> (Timestamp, Outcome) {
        let namespace = &place.key.namespace;
        // Secrets come from the API server, which no slot is for.
        let filled = match self.asker.fill(metric, secrets, namespace).await {
            Ok(filled) => filled,
            Err(message) => return (Timestamp::now(), Outcome::error(message)),
        };
        let server = server(filled.metric(), self.asker.environment());
        let _slot = self.slots.acquire(&server, namespace).await;
        let now = Timestamp::now();
        if !self.asks(place) {
            return (now, Outcome::error(GIVEN_UP.to_owned()));
        }
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
