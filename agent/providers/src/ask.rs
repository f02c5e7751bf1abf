//! Asking a provider: one leg of a measurement, from the question to the judgement.
//!
//! In: a metric with its arguments filled in. Out: what was measured and what the conditions say of it, or when to go on.
//! It must not build requests or read answers: `question` does.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_api::Metric;
use jiff::Timestamp;

use crate::judge::{Judgement, judge};
use crate::question::{Asked, Environment, Next, Reading, SecretData, Secrets, next, secret};
use crate::transport::Transport;

/// Most requests of one leg: the longest conversation known takes three.
const MAX_REQUESTS: usize = 8;

/// Asks providers; clones share connections.
#[derive(Clone)]
pub struct Asker {
    transport: Transport,
    secrets: Arc<dyn Secrets>,
    environment: Arc<Environment>,
}

/// What came of one leg.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The measurement is over.
    Over {
        /// What the conditions, or the provider itself, say.
        judgement: Judgement,
        /// The value as text.
        value: Option<String>,
        /// What the provider adds.
        metadata: BTreeMap<String, String>,
    },
    /// The provider needs time.
    Later {
        /// When to go on.
        resume_at: Timestamp,
        /// What to know then.
        memory: BTreeMap<String, String>,
    },
}

impl Asker {
    /// One that reads Secrets there.
    #[must_use]
    pub fn new(transport: Transport, secrets: Arc<dyn Secrets>, environment: Environment) -> Self {
        Self {
            transport,
            secrets,
            environment: Arc::new(environment),
        }
    }

    /// One leg of a measurement, for a run in this namespace. `memory` is what an earlier leg left.
    pub async fn ask(
        &self,
        metric: &Metric,
        namespace: &str,
        now: Timestamp,
        memory: &BTreeMap<String, String>,
    ) -> Outcome {
        match self.lead(metric, namespace, now, memory).await {
            Ok(Next::Later { resume_at, memory }) => Outcome::Later { resume_at, memory },
            Ok(Next::Done(reading)) => over(metric, reading, now),
            Ok(Next::Ask(_)) => failed(format!(
                "metric {:?} is not answered after {MAX_REQUESTS} requests: look at the provider",
                metric.name
            )),
            Err(message) => failed(message),
        }
    }

    async fn lead(
        &self,
        metric: &Metric,
        namespace: &str,
        now: Timestamp,
        memory: &BTreeMap<String, String>,
    ) -> Result<Next, String> {
        let secret = self.secret(metric, namespace).await?;
        let mut answers = Vec::new();
        loop {
            let asked = Asked {
                metric,
                now,
                secret: &secret,
                environment: &self.environment,
                memory,
                answers: &answers,
            };
            let next = next(&asked).map_err(|error| error.to_string())?;
            match &next {
                Next::Ask(request) if answers.len() < MAX_REQUESTS => {
                    let sent = self.transport.send(request).await;
                    answers.push(sent.map_err(|error| error.to_string())?);
                }
                Next::Ask(_) | Next::Done(_) | Next::Later { .. } => return Ok(next),
            }
        }
    }

    async fn secret(&self, metric: &Metric, namespace: &str) -> Result<SecretData, String> {
        let Some(need) = secret(metric) else {
            return Ok(SecretData::new());
        };
        match self.secrets.read(&need, namespace).await? {
            Some(data) => Ok(data),
            None if need.optional => Ok(SecretData::new()),
            None => Err(format!(
                "metric {:?} needs the Secret {:?}, which does not exist: create it",
                metric.name, need.name
            )),
        }
    }
}

fn failed(message: String) -> Outcome {
    Outcome::Over {
        judgement: Judgement::error(message),
        value: None,
        metadata: BTreeMap::new(),
    }
}

fn over(metric: &Metric, reading: Reading, now: Timestamp) -> Outcome {
    let judgement = match reading.phase {
        Some(phase) => Judgement {
            phase,
            message: None,
        },
        None => judge(
            metric.success_condition.as_deref(),
            metric.failure_condition.as_deref(),
            &reading.value,
            now,
        ),
    };
    Outcome::Over {
        judgement,
        value: Some(reading.value.text()),
        metadata: reading.metadata,
    }
}
