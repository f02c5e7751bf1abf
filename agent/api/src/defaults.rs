//! What holds when a field is not written.
//!
//! In: specs as written. Out: accessors that never come back empty. Must not touch: the specs, into which no default
//! is ever written.

use jiff::SignedDuration;

use crate::analysis::Metric;
use crate::intstr::{self, IntOrString};
use crate::provider::PrometheusMetric;
use crate::rollout::RolloutSpec;
use crate::strategy::{CanaryStrategy, StepAnalysis};

// The values that manifests written for this API rely on.
const REPLICAS: i32 = 1;
const REVISION_HISTORY_LIMIT: i32 = 10;
const PROGRESS_DEADLINE_SECONDS: i32 = 600;
const RUN_HISTORY_LIMIT: i32 = 5;
const MAX_SURGE_PERCENT: &str = "25%";
const MAX_UNAVAILABLE_PERCENT: &str = "25%";
const CONSECUTIVE_ERROR_LIMIT: i32 = 4;
const PROMETHEUS_TIMEOUT_SECONDS: i64 = 30;
/// Measurements kept of a metric.
pub const MEASUREMENTS_KEPT: usize = 10;
/// Seconds between two attempts to measure after an error, whatever the metric's interval.
pub const ERROR_RETRY_SECONDS: i64 = 10;

impl RolloutSpec {
    /// Pods wanted; 1 by default.
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(REPLICAS)
    }

    /// Seconds for which a ready pod must stay so; 0 by default.
    pub fn min_ready_seconds(&self) -> i32 {
        self.min_ready_seconds.unwrap_or(0)
    }

    /// Old ReplicaSets kept; 10 by default.
    pub fn revision_history_limit(&self) -> i32 {
        self.revision_history_limit
            .unwrap_or(REVISION_HISTORY_LIMIT)
    }

    /// Seconds without progress after which the rollout counts as stuck; 600 by default.
    pub fn progress_deadline_seconds(&self) -> i32 {
        self.progress_deadline_seconds
            .unwrap_or(PROGRESS_DEADLINE_SECONDS)
    }

    /// Whether it is aborted when stuck; not by default.
    pub fn progress_deadline_abort(&self) -> bool {
        self.progress_deadline_abort.unwrap_or(false)
    }

    /// Whether a person paused it; not by default.
    pub fn is_paused(&self) -> bool {
        self.paused.unwrap_or(false)
    }

    /// Successful runs kept; 5 by default.
    pub fn successful_run_history_limit(&self) -> i32 {
        self.analysis
            .as_ref()
            .and_then(|all| all.successful_run_history_limit)
            .unwrap_or(RUN_HISTORY_LIMIT)
    }

    /// Other finished runs kept; 5 by default.
    pub fn unsuccessful_run_history_limit(&self) -> i32 {
        self.analysis
            .as_ref()
            .and_then(|all| all.unsuccessful_run_history_limit)
            .unwrap_or(RUN_HISTORY_LIMIT)
    }
}

/// How many pods may be above and below the number wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenceposts {
    /// Pods above.
    pub surge: i32,
    /// Pods missing.
    pub unavailable: i32,
}

impl CanaryStrategy {
    /// The analysis in the background; charts write an empty list of templates where there is none.
    pub fn background(&self) -> Option<&StepAnalysis> {
        let written = self.analysis.as_ref();
        written.filter(|analysis| !analysis.templates.is_empty())
    }

    /// Pods above the wanted number; 25 % rounded up by default.
    pub fn surge(&self, replicas: i32) -> Result<i32, intstr::Error> {
        self.max_surge
            .clone()
            .unwrap_or_else(|| MAX_SURGE_PERCENT.into())
            .resolve_up(replicas)
    }

    /// Pods that may be missing; 25 % rounded down by default, and never more than are wanted.
    pub fn unavailable(&self, replicas: i32) -> Result<i32, intstr::Error> {
        let written = self
            .max_unavailable
            .clone()
            .unwrap_or_else(|| MAX_UNAVAILABLE_PERCENT.into());
        Ok(written.resolve_down(replicas)?.min(replicas))
    }

    /// Both; when rounding leaves neither, one pod may be missing, for else nothing could ever move.
    pub fn fenceposts(&self, replicas: i32) -> Result<Fenceposts, intstr::Error> {
        let surge = self.surge(replicas)?;
        let unavailable = self.unavailable(replicas)?;
        if surge == 0 && unavailable == 0 {
            return Ok(Fenceposts {
                surge: 0,
                unavailable: 1,
            });
        }
        Ok(Fenceposts { surge, unavailable })
    }
}

fn limit(written: Option<&IntOrString>, default: i32) -> Result<i32, intstr::Error> {
    written.map_or(Ok(default), IntOrString::as_int)
}

impl Metric {
    /// Measurements wanted: as written, else one without an interval; none (`None`) means without end.
    pub fn effective_count(&self) -> Result<Option<i32>, intstr::Error> {
        let written = limit(self.count.as_ref(), 0)?;
        Ok(match (written, &self.interval) {
            (0, None) => Some(1),
            (0, Some(_)) => None,
            (count, _) => Some(count),
        })
    }

    /// Failures borne; 0 by default, −1 for any number.
    pub fn failure_limit(&self) -> Result<i32, intstr::Error> {
        limit(self.failure_limit.as_ref(), 0)
    }

    /// Inconclusive measurements borne; 0 by default.
    pub fn inconclusive_limit(&self) -> Result<i32, intstr::Error> {
        limit(self.inconclusive_limit.as_ref(), 0)
    }

    /// Errors in a row borne; 4 by default.
    pub fn consecutive_error_limit(&self) -> Result<i32, intstr::Error> {
        limit(
            self.consecutive_error_limit.as_ref(),
            CONSECUTIVE_ERROR_LIMIT,
        )
    }

    /// Successes in a row that are enough; 0, which is off, by default.
    pub fn consecutive_success_limit(&self) -> Result<i32, intstr::Error> {
        limit(self.consecutive_success_limit.as_ref(), 0)
    }
}

impl PrometheusMetric {
    /// Time to wait for the answer; 30 s by default.
    pub fn timeout(&self) -> SignedDuration {
        SignedDuration::from_secs(self.timeout.unwrap_or(PROMETHEUS_TIMEOUT_SECONDS))
    }
}

#[cfg(test)]
mod tests;
