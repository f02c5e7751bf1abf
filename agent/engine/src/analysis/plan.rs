//! What is to be done about a run, and why not more.
//!
//! In: nothing. Out: the plan's types and their words. It must not decide.

use std::fmt;

use agent_api::{AnalysisPhase, AnalysisRunStatus, Measurement, Metric};
use jiff::Timestamp;

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Plan {
    /// In order.
    pub actions: Vec<Action>,
    /// The whole status.
    pub status: AnalysisRunStatus,
    /// Why this plan and not more.
    pub reasons: Vec<Reason>,
    /// When to look again although nothing changed.
    pub wake: Option<Timestamp>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Measure now.
    Measure {
        /// Its place in `spec.metrics`.
        metric: usize,
        /// The metric with its arguments filled in.
        resolved: Box<Metric>,
    },
    /// Go on with a measurement for which the provider needed time.
    Resume {
        /// Its place in `spec.metrics`.
        metric: usize,
        /// The metric with its arguments filled in.
        resolved: Box<Metric>,
        /// The measurement as it stands in the status.
        measurement: Box<Measurement>,
    },
    /// Have the provider end a measurement for which it needed time, such as a Job.
    Terminate {
        /// Its place in `spec.metrics`.
        metric: usize,
        /// The metric with its arguments filled in.
        resolved: Box<Metric>,
        /// The measurement as it stands in the status.
        measurement: Box<Measurement>,
    },
    /// Give up a measurement that is under way.
    Cancel {
        /// The metric.
        metric: String,
    },
    /// Delete the run: its time to live is over.
    DeleteRun,
}

/// Why a plan is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The run cannot be carried out.
    Unusable {
        /// What is wrong.
        why: String,
    },
    /// A measurement is under way.
    Measuring {
        /// The metric.
        metric: String,
    },
    /// The next measurement has its time.
    NextAt {
        /// The metric.
        metric: String,
        /// Its time.
        at: Timestamp,
    },
    /// Somebody ended the run.
    Terminated,
    /// The run is over.
    Over {
        /// As what.
        phase: AnalysisPhase,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable { why } => write!(f, "cannot be carried out: {why}"),
            Self::Measuring { metric } => write!(f, "metric {metric:?} is being measured"),
            Self::NextAt { metric, at } => write!(f, "metric {metric:?} is measured next at {at}"),
            Self::Terminated => f.write_str("the run was ended by request"),
            Self::Over { phase } => write!(f, "the run is over: {phase}"),
        }
    }
}
