//! Measuring: the queries of AnalysisRuns, beside everything else.
//!
//! In: a metric with its arguments filled in. Out: a finished measurement, judged, and the run named in the queue. It
//! must not hold up a worker or another run: each measurement is a task of its own with a time limit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_api::{Metric, PrometheusMetric, Uid};
use agent_engine::analysis::Finished;
use agent_providers::{Judgement, Query, Transport, judge, parse, prometheus, request};
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::cache::Work;
use crate::key::ObjectKey;
use crate::queue::Queue;

/// Measurements at a time: each holds a connection.
const AT_A_TIME: usize = 32;
/// Longest time that a metric may ask for; a verdict that takes longer is none.
const MAX_TIMEOUT: Duration = Duration::from_secs(300);
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
    transport: Transport,
    /// Where to ask when a metric does not say.
    default_address: Option<String>,
    queue: Arc<Queue<Work>>,
    slots: Arc<Semaphore>,
    state: Mutex<State>,
}

impl Measurer {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(default_address: Option<String>, queue: Arc<Queue<Work>>) -> Self {
        let slots = Arc::new(Semaphore::new(AT_A_TIME));
        Self {
            transport: Transport::default(),
            default_address,
            queue,
            slots,
            state: Mutex::default(),
        }
    }

    /// Starts one measurement, unless it is under way.
    pub fn start(self: &Arc<Self>, key: &ObjectKey, run: &Uid, metric: Metric) {
        let place = (run.clone(), metric.name.clone());
        let mut state = self.lock();
        if state.running.contains_key(&place) {
            return;
        }
        // One that was made again under the same name before its end was seen.
        let before = state.runs.insert(key.clone(), run.clone());
        if let Some(before) = before.filter(|before| before != run) {
            state.forget(&before);
        }
        let (this, key, done) = (Arc::clone(self), key.clone(), place.clone());
        let task = tokio::spawn(async move {
            let finished = this.measure(metric).await;
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

    async fn measure(&self, metric: Metric) -> Finished {
        let _slot = self.slots.acquire().await;
        let started_at = Timestamp::now();
        let (judgement, value, metadata) = match metric.provider.prometheus.clone() {
            Some(prometheus) => self.ask_prometheus(&metric, &prometheus, started_at).await,
            None => (
                Judgement::error(no_provider(&metric)),
                None,
                BTreeMap::new(),
            ),
        };
        Finished {
            metric: metric.name,
            started_at,
            finished_at: Timestamp::now(),
            phase: judgement.phase,
            value,
            message: judgement.message,
            metadata,
        }
    }

    async fn ask_prometheus(
        &self,
        metric: &Metric,
        asked: &PrometheusMetric,
        now: Timestamp,
    ) -> (Judgement, Option<String>, BTreeMap<String, String>) {
        let metadata = BTreeMap::from([(
            "ResolvedPrometheusQuery".to_owned(),
            asked.query.clone().unwrap_or_default(),
        )]);
        let value = match self.prometheus_value(asked).await {
            Ok(value) => value,
            Err(message) => return (Judgement::error(message), None, metadata),
        };
        let judgement = judge(
            metric.success_condition.as_deref(),
            metric.failure_condition.as_deref(),
            &value,
            now,
        );
        let text: String = value.text().chars().take(MAX_VALUE).collect();
        (judgement, Some(text), metadata)
    }

    async fn prometheus_value(
        &self,
        asked: &PrometheusMetric,
    ) -> Result<agent_providers::MetricValue, String> {
        if asked.range_query.is_some() {
            return Err("rangeQuery is not built into this agent: use an instant query".to_owned());
        }
        if asked.authentication.is_some() {
            return Err("authentication is not built into this agent: use a header".to_owned());
        }
        let given = asked.address.clone().filter(|address| !address.is_empty());
        let address = given.or_else(|| self.default_address.clone()).ok_or(
            "the metric has no prometheus address, and the agent has no default (--prometheus-address)",
        )?;
        let seconds = asked
            .timeout
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0);
        let timeout = seconds
            .map_or(prometheus::DEFAULT_TIMEOUT, Duration::from_secs)
            .min(MAX_TIMEOUT);
        let headers = asked
            .headers
            .iter()
            .map(|header| (header.key.clone(), SecretString::from(header.value.clone())));
        let query = Query {
            address,
            query: asked.query.clone().unwrap_or_default(),
            timeout,
            headers: headers.collect(),
            insecure: asked.insecure.unwrap_or(false),
        };
        let request = request(&query).map_err(|error| error.to_string())?;
        let answer = self
            .transport
            .send(&request)
            .await
            .map_err(|error| error.to_string())?;
        parse(answer.status, &answer.body).map_err(|error| error.to_string())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_provider(metric: &Metric) -> String {
    match metric.provider.rest.keys().next() {
        Some(name) => format!(
            "metric {:?} asks {name}, which is not built into this agent: use prometheus",
            metric.name
        ),
        None => format!(
            "metric {:?} names no provider: give it prometheus",
            metric.name
        ),
    }
}

#[cfg(test)]
mod tests;
