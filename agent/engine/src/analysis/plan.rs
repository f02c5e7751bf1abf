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
    /// Have the provider end a measurement for which it needed time, such as a Job. The planned status already says that it
    /// is ended: this comes before the plan is carried out or remembered, so that it is repeated when the program dies in
    /// between, or a pass is cut off.
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
    /// A provider needs time.
    ResumesAt {
        /// The metric.
        metric: String,
        /// When it is asked again.
        at: Timestamp,
    },
    /// The run is to end, and this answer could still change its verdict.
    LastAnswer {
        /// The metric.
        metric: String,
        /// Until then it is waited for.
        until: Timestamp,
    },
    /// The run ends without this answer.
    GivenUp {
        /// The metric.
        metric: String,
        /// When it was asked; none when it was not its turn yet.
        asked: Option<Timestamp>,
    },
    /// Somebody ended the run.
    Terminated,
    /// The run is over.
    Over {
        /// As what.
        phase: AnalysisPhase,
    },
    /// The run has lived its time; its owner is to know how it ended before it goes.
    OwnerFirst {
        /// When to look again.
        at: Timestamp,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable { why } => write!(f, "cannot be carried out: {why}"),
            Self::Measuring { metric } => write!(f, "metric {metric:?} is being measured"),
            Self::NextAt { metric, at } => write!(f, "metric {metric:?} is measured next at {at}"),
            Self::ResumesAt { metric, at } => {
                write!(
                    f,
                    "metric {metric:?} waits for its provider, which is asked again at {at}"
                )
            }
            Self::LastAnswer { metric, until } => write!(
                f,
                "the run ends when metric {metric:?} is measured, at {until} at the latest"
            ),
            Self::GivenUp {
                metric,
                asked: Some(at),
            } => write!(
                f,
                "the run ends without metric {metric:?}, which was asked at {at}"
            ),
            Self::GivenUp {
                metric,
                asked: None,
            } => write!(
                f,
                "the run ends without metric {metric:?}, which was not asked yet"
            ),
            Self::Terminated => f.write_str("the run was ended by request"),
            Self::Over { phase } => write!(f, "the run is over: {phase}"),
            Self::OwnerFirst { at } => write!(
                f,
                "the run is kept: its owner does not know yet how it ended; looking again at {at}"
            ),
        }
    }
}
