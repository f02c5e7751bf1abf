//! The controllers: workers over one queue.
//!
//! In: keys of Rollouts and AnalysisRuns that something concerns. Out: one pass each, and the same key again when it
//! failed, when it is due, or when a lease ends. It must not let one object hurt the others: a pass that panics or hangs
//! is that object's failure alone.

mod leave;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_api::Rollout;
use agent_engine::EventKind;
use futures::FutureExt as _;
use jiff::Timestamp;
use kube::Api;

use crate::analysis_controller::AnalysisController;
use crate::apply::{self, Applied, Applier};
use crate::backoff::Backoff;
use crate::cache::{Work, service_rollout};
use crate::event::{About, News};
use crate::experiment_controller::ExperimentController;
use crate::key::ObjectKey;
use crate::lease_clock::Moment;
use crate::metrics::{Metrics, Passes};
use crate::observe::{self, Observer, uid_of};
use crate::queue::Queue;

/// Passes at a time. They mostly wait for the API server, which answers many at once.
const WORKERS: usize = 32;
/// How many of them AnalysisRuns may have: slow writes of theirs leave the other half to Rollouts, whose aborts cannot wait.
const WORKERS_FOR_RUNS: usize = WORKERS / 2;
/// With so much waiting or worked on the agent is behind its work.
const BACKLOG: usize = WORKERS * 2;
/// Longest pass: a handful of writes; beyond this the API server does not answer.
const PASS_LIMIT: Duration = Duration::from_secs(60);
/// After failures of an object.
const FAILED: Backoff = Backoff {
    first: Duration::from_millis(200),
    most: Duration::from_secs(30),
};
/// After a write that found the object changed: the watch will bring the change in a moment.
const STALE: Backoff = Backoff {
    first: Duration::from_millis(50),
    most: Duration::from_secs(5),
};
/// A decision that waits for the cache is looked at again, should the watch never bring what was written.
const BEHIND: Duration = Duration::from_secs(5);
/// Passes over a Rollout at the start that did not come to their end, before the hub is told of the others without it: a
/// conflict or a bad moment of the API server is over by then, and what is poisoned holds nobody up for more than seconds.
const FIRST_TRIES: u32 = 5;
/// So many failures in a row are told in an event: less is a bad moment of the API server.
const TOLD_AFTER: u32 = 5;
/// Reason of that event.
const RECONCILIATION_ERROR: &str = "ReconciliationError";
/// A wake-up in the past or too soon would spin.
const SHORTEST_WAKE: Duration = Duration::from_millis(20);

/// Why a pass did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Observe(#[from] observe::Error),
    #[error(transparent)]
    Apply(#[from] apply::Error),
    #[error("cannot look for the Rollout of a Service: {0}")]
    Manager(#[from] Box<kube::Error>),
    #[error("the pass panicked: {0}; the object is left alone for a while, report this as a bug")]
    Panicked(String),
    #[error("the pass took longer than {} s: the API server does not answer", PASS_LIMIT.as_secs())]
    TooLong,
}

impl Error {
    /// The sort of failure, in a word.
    fn sort(&self) -> &'static str {
        match self {
            Self::Observe(_) => "observe",
            Self::Apply(_) => "apply",
            Self::Manager(_) => "manager",
            Self::Panicked(_) => "panicked",
            Self::TooLong => "too-long",
        }
    }

    /// How long the API server asks to be left alone, if it does.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Apply(error) => error.retry_after(),
            Self::Observe(_) | Self::Manager(_) | Self::Panicked(_) | Self::TooLong => None,
        }
    }
}

/// What a pass came to.
pub(crate) enum Outcome {
    /// Look again then, or when something changes.
    Done(Option<Timestamp>),
    /// Begin again at once.
    Cut,
    /// Its cache is behind our own write.
    Behind,
}

/// The controllers.
pub struct Controller {
    /// Reads.
    pub observer: Observer,
    /// Writes.
    pub applier: Applier,
    /// AnalysisRuns.
    pub analysis: AnalysisController,
    /// Experiments.
    pub experiments: ExperimentController,
    /// What there is to do.
    pub queue: Arc<Queue<Work>>,
    /// Counters.
    pub metrics: Metrics,
    /// Failures in a row.
    pub failures: Mutex<HashMap<Work, u32>>,
    /// Rollouts of the first list that had no pass yet.
    pub first: FirstPass,
    /// A Rollout without any other reason is looked at so often: nothing is known to be missed, and it costs no request.
    pub resync: Duration,
}

/// The work queue of these controllers.
#[must_use]
pub fn work_queue() -> Queue<Work> {
    Queue::with_share(|work| matches!(work, Work::Run(_)), WORKERS_FOR_RUNS)
}

/// Counts the first pass over every Rollout there was at the start: the hub takes what it is told then for everything that
/// there is, so a pass counts that came to its end.
#[derive(Debug)]
pub struct FirstPass {
    /// With the passes that had to be begun again.
    left: Mutex<HashMap<ObjectKey, u32>>,
    count: AtomicUsize,
    done: tokio::sync::watch::Sender<bool>,
}

