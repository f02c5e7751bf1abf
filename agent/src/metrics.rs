//! Metrics, under the names that existing alerts use.
//!
//! In: what happened, and the caches at scrape time. Out: Prometheus text. It must not grow with time: what is known of an
//! object is made anew at each scrape from what is there, and counters with an object's name go a minute after it.

mod objects;
pub mod requests;
mod runs;
mod tally;
mod workqueue;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_api::RolloutDuration;
use agent_engine::EventKind;
use agent_engine::pass::duration::Completion;
use jiff::Timestamp;
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};

use self::workqueue::Workqueue;
use crate::cache::Caches;
use crate::key::ObjectKey;
use crate::queue::Load;
use tally::Tally;

/// Buckets of whole updates.
const UPDATE: [f64; 11] = [
    30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0,
];
/// Buckets of updates without the time that people kept them waiting.
const PROGRESSION: [f64; 8] = [30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0];
/// Buckets of that time.
const MANUAL_PAUSE: [f64; 9] = [
    0.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0,
];
/// Counters of an object that is gone are scraped once more before they go.
const LINGER: Duration = Duration::from_secs(65);
/// Labels of everything that is about one object.
const NAMED: [&str; 2] = ["namespace", "name"];

/// Why metrics cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name or label is wrong.
    #[error("metrics cannot be registered: {0}; report this as a bug")]
    Register(#[from] prometheus::Error),
    /// Text cannot be written.
    #[error("metrics cannot be written: {0}; report this as a bug")]
    Write(#[from] std::fmt::Error),
}

/// A kind that has passes of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passes {
    /// Rollouts.
    Rollout,
    /// AnalysisRuns.
    AnalysisRun,
    /// Experiments.
    Experiment,
}

impl Passes {
    /// The name of its queue.
    fn queue(self) -> &'static str {
        match self {
            Self::Rollout => "Rollouts",
            Self::AnalysisRun => "AnalysisRuns",
            Self::Experiment => "Experiments",
        }
    }
}

/// Updates by how they ended.
#[derive(Clone)]
struct Updates {
    whole: HistogramVec,
    progression: HistogramVec,
    manual_pause: HistogramVec,
}

/// The counters; clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    rollouts: Arc<Tally>,
    runs: Arc<Tally>,
    experiments: Arc<Tally>,
    queue: Workqueue,
    updates: Updates,
    requests: IntCounterVec,
    events_dropped: IntCounter,
    conflicts: IntCounter,
    behind: IntCounter,
    violations: IntCounterVec,
    undecodable: IntCounter,
    hub_connected: IntGauge,
    gone: Arc<Mutex<VecDeque<(Instant, Passes, ObjectKey)>>>,
}

/// Makes and registers.
struct Maker(Registry);

