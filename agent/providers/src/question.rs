//! A conversation with a provider, as data.
//!
//! In: a metric with its arguments filled in, the answers so far. Out: the next request, or the value. It must not send
//! anything: [`next`] is a pure function of what it is given, and `ask` leads the conversation.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use agent_api::{AnalysisPhase, Metric, PROVIDERS};
use jiff::Timestamp;
use secrecy::SecretString;

use crate::transport::{Answer, Request};
use crate::value::MetricValue;
use crate::{prometheus, web};

/// The content of a Secret, by key.
pub type SecretData = BTreeMap<String, SecretString>;

/// What is known before the first answer and what came back since.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The metric, its arguments filled in.
    pub metric: &'a Metric,
    /// When this leg of the conversation began; ranges of time end here.
    pub now: Timestamp,
    /// The content of the Secret that [`secret`] names; empty when there is none.
    pub secret: &'a SecretData,
    /// Settings of the program.
    pub environment: &'a Environment,
    /// What the measurement keeps from an earlier leg; empty at its beginning.
    pub memory: &'a BTreeMap<String, String>,
    /// Answers of this leg, in order.
    pub answers: &'a [Answer],
}

/// Settings of the program that providers fall back on: variables of its environment, read once at its start.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Where Prometheus is when a metric does not say.
    pub prometheus_address: Option<String>,
    /// Other variables, such as `DD_API_KEY`.
    pub variables: BTreeMap<String, SecretString>,
}

/// How a conversation goes on.
#[derive(Debug, Clone)]
pub enum Next {
    /// Send this.
    Ask(Request),
    /// It is over.
    Done(Reading),
    /// The provider needs time.
    Later {
        /// When to go on.
        resume_at: Timestamp,
        /// What to know then; stands in the measurement's metadata.
        memory: BTreeMap<String, String>,
    },
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The value.
    pub value: MetricValue,
    /// The verdict of a provider that judges by itself; conditions do not apply then.
    pub phase: Option<AnalysisPhase>,
    /// What the provider adds to the measurement.
    pub metadata: BTreeMap<String, String>,
}

impl From<MetricValue> for Reading {
    fn from(value: MetricValue) -> Self {
        Self {
            value,
            phase: None,
            metadata: BTreeMap::new(),
        }
    }
}

/// A Secret that a provider's keys are in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretNeed {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: SecretPlace,
    /// Whether the provider can do without it.
    pub optional: bool,
}

/// Where a Secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretPlace {
    /// In the controller's own namespace.
    Controller,
    /// In the namespace of the run.
    Run,
}

/// A future that reads a Secret; `None` when it does not exist.
pub type ReadSecret<'a> =
    Pin<Box<dyn Future<Output = Result<Option<SecretData>, String>> + Send + 'a>>;

/// Where Secrets are read. Errors are sentences for the measurement's message.
pub trait Secrets: Send + Sync {
    /// The content of a Secret, for a run in this namespace.
    fn read<'a>(&'a self, need: &'a SecretNeed, namespace: &'a str) -> ReadSecret<'a>;
}

/// Where there are none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn read<'a>(&'a self, _need: &'a SecretNeed, _namespace: &'a str) -> ReadSecret<'a> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// Why there is no next request and no value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No provider.
    #[error("metric {0:?} names no provider: give it one of {list}", list = PROVIDERS.join(", "))]
    NoProvider(String),
    /// One that is not asked over HTTP, or not known.
    #[error("metric {metric:?} asks {provider}, which cannot be asked from here")]
    NotHttp {
        /// The metric.
        metric: String,
        /// The provider's key.
        provider: String,
    },
    /// Prometheus.
    #[error(transparent)]
    Prometheus(#[from] prometheus::Error),
    /// Web.
    #[error(transparent)]
    Web(#[from] web::Error),
}

/// The Secret that the metric's provider needs, if any.
#[must_use]
pub fn secret(metric: &Metric) -> Option<SecretNeed> {
    let _ = &metric.provider;
    None
}

/// How the conversation goes on.
pub fn next(asked: &Asked<'_>) -> Result<Next, Error> {
    let provider = &asked.metric.provider;
    if let Some(prometheus) = &provider.prometheus {
        return Ok(prometheus::next(prometheus, asked)?);
    }
    if let Some(web) = &provider.web {
        return Ok(web::next(web, asked)?);
    }
    Err(match provider.given().first() {
        None => Error::NoProvider(asked.metric.name.clone()),
        Some(other) => Error::NotHttp {
            metric: asked.metric.name.clone(),
            provider: (*other).to_owned(),
        },
    })
}