impl FirstPass {
    /// Waits for a pass over these.
    #[must_use]
    pub fn over(keys: Vec<ObjectKey>) -> Self {
        let done = tokio::sync::watch::Sender::new(keys.is_empty());
        Self {
            count: AtomicUsize::new(keys.len()),
            left: Mutex::new(keys.into_iter().map(|key| (key, 0)).collect()),
            done,
        }
    }

    /// A pass is over; `whole` when it came to its end, and need not be begun again.
    fn passed(&self, key: &ObjectKey, whole: bool) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = left.get_mut(key).map(|tries| {
            *tries = tries.saturating_add(1);
            *tries
        });
        if !whole && tries.is_some_and(|tries| tries < FIRST_TRIES) {
            return;
        }
        left.remove(key);
        self.count.store(left.len(), Ordering::Release);
        if left.is_empty() {
            self.done.send_replace(true);
        }
    }

    /// Waits until every one had its pass.
    pub async fn done(&self) {
        // The sender lives as long as this does, so this cannot fail.
        let _ = self.done.subscribe().wait_for(|done| *done).await;
    }
}

impl Controller {
    /// Works for ever.
    pub async fn run(self: Arc<Self>) {
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..WORKERS {
            let this = Arc::clone(&self);
            workers.spawn(async move {
                loop {
                    let (work, waited) = this.queue.next_timed().await;
                    if let Some(kind) = passes(&work) {
                        this.metrics.taken(kind, waited);
                    }
                    this.pass(&work).await;
                    this.queue.done(&work);
                }
            });
        }
        while workers.join_next().await.is_some() {}
    }

    async fn pass(&self, work: &Work) {
        let began = Instant::now();
        let limited = tokio::time::timeout(
            PASS_LIMIT,
            AssertUnwindSafe(self.reconcile(work)).catch_unwind(),
        )
        .await;
        let outcome = match limited {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(Error::Panicked(words(panic.as_ref()))),
            Err(_) => Err(Error::TooLong),
        };
        let (Work::Rollout(key) | Work::Run(key) | Work::Experiment(key) | Work::Service(key)) =
            work;
        if let Work::Rollout(key) = work {
            self.first
                .passed(key, matches!(outcome, Ok(Outcome::Done(_))));
        }
        if let Some(kind) = passes(work) {
            self.metrics.reconciled(kind, key, began.elapsed());
            if !self.knows(work) {
                self.metrics.gone(kind, key);
                self.metrics.sweep(&self.observer.caches, Instant::now());
            }
        }
        match outcome {
            Ok(Outcome::Done(wake)) => {
                self.forget_failures(work);
                self.wake(work, wake);
            }
            Ok(Outcome::Cut) => {
                self.forget_failures(work);
                self.wake(work, Some(Timestamp::now()));
            }
            Ok(Outcome::Behind) => {
                self.metrics.behind();
                self.again(work, BEHIND);
            }
            Err(error) => self.failed(work, &error),
        }
    }

    fn knows(&self, work: &Work) -> bool {
        match work {
            Work::Rollout(key) => self.observer.caches.rollouts.has(key),
            Work::Run(key) => self.observer.caches.runs.has(key),
            Work::Experiment(key) => self.observer.caches.experiments.has(key),
            Work::Service(key) => self.observer.caches.services.has(key),
        }
    }

    fn failed(&self, work: &Work, error: &Error) {
        let failures = self.count_failure(work);
        let (Work::Rollout(key) | Work::Run(key) | Work::Experiment(key) | Work::Service(key)) =
            work;
        let kind = passes(work);
        if let Some(kind) = kind {
            self.metrics.again(kind);
        }
        if let Error::Apply(stale) = error
            && stale.is_stale()
        {
            self.metrics.conflict();
            tracing::debug!(%key, ?kind, %error, "looking again");
            self.again(work, STALE.after(failures));
            return;
        }
        if let Some(kind) = kind {
            self.metrics.failed(kind, key);
        }
        tracing::warn!(%key, ?kind, failures, %error, "reconcile failed; trying again");
        if let Work::Rollout(key) = work
            && failures == TOLD_AFTER
        {
            self.tell_failure(key, error);
        }
        let asked = error.retry_after().unwrap_or(Duration::ZERO);
        self.again(work, FAILED.after(failures).max(asked));
    }

    /// An event for people who look at the Rollout and not at the log: one for each sort of failure of a generation.
    fn tell_failure(&self, key: &ObjectKey, error: &Error) {
        let Some(found) = self.observer.caches.rollouts.get(key) else {
            return;
        };
        let generation = found.metadata().generation.unwrap_or(0);
        self.applier.events.tell(News {
            about: About {
                kind: "Rollout",
                key: key.clone(),
                uid: uid_of(found.metadata()),
            },
            kind: EventKind::Warning,
            reason: RECONCILIATION_ERROR.to_owned(),
            message: error.to_string(),
            key: format!("{generation}.{}", error.sort()),
        });
    }

