//! Metric providers and the conditions that judge their answers.
//!
//! In: a metric's question with its arguments filled in. Out: the value and what the conditions say of it. Building a
//! request, reading an answer and judging it are pure; `transport` alone does HTTP. It must not decide what follows
//! from a measurement: limits and verdicts of a run are the engine's.

pub mod condition;
pub mod judge;
pub mod prometheus;
pub mod transport;
pub mod value;

pub use judge::{Judgement, judge};
pub use prometheus::{Query, parse, request};
pub use transport::{Answer, Request, Transport};
pub use value::MetricValue;
