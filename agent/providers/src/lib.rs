//! Metric providers and the conditions that judge their answers.
//!
//! In: a metric's question with its arguments filled in. Out: the value and what the conditions say of it. Building a
//! request, reading an answer and judging it are pure, one file a provider; `transport` alone does HTTP, and `ask` leads a
//! conversation with it. It must not decide what follows from a measurement: limits and verdicts of a run are the engine's.

mod address;
pub mod ask;
pub mod auth;
pub mod cloudwatch;
pub mod condition;
pub mod datadog;
pub mod filled;
pub mod graphite;
pub mod influxdb;
pub mod job;
pub mod json_path;
pub mod judge;
pub mod kayenta;
pub mod new_relic;
mod profile;
pub mod prometheus;
pub mod question;
pub mod quote;
pub mod redact;
mod reply;
mod rest;
pub mod server;
pub mod skywalking;
pub mod statistics;
pub mod transport;
#[cfg(test)]
mod trial;
pub mod value;
pub mod wavefront;
pub mod web;
mod window;

pub use ask::{Asker, Leg, Outcome};
pub use auth::Credentials;
pub use filled::Filled;
pub use judge::{Judgement, Rules, judge};
pub use question::{
    Asked, Environment, Next, NoSecrets, Reading, SecretData, SecretNeed, SecretPlace, Secrets,
};
pub use redact::Redactions;
pub use server::server;
pub use transport::guard::Guard;
pub use transport::{Answer, Body, Method, Request, Settings, Transport};
pub use value::MetricValue;