    async fn reconcile(&self, work: &Work) -> Result<Outcome, Error> {
        match work {
            Work::Rollout(key) => self.rollout(key).await,
            Work::Run(key) => Ok(Outcome::Done(self.analysis.reconcile(key).await?)),
            Work::Experiment(key) => self.experiment(key).await,
            Work::Service(key) => {
                self.service(key).await?;
                Ok(Outcome::Done(None))
            }
        }
    }

    async fn rollout(&self, key: &ObjectKey) -> Result<Outcome, Error> {
        let Some(found) = self.observer.caches.rollouts.get(key) else {
            self.applier.reports.removed(key, "");
            self.observer.workloads.forget(key);
            self.observer.status_times.forget(key);
            self.observer.moments.forget(key);
            return Ok(Outcome::Done(None));
        };
        let uid = uid_of(found.metadata());
        let version = found.metadata().resource_version.as_deref();
        if self.applier.written.is_behind(&uid, version) {
            return Ok(Outcome::Behind);
        }
        let rollout = match &found.object {
            Ok(rollout) => rollout,
            Err(error) => {
                self.metrics.undecodable();
                tracing::warn!(rollout = %key, %error, "Rollout cannot be decoded and is left alone: correct it");
                self.applier
                    .say_undecodable(&error.metadata, &error.why)
                    .await?;
                return Ok(Outcome::Done(None));
            }
        };
        self.applier.undecodable.forget(&uid);
        if rollout.metadata.deletion_timestamp.is_some() {
            return Ok(Outcome::Done(None));
        }
        let busy = self.queue.depth() > BACKLOG;
        let observed = self.observer.observe(rollout, Moment::read(), busy).await?;
        let plan = agent_engine::reconcile(&observed);
        for violation in agent_engine::audit(&observed, &plan) {
            self.metrics.violation(violation.rule);
            tracing::error!(rollout = %key, rule = violation.rule, detail = %violation.detail, "a plan breaks an invariant");
        }
        Ok(match self.applier.apply(&observed, plan).await? {
            Applied::Whole(wake) => Outcome::Done(wake),
            Applied::Cut => Outcome::Cut,
        })
    }

    /// A Service whose Rollout is gone is nobody's any more.
    async fn service(&self, key: &ObjectKey) -> Result<(), Error> {
        let caches = &self.observer.caches;
        let Some(found) = caches.services.get(key) else {
            return Ok(());
        };
        let Some(manager) = service_rollout(found.metadata()) else {
            return Ok(());
        };
        if caches.rollouts.has(&manager) {
            return Ok(());
        }
        // It may be another instance's, whose Rollouts no cache of ours has: the API server knows.
        let api: Api<Rollout> = Api::namespaced(self.observer.client.clone(), &manager.namespace);
        let known = api.get_metadata_opt(&manager.name).await;
        if known.map_err(Box::new)?.is_none() {
            self.applier.release_orphan(found.metadata()).await?;
        }
        Ok(())
    }

    /// Puts an object back for its own time, the end of its lease, or the resync.
    fn wake(&self, work: &Work, wake: Option<Timestamp>) {
        let at = Moment::read();
        let in_time = |then: Timestamp| {
            Duration::try_from(at.now.duration_until(then)).unwrap_or(Duration::ZERO)
        };
        let mut wait = wake.map(in_time).map(|wait| wait.max(SHORTEST_WAKE));
        if let Work::Rollout(key) = work {
            let ends = self.observer.fleet.leases(|leases| leases.ends(key, at));
            let lease = ends.map(|ends| ends.saturating_duration_since(at.mono).max(SHORTEST_WAKE));
            let known = self.observer.caches.rollouts.has(key);
            wait = [wait, lease, known.then_some(self.resync)]
                .into_iter()
                .flatten()
                .min();
        }
        if let Some(wait) = wait {
            self.again(work, wait);
        }
    }

    fn again(&self, work: &Work, wait: Duration) {
        let now = Instant::now();
        self.queue
            .add_at(work.clone(), now.checked_add(wait).unwrap_or(now));
    }

    fn count_failure(&self, work: &Work) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(work.clone()).or_insert(0);
        *count = count.saturating_add(1);
        *count
    }

    fn forget_failures(&self, work: &Work) {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(work);
    }
}

/// What is counted; a look at a Service is no pass.
fn passes(work: &Work) -> Option<Passes> {
    match work {
        Work::Rollout(_) => Some(Passes::Rollout),
        Work::Run(_) => Some(Passes::AnalysisRun),
        Work::Experiment(_) => Some(Passes::Experiment),
        Work::Service(_) => None,
    }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without words".to_owned())
}

#[cfg(test)]
mod hung_jobs;
#[cfg(test)]
mod refused_claim;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod workload_gone;
