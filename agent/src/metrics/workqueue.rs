//! The work queue, under client-go's names.
//!
//! In: what was taken, worked on and made again; how much there is. Out: counters, times and gauges by the queue's name. It
//! must not look into the queue.

use std::time::Duration;

use prometheus::{Error, GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, Opts};

use super::Maker;
use crate::queue::Load;

/// Buckets of the times of the queue, in powers of ten as client-go has them.
const QUEUE: [f64; 10] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0];

/// All of it; clones share it.
#[derive(Clone)]
pub(super) struct Workqueue {
    depth: IntGaugeVec,
    unfinished: GaugeVec,
    longest: GaugeVec,
    adds: IntCounterVec,
    retries: IntCounterVec,
    waited: HistogramVec,
    worked: HistogramVec,
}

impl Workqueue {
    pub(super) fn new(make: &Maker) -> Result<Self, Error> {
        let name = ["name"];
        let depth = Opts::new("workqueue_depth", "Objects that wait or are worked on");
        let unfinished = Opts::new(
            "workqueue_unfinished_work_seconds",
            "Seconds that what is worked on now has taken so far",
        );
        let longest = Opts::new(
            "workqueue_longest_running_processor_seconds",
            "Seconds that the longest of them has taken",
        );
        let adds = "Objects that were taken from the queue";
        Ok(Self {
            depth: make.put(IntGaugeVec::new(depth, &name))?,
            unfinished: make.put(GaugeVec::new(unfinished, &name))?,
            longest: make.put(GaugeVec::new(longest, &name))?,
            adds: make.counters("workqueue_adds_total", adds, &name)?,
            retries: make.counters(
                "workqueue_retries_total",
                "Passes that are made again",
                &name,
            )?,
            waited: make.times(
                "workqueue_queue_duration_seconds",
                "Seconds that an object waited",
                &name,
                &QUEUE,
            )?,
            worked: make.times(
                "workqueue_work_duration_seconds",
                "Seconds that an object was worked on",
                &name,
                &QUEUE,
            )?,
        })
    }

    pub(super) fn taken(&self, name: &str, waited: Duration) {
        let name = [name];
        self.adds.with_label_values(&name).inc();
        let waited = waited.as_secs_f64();
        self.waited.with_label_values(&name).observe(waited);
    }

    pub(super) fn worked(&self, name: &str, took: Duration) {
        let took = took.as_secs_f64();
        self.worked.with_label_values(&[name]).observe(took);
    }

    pub(super) fn again(&self, name: &str) {
        self.retries.with_label_values(&[name]).inc();
    }

    pub(super) fn show(&self, name: &str, load: Load) {
        let name = [name];
        let depth = i64::try_from(load.depth).unwrap_or(i64::MAX);
        self.depth.with_label_values(&name).set(depth);
        let unfinished = load.unfinished.as_secs_f64();
        self.unfinished.with_label_values(&name).set(unfinished);
        let longest = load.longest.as_secs_f64();
        self.longest.with_label_values(&name).set(longest);
    }
}