impl Maker {
    fn put<C: Collector + Clone + 'static>(
        &self,
        made: Result<C, prometheus::Error>,
    ) -> Result<C, prometheus::Error> {
        let made = made?;
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.put(IntCounter::new(name, help))
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.put(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn times(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.put(HistogramVec::new(options, labels))
    }

    fn updates(&self) -> Result<Updates, prometheus::Error> {
        let of =
            |name: &str, help: &str, buckets: &[f64]| self.times(name, help, &["status"], buckets);
        Ok(Updates {
            whole: of(
                "rollout_duration_seconds",
                "Seconds from the beginning of an update to its end",
                &UPDATE,
            )?,
            progression: of(
                "rollout_progression_duration_seconds",
                "The same without the time that people kept it waiting",
                &PROGRESSION,
            )?,
            manual_pause: of(
                "rollout_manual_pause_duration_seconds",
                "Seconds that people kept an update waiting",
                &MANUAL_PAUSE,
            )?,
        })
    }

    /// What this program is.
    fn program(&self) -> Result<(), prometheus::Error> {
        let version = env!("CARGO_PKG_VERSION");
        let info = Opts::new("argo_rollouts_controller_info", "The running version")
            .const_label("version", version);
        self.put(Gauge::with_opts(info))?.set(1.0);
        // Labels as existing dashboards have them; there is no Go here.
        let build = Opts::new("build_info", "What this program was built from");
        let labels = ["version", "goversion", "goarch", "commit"];
        let build = self.put(GaugeVec::new(build, &labels))?;
        build
            .with_label_values(&[version, "", std::env::consts::ARCH, ""])
            .set(1.0);
        Ok(())
    }
}

impl Metrics {
    /// All metrics, at nought.
    pub fn new() -> Result<Self, Error> {
        let make = Maker(Registry::new());
        make.program()?;
        let connected = IntGauge::new(
            "groundswell_hub_connected",
            "Whether the stream to the hub is up",
        );
        Ok(Self {
            rollouts: Arc::default(),
            runs: Arc::default(),
            experiments: Arc::default(),
            queue: Workqueue::new(&make)?,
            updates: make.updates()?,
            requests: make.counters(
                "controller_clientset_k8s_request_total",
                "Requests to the API server by kind, verb and answer",
                &["kind", "namespace", "name", "verb", "status_code"],
            )?,
            events_dropped: make.counter(
                "groundswell_events_dropped_total",
                "Events that did not fit into the queue",
            )?,
            conflicts: make.counter(
                "groundswell_write_conflicts_total",
                "Writes that found the object changed",
            )?,
            behind: make.counter(
                "groundswell_stale_reconcile_skips_total",
                "Decisions put off until the cache shows our own write",
            )?,
            violations: make.counters(
                "groundswell_audit_violations_total",
                "Plans that break an invariant",
                &["rule"],
            )?,
            undecodable: make.counter(
                "groundswell_undecodable_objects_total",
                "Objects that could not be decoded",
            )?,
            hub_connected: make.put(connected)?,
            gone: Arc::default(),
            registry: make.0,
        })
    }

    fn of(&self, kind: Passes) -> &Tally {
        match kind {
            Passes::Rollout => &self.rollouts,
            Passes::AnalysisRun => &self.runs,
            Passes::Experiment => &self.experiments,
        }
    }

    /// Counts requests to the API server.
    #[must_use]
    pub fn counting(&self) -> requests::Counting {
        requests::Counting(self.requests.clone())
    }

    /// An object was taken from the queue after so long.
    pub fn taken(&self, kind: Passes, waited: Duration) {
        self.queue.taken(kind.queue(), waited);
    }

    /// A pass took so long.
    pub fn reconciled(&self, kind: Passes, key: &ObjectKey, took: Duration) {
        self.of(kind).reconciled(key, took);
        self.queue.worked(kind.queue(), took);
    }

    /// A pass failed, and is made again.
    pub fn failed(&self, kind: Passes, key: &ObjectKey) {
        self.of(kind).failed(key);
    }

    /// A pass is made again.
    pub fn again(&self, kind: Passes) {
        self.queue.again(kind.queue());
    }

    /// An object is gone: its counters go after the next scrapes.
    pub fn gone(&self, kind: Passes, key: &ObjectKey) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if !gone
            .iter()
            .any(|(_, of, known)| *of == kind && known == key)
        {
            gone.push_back((Instant::now(), kind, key.clone()));
        }
    }

    /// An event was told of an object of a kind.
    pub fn event(&self, about: &str, key: &ObjectKey, kind: EventKind, reason: &str) {
        if about == "Rollout" {
            self.rollouts.event(key, kind, reason);
        }
    }

    /// An event did not fit.
    pub fn event_dropped(&self) {
        self.events_dropped.inc();
    }

    /// A write found the object changed.
    pub fn conflict(&self) {
        self.conflicts.inc();
    }

    /// A decision was put off.
    pub fn behind(&self) {
        self.behind.inc();
    }

    /// A plan breaks a rule.
    pub fn violation(&self, rule: &str) {
        self.violations.with_label_values(&[rule]).inc();
    }

    /// An object could not be decoded.
    pub fn undecodable(&self) {
        self.undecodable.inc();
    }

    /// The stream is up, or not.
    pub fn hub_connected(&self, up: bool) {
        self.hub_connected.set(i64::from(up));
    }

    /// Counts an update that has ended, or that a newer one took the place of.
    pub fn update_ended(
        &self,
        before: Option<&RolloutDuration>,
        after: Option<&RolloutDuration>,
        now: Timestamp,
    ) {
        let began = |one: Option<&RolloutDuration>| one.and_then(|one| one.rollout_started_at);
        let ended = |one: Option<&RolloutDuration>| one.and_then(|one| one.finished_at);
        if let Some(before) = before.filter(|before| {
            before.finished_at.is_none() && began(after) != before.rollout_started_at
        }) {
            self.update(before, Completion::Superseded.as_str(), now);
        }
        if let Some(after) = after
            && let (Some(finished), Some(word)) = (after.finished_at, &after.completion_status)
            && (ended(before) != Some(finished) || began(before) != after.rollout_started_at)
        {
            self.update(after, word, finished.timestamp());
        }
    }

    fn update(&self, duration: &RolloutDuration, word: &str, end: Timestamp) {
        let Some(began) = duration.rollout_started_at else {
            return;
        };
        let seconds = |from: Timestamp| end.duration_since(from).as_secs_f64().max(0.0);
        let whole = seconds(began.timestamp());
        let total = duration.total_manual_pause_duration_seconds.unwrap_or(0);
        let total = Duration::from_secs(u64::try_from(total).unwrap_or(0)).as_secs_f64();
        let open = duration
            .manual_pause_started_at
            .map_or(0.0, |since| seconds(since.timestamp()));
        let manual = total + open;
        let status = [word];
        self.updates.whole.with_label_values(&status).observe(whole);
        self.updates
            .progression
            .with_label_values(&status)
            .observe((whole - manual).max(0.0));
        self.updates
            .manual_pause
            .with_label_values(&status)
            .observe(manual);
    }

    /// Everything as text.
    pub fn scrape(&self, caches: &Caches, load: (Load, Load, Load)) -> Result<Vec<u8>, Error> {
        self.sweep(caches, Instant::now());
        for (kind, load) in [
            (Passes::Rollout, load.0),
            (Passes::AnalysisRun, load.1),
            (Passes::Experiment, load.2),
        ] {
            self.queue.show(kind.queue(), load);
        }
        let mut families = self.registry.gather();
        families.extend(objects::families(caches)?);
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = String::new();
        TextEncoder::new().encode_utf8(&families, &mut text)?;
        drop(families);
        runs::write(caches, &mut text)?;
        self.rollouts.write("rollout", "a Rollout", &mut text)?;
        self.runs
            .write("analysis_run", "an AnalysisRun", &mut text)?;
        self.experiments
            .write("experiment", "an Experiment", &mut text)?;
        Ok(text.into_bytes())
    }

    /// Drops the counters of what has been gone for a while and was not made again.
    pub fn sweep(&self, caches: &Caches, now: Instant) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, kind, key)) = gone
            .front()
            .filter(|(since, _, _)| now.saturating_duration_since(*since) >= LINGER)
            .cloned()
        {
            gone.pop_front();
            let there = match kind {
                Passes::Rollout => caches.rollouts.has(&key),
                Passes::AnalysisRun => caches.runs.has(&key),
                Passes::Experiment => caches.experiments.has(&key),
            };
            if there {
                continue;
            }
            self.of(kind).forget(&key);
        }
    }
}

#[cfg(test)]
mod tests;
