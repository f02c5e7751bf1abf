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
use crate::{
    cloudwatch, datadog, graphite, influxdb, kayenta, new_relic, prometheus, skywalking, wavefront,
    web,
};

/// The content of a Secret, by key.
pub type SecretData = BTreeMap<String, SecretString>;

/// What is known before the first answer and what came back since.
#[derive(Clone, Copy)]
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

impl std::fmt::Debug for Asked<'_> {
    /// The metric may hold Secrets, and answers may repeat them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked")
            .field("metric", &self.metric.name)
            .field("now", &self.now)
            .field("answers", &self.answers.len())
            .finish_non_exhaustive()
    }
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
    /// Datadog.
    #[error(transparent)]
    Datadog(#[from] datadog::Error),
    /// New Relic.
    #[error(transparent)]
    NewRelic(#[from] new_relic::Error),
    /// Wavefront.
    #[error(transparent)]
    Wavefront(#[from] wavefront::Error),
    /// CloudWatch.
    #[error(transparent)]
    CloudWatch(#[from] cloudwatch::Error),
    /// Graphite.
    #[error(transparent)]
    Graphite(#[from] graphite::Error),
    /// InfluxDB.
    #[error(transparent)]
    Influxdb(#[from] influxdb::Error),
    /// SkyWalking.
    #[error(transparent)]
    Skywalking(#[from] skywalking::Error),
    /// Kayenta.
    #[error(transparent)]
    Kayenta(#[from] kayenta::Error),
    /// Web.
    #[error(transparent)]
    Web(#[from] web::Error),
}

/// The Secret that the metric's provider needs, if any.
#[must_use]
pub fn secret(metric: &Metric) -> Option<SecretNeed> {
    let provider = &metric.provider;
    let datadog = provider.datadog.as_ref().map(datadog::secret);
    datadog
        .or_else(|| provider.new_relic.as_ref().map(new_relic::secret))
        .or_else(|| provider.influxdb.as_ref().map(influxdb::secret))
        .or_else(|| provider.wavefront.as_ref().map(|_| wavefront::secret()))
}

/// How the conversation goes on.
pub fn next(asked: &Asked<'_>) -> Result<Next, Error> {
    let provider = &asked.metric.provider;
    if let Some(prometheus) = &provider.prometheus {
        return Ok(prometheus::next(prometheus, asked)?);
    }
    if let Some(datadog) = &provider.datadog {
        return Ok(datadog::next(datadog, asked)?);
    }
    if let Some(new_relic) = &provider.new_relic {
        return Ok(new_relic::next(new_relic, asked)?);
    }
    if let Some(wavefront) = &provider.wavefront {
        return Ok(wavefront::next(wavefront, asked)?);
    }
    if let Some(cloud_watch) = &provider.cloud_watch {
        return Ok(cloudwatch::next(cloud_watch, asked)?);
    }
    if let Some(graphite) = &provider.graphite {
        return Ok(graphite::next(graphite, asked)?);
    }
    if let Some(influxdb) = &provider.influxdb {
        return Ok(influxdb::next(influxdb, asked)?);
    }
    if let Some(skywalking) = &provider.skywalking {
        return Ok(skywalking::next(skywalking, asked)?);
    }
    if let Some(kayenta) = &provider.kayenta {
        return Ok(kayenta::next(kayenta, asked)?);
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

#[cfg(test)]
mod tests;
