//! Metrics, under the names that existing alerts use.
//!
//! In: what happened, and the caches at scrape time. Out: Prometheus text. It must not grow with time: everything with an
//! object's name in its labels is made anew at each scrape from what is there.

use std::time::Duration;

use agent_api::{AnalysisRun, Phase, Rollout};
use agent_engine::EventKind;
use prometheus::core::Collector;
use prometheus::{
    Encoder as _, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};

use crate::cache::Caches;
use crate::key::ObjectKey;

/// Buckets of reconcile times: a pass without writes takes microseconds, with writes tens of milliseconds.
const BUCKETS: [f64; 8] = [0.0001, 0.001, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];

/// Why metrics cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name or label is wrong.
    #[error("metrics cannot be registered: {0}; report this as a bug")]
    Register(#[from] prometheus::Error),
}

/// The counters; clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconcile: HistogramVec,
    reconcile_error: IntCounterVec,
    events: IntCounterVec,
    events_dropped: IntCounter,
    conflicts: IntCounter,
    behind: IntCounter,
    violations: IntCounterVec,
    undecodable: IntCounter,
    hub_connected: IntGauge,
    queue_depth: IntGauge,
}

impl Metrics {
    /// All metrics, at nought.
    pub fn new() -> Result<Self, Error> {
        let counter = |name: &str, help: &str| IntCounter::new(name, help);
        let counters = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let times = HistogramOpts::new(
            "rollout_reconcile",
            "Rollout reconciliation time in seconds",
        )
        .buckets(BUCKETS.to_vec());
        let metrics = Self {
            registry: Registry::new(),
            reconcile: HistogramVec::new(times, &["kind"])?,
            reconcile_error: counters(
                "rollout_reconcile_error",
                "Reconciliations that failed",
                &["kind"],
            )?,
            events: counters(
                "rollout_events_total",
                "Events by type and reason",
                &["type", "reason"],
            )?,
            events_dropped: counter(
                "groundswell_events_dropped_total",
                "Events that did not fit into the queue",
            )?,
            conflicts: counter(
                "groundswell_write_conflicts_total",
                "Writes that found the object changed",
            )?,
            behind: counter(
                "groundswell_stale_reconcile_skips_total",
                "Decisions put off until the cache shows our own write",
            )?,
            violations: counters(
                "groundswell_audit_violations_total",
                "Plans that break an invariant",
                &["rule"],
            )?,
            undecodable: counter(
                "groundswell_undecodable_objects_total",
                "Objects that could not be decoded",
            )?,
            hub_connected: IntGauge::new(
                "groundswell_hub_connected",
                "Whether the stream to the hub is up",
            )?,
            queue_depth: IntGauge::new(
                "workqueue_depth",
                "Objects that wait to be reconciled or are being",
            )?,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let all: [Box<dyn Collector>; 10] = [
            Box::new(self.reconcile.clone()),
            Box::new(self.reconcile_error.clone()),
            Box::new(self.events.clone()),
            Box::new(self.events_dropped.clone()),
            Box::new(self.conflicts.clone()),
            Box::new(self.behind.clone()),
            Box::new(self.violations.clone()),
            Box::new(self.undecodable.clone()),
            Box::new(self.hub_connected.clone()),
            Box::new(self.queue_depth.clone()),
        ];
        all.into_iter()
            .try_for_each(|one| self.registry.register(one))
    }

    /// A pass took so long.
    pub fn reconciled(&self, kind: &'static str, took: Duration) {
        self.reconcile
            .with_label_values(&[kind])
            .observe(took.as_secs_f64());
    }

    /// A pass failed.
    pub fn failed(&self, kind: &'static str) {
        self.reconcile_error.with_label_values(&[kind]).inc();
    }

    /// An event was told.
    pub fn event(&self, kind: EventKind, reason: &str) {
        self.events
            .with_label_values(&[kind.to_string().as_str(), reason])
            .inc();
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

    /// Everything as text.
    pub fn scrape(&self, caches: &Caches, depth: usize) -> Result<Vec<u8>, Error> {
        self.queue_depth
            .set(i64::try_from(depth).unwrap_or(i64::MAX));
        let mut families = self.registry.gather();
        families.extend(objects(caches)?);
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(text)
    }
}

/// What is there now, object by object.
fn objects(caches: &Caches) -> Result<Vec<prometheus::proto::MetricFamily>, prometheus::Error> {
    let gauge =
        |name: &str, help: &str, labels: &[&str]| GaugeVec::new(Opts::new(name, help), labels);
    let named = ["name", "namespace"];
    let info = gauge(
        "rollout_info",
        "A Rollout",
        &["name", "namespace", "strategy", "traffic_router", "phase"],
    )?;
    let phases = gauge(
        "rollout_phase",
        "The phase of a Rollout",
        &["name", "namespace", "strategy", "phase"],
    )?;
    let replicas = [
        gauge("rollout_info_replicas_available", "Available pods", &named)?,
        gauge(
            "rollout_info_replicas_unavailable",
            "Pods that are not available",
            &named,
        )?,
        gauge("rollout_info_replicas_desired", "Pods wanted", &named)?,
        gauge(
            "rollout_info_replicas_updated",
            "Pods of the newest version",
            &named,
        )?,
    ];
    let runs = gauge(
        "analysis_run_info",
        "An AnalysisRun",
        &["name", "namespace", "phase"],
    )?;
    for found in caches.rollouts.all() {
        let Ok(rollout) = &found.object else { continue };
        let key = ObjectKey::of(&rollout.metadata);
        let labels = [key.name.as_str(), key.namespace.as_str()];
        let (strategy, phase) = (strategy(rollout), phase(rollout));
        let [name, namespace] = labels;
        info.with_label_values(&[name, namespace, strategy, "", phase])
            .set(1.0);
        phases
            .with_label_values(&[name, namespace, strategy, phase])
            .set(1.0);
        for (gauge, count) in replicas.iter().zip(counts(rollout)) {
            gauge.with_label_values(&labels).set(f64::from(count));
        }
    }
    for found in caches.runs.all() {
        let Ok(run) = &found.object else { continue };
        let key = ObjectKey::of(&run.metadata);
        runs.with_label_values(&[key.name.as_str(), key.namespace.as_str(), run_phase(run)])
            .set(1.0);
    }
    let mut families = info.collect();
    families.extend(phases.collect());
    families.extend(replicas.iter().flat_map(Collector::collect));
    families.extend(runs.collect());
    Ok(families
        .into_iter()
        .filter(|family| !family.get_metric().is_empty())
        .collect())
}

fn strategy(rollout: &Rollout) -> &'static str {
    if rollout.spec.strategy.blue_green.is_some() {
        "blueGreen"
    } else {
        "canary"
    }
}

fn phase(rollout: &Rollout) -> &'static str {
    rollout
        .status
        .as_ref()
        .and_then(|status| status.phase)
        .map_or("Unknown", Phase::as_str)
}

