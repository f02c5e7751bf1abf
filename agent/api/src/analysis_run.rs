//! AnalysisRun: metrics being measured, and what came out.
//!
//! In: the object's JSON. Out: typed results. Must not touch: measuring and judging.

use std::collections::BTreeMap;

use crate::analysis::{Argument, DryRun, MeasurementRetention, Metric};
use crate::names::{ROLLOUTS_GROUP, VERSION};
use crate::object::{ApiVersionOf, KindOf, Namespaced, ObjectMeta, Trim, kind, trim_metadata};
use crate::record::{record, words};
use crate::time::StatusTime;

words! {
    /// State of a run, a metric or a measurement, from best to worst: a run is as bad as its worst metric.
    pub enum AnalysisPhase {
        /// Good.
        Successful,
        /// Under way.
        Running,
        /// Not begun; some controllers write it as empty text.
        #[serde(alias = "")]
        Pending,
        /// Neither good nor bad.
        Inconclusive,
        /// Could not be measured.
        Error,
        /// Bad.
        Failed,
    }
}

impl AnalysisPhase {
    /// Whether nothing more will come.
    pub fn is_completed(self) -> bool {
        match self {
            Self::Successful | Self::Inconclusive | Self::Error | Self::Failed => true,
            Self::Running | Self::Pending => false,
        }
    }
}

record! {
    /// Metrics being measured, and what came out.
    pub struct AnalysisRun {
        /// Always `argoproj.io/v1alpha1`.
        pub api_version: ApiVersionOf<AnalysisRun>,
        /// Always `AnalysisRun`.
        pub kind: KindOf<AnalysisRun>,
        /// Metadata.
        pub metadata: ObjectMeta,
        /// What is measured.
        pub spec: AnalysisRunSpec,
        /// What came out.
        pub status: Option<AnalysisRunStatus>,
    }
}
kind!(
    AnalysisRun,
    Namespaced,
    ROLLOUTS_GROUP,
    VERSION,
    "AnalysisRun",
    "analysisruns"
);

impl Trim for AnalysisRun {
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
    }
}

record! {
    /// What a run measures.
    pub struct AnalysisRunSpec {
        /// The metrics.
        pub metrics: Vec<Metric>,
        /// Arguments, all with values or sources.
        pub args: Vec<Argument>,
        /// Stop now.
        pub terminate: Option<bool>,
        /// Metrics whose result does not count.
        pub dry_run: Vec<DryRun>,
        /// Measurements kept, by metric.
        pub measurement_retention: Vec<MeasurementRetention>,
        /// When the finished run is deleted.
        pub ttl_strategy: Option<TtlStrategy>,
    }
}

record! {
    /// When a finished run is deleted.
    pub struct TtlStrategy {
        /// After any end.
        pub seconds_after_completion: Option<i32>,
        /// After a failure.
        pub seconds_after_failure: Option<i32>,
        /// After a success.
        pub seconds_after_success: Option<i32>,
    }
}

record! {
    /// What came out of a run.
    pub struct AnalysisRunStatus {
        /// State of the run.
        pub phase: Option<AnalysisPhase>,
        /// Why.
        pub message: Option<String>,
        /// Results by metric.
        pub metric_results: Vec<MetricResult>,
        /// When it began.
        pub started_at: Option<StatusTime>,
        /// When it ended.
        pub completed_at: Option<StatusTime>,
        /// Metrics that count, by outcome.
        pub run_summary: Option<RunSummary>,
        /// Metrics that do not count, by outcome.
        pub dry_run_summary: Option<RunSummary>,
    }
}

record! {
    /// What came out of one metric.
    pub struct MetricResult {
        /// The metric's name.
        pub name: String,
        /// Its state.
        pub phase: Option<AnalysisPhase>,
        /// The last measurements.
        pub measurements: Vec<Measurement>,
        /// Why.
        pub message: Option<String>,
        /// Measurements without errors.
        pub count: Option<i32>,
        /// Successes.
        pub successful: Option<i32>,
        /// Failures.
        pub failed: Option<i32>,
        /// Inconclusive ones.
        pub inconclusive: Option<i32>,
        /// Errors.
        pub error: Option<i32>,
        /// Errors in a row up to now.
        pub consecutive_error: Option<i32>,
        /// Successes in a row up to now.
        pub consecutive_success: Option<i32>,
        /// Whether the result does not count.
        pub dry_run: Option<bool>,
        /// What the provider adds, such as the query as sent.
        pub metadata: BTreeMap<String, String>,
    }
}

record! {
    /// One measurement.
    pub struct Measurement {
        /// Its state.
        pub phase: Option<AnalysisPhase>,
        /// Why.
        pub message: Option<String>,
        /// When it began.
        pub started_at: Option<StatusTime>,
        /// When it ended.
        pub finished_at: Option<StatusTime>,
        /// What was measured, as text.
        pub value: Option<String>,
        /// What the provider adds.
        pub metadata: BTreeMap<String, String>,
        /// When to look again.
        pub resume_at: Option<StatusTime>,
    }
}

record! {
    /// Metrics by outcome.
    pub struct RunSummary {
        /// All.
        pub count: Option<i32>,
        /// Good.
        pub successful: Option<i32>,
        /// Bad.
        pub failed: Option<i32>,
        /// Neither.
        pub inconclusive: Option<i32>,
        /// Not measured.
        pub error: Option<i32>,
    }
}
