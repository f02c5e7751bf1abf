//! Jobs that are to end.
//!
//! In: Jobs of measurements that are given up, or whose run is gone. Out: each deleted, tried again within a limit, and its
//! run named in the queue. It must not hold up a worker, nor a verdict for ever: a cluster that does not answer keeps tasks
//! that wait, and what is left over there is for the sweep.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::Semaphore;

use crate::backoff::Backoff;
use crate::cache::Work;
use crate::job::Jobs;
use crate::key::ObjectKey;
use crate::queue::Queue;

/// How long the end of a run waits for the ends of its Jobs, its turn among them and all tries included: two answers of an
/// API server that does not answer. An abort waits for this at the most.
pub const LONGEST: Duration = Duration::from_secs(30);
/// Between tries.
const RETRY: Backoff = Backoff {
    first: Duration::from_millis(500),
    most: Duration::from_secs(5),
};

#[derive(Default)]
struct State {
    /// By run, whether each of its Jobs that are to end has ended, or was given up.
    ends: HashMap<ObjectKey, HashMap<ObjectKey, bool>>,
    /// By run, its open Jobs that no garbage collector ends with it.
    unowned: HashMap<ObjectKey, Vec<ObjectKey>>,
}

/// Jobs that are to end.
pub struct Ends {
    jobs: Arc<Jobs>,
    queue: Arc<Queue<Work>>,
    slots: Arc<Semaphore>,
    longest: Duration,
    state: Mutex<State>,
}

impl Ends {
    /// None yet; `slots` are those of all that is asked about Jobs.
    #[must_use]
    pub fn new(jobs: Arc<Jobs>, queue: Arc<Queue<Work>>, slots: Arc<Semaphore>) -> Self {
        Self {
            jobs,
            queue,
            slots,
            longest: LONGEST,
            state: Mutex::default(),
        }
    }

    /// Whether the Job of a run has ended, or would not within the limit. If not it is being ended, and the run is named in
    /// the queue then.
    pub fn ended(self: &Arc<Self>, run: &ObjectKey, job: &ObjectKey) -> bool {
        let mut state = self.lock();
        let known = state.ends.entry(run.clone()).or_default();
        if let Some(ended) = known.get(job) {
            return *ended;
        }
        known.insert(job.clone(), false);
        let (this, run, job) = (Arc::clone(self), run.clone(), job.clone());
        tokio::spawn(async move {
            this.end_in_time(&job).await;
            if let Some(ends) = this.lock().ends.get_mut(&run) {
                ends.insert(job, true);
            }
            this.queue.add(Work::Run(run));
        });
        false
    }

    /// Whether the Job of a run ends because we end it: what it says from then on is no measurement.
    #[must_use]
    pub fn ends(&self, run: &ObjectKey, job: &ObjectKey) -> bool {
        let state = self.lock();
        state
            .ends
            .get(run)
            .is_some_and(|ends| ends.contains_key(job))
    }

    /// Ends a Job that no run waits for.
    pub fn end(self: &Arc<Self>, job: ObjectKey) {
        let this = Arc::clone(self);
        tokio::spawn(async move { this.end_in_time(&job).await });
    }

    /// The run is over, and its status says so.
    pub fn forget(&self, run: &ObjectKey) {
        self.lock().ends.remove(run);
    }

    /// The open Jobs of a run; those that the garbage collector ends with it are none of them.
    pub fn holds(&self, run: &ObjectKey, jobs: impl Iterator<Item = ObjectKey>) {
        let unowned: Vec<ObjectKey> = jobs.filter(|job| !self.jobs.owns(run, job)).collect();
        let mut state = self.lock();
        match unowned.is_empty() {
            true => state.unowned.remove(run),
            false => state.unowned.insert(run.clone(), unowned),
        };
    }

    /// The run is gone, or on its way out: its Jobs elsewhere go too.
    pub fn gone(self: &Arc<Self>, run: &ObjectKey) {
        let unowned = {
            let mut state = self.lock();
            state.ends.remove(run);
            state.unowned.remove(run)
        };
        for job in unowned.into_iter().flatten() {
            self.end(job);
        }
    }

    async fn end_in_time(&self, job: &ObjectKey) {
        let tries = AssertUnwindSafe(self.try_to_end(job)).catch_unwind();
        match tokio::time::timeout(self.longest, tries).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tracing::error!(%job, "ending a Job panicked; report this as a bug"),
            Err(_) => tracing::warn!(
                %job,
                "a Job goes on after its measurement: it could not be deleted within {} s",
                self.longest.as_secs()
            ),
        }
    }

    async fn try_to_end(&self, job: &ObjectKey) {
        let mut failures = 0_u32;
        loop {
            let ended = {
                let _slot = self.slots.acquire().await;
                self.jobs.end(job).await
            };
            let Err(error) = ended else { return };
            if error.is_refused() {
                tracing::warn!(%job, %error, "a Job goes on after its measurement");
                return;
            }
            failures = failures.saturating_add(1);
            tracing::debug!(%job, %error, failures, "a Job is to end; trying again");
            tokio::time::sleep(RETRY.after(failures)).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