fn run_phase(run: &AnalysisRun) -> &'static str {
    run.status
        .as_ref()
        .and_then(|status| status.phase)
        .map_or("Pending", agent_api::AnalysisPhase::as_str)
}

fn counts(rollout: &Rollout) -> [i32; 4] {
    let status = rollout.status.clone().unwrap_or_default();
    let (all, available) = (
        status.replicas.unwrap_or(0),
        status.available_replicas.unwrap_or(0),
    );
    let wanted = rollout.spec.replicas.unwrap_or(1);
    [
        available,
        all.saturating_sub(available).max(0),
        wanted,
        status.updated_replicas.unwrap_or(0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_the_names_that_alerts_use() {
        let metrics = Metrics::new().unwrap();
        metrics.failed("Rollout");
        metrics.event(EventKind::Warning, "RolloutAborted");
        metrics.reconciled("Rollout", Duration::from_millis(3));
        let text = String::from_utf8(metrics.scrape(&Caches::default(), 2).unwrap()).unwrap();
        for line in [
            "rollout_reconcile_error{kind=\"Rollout\"} 1",
            "rollout_events_total{reason=\"RolloutAborted\",type=\"Warning\"} 1",
            "rollout_reconcile_count{kind=\"Rollout\"} 1",
            "workqueue_depth 2",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
