//! Asking a provider: one leg of a measurement, from the question to the judgement.
//!
//! In: a metric with its arguments filled in. Out: what was measured and what the conditions say of it, or when to go on;
//! no Secret is in it, wherever the provider repeats one. It must not build requests or read answers: `question` does.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_api::analysis::SecretKeyRef;
use agent_api::{AnalysisPhase, Metric};
use jiff::Timestamp;

use crate::filled::Filled;
use crate::judge::{Judgement, Rules};
use crate::question::{
    Asked, Environment, Next, Reading, SecretData, SecretNeed, SecretPlace, Secrets, next, secret,
};
use crate::redact::Redactions;
use crate::transport::{Answer, Transport};

/// Most requests of one leg: the longest conversation known takes three.
const MAX_REQUESTS: usize = 8;
/// Variables of the program that are secret have one of these in their names.
const SECRET_VARIABLES: [&str; 4] = ["KEY", "SECRET", "TOKEN", "PASSWORD"];
/// Longest value kept: an aggregated answer is a few numbers.
const MAX_VALUE: usize = 1024;

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

/// What came of one leg, whichever it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Leg {
    /// Of the measurement; Running when the provider needs time.
    pub phase: AnalysisPhase,
    /// Why.
    pub message: Option<String>,
    /// The value as text.
    pub value: Option<String>,
    /// What the provider adds, or what to know when it goes on.
    pub metadata: BTreeMap<String, String>,
    /// When to go on.
    pub resume_at: Option<Timestamp>,
}

impl From<Outcome> for Leg {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Over {
                judgement,
                value,
                metadata,
            } => Self {
                phase: judgement.phase,
                message: judgement.message,
                value,
                metadata,
                resume_at: None,
            },
            Outcome::Later { resume_at, memory } => Self {
                phase: AnalysisPhase::Running,
                message: None,
                value: None,
                metadata: memory,
                resume_at: Some(resume_at),
            },
        }
    }
}

impl Outcome {
    /// A measurement that could not be made.
    #[must_use]
    pub fn error(message: String) -> Self {
        Self::Over {
            judgement: Judgement::error(message),
            value: None,
            metadata: BTreeMap::new(),
        }
    }
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

    /// Settings of the program.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Fills arguments from Secrets into a metric, for a run in this namespace. Errors are sentences.
    pub async fn fill(
        &self,
        metric: impl Into<Box<Metric>>,
        arguments: &[(String, SecretKeyRef)],
        namespace: &str,
    ) -> Result<Filled, String> {
        let metric: Box<Metric> = metric.into();
        let mut values = SecretData::new();
        for (argument, place) in arguments {
            let need = SecretNeed {
                name: place.name.clone(),
                place: SecretPlace::Run,
                optional: false,
            };
            let found = self.secrets.read(&need, namespace).await?;
            let from = format!(
                "metric {:?} needs the argument {argument:?} from the Secret {:?}",
                metric.name, place.name
            );
            let data = found.ok_or_else(|| format!("{from}, which does not exist: create it"))?;
            let value = data.get(&place.key).ok_or_else(|| {
                format!(
                    "{from}, which has no text under the key {:?}: add it",
                    place.key
                )
            })?;
            values.insert(argument.clone(), value.clone());
        }
        Filled::new(metric, &values).map_err(|error| error.to_string())
    }

    /// One leg of a measurement, for a run in this namespace. `memory` is what an earlier leg left.
    pub async fn ask(
        &self,
        filled: &Filled,
        namespace: &str,
        now: Timestamp,
        memory: &BTreeMap<String, String>,
    ) -> Outcome {
        let metric = filled.metric();
        let secret = match self.secret(metric, namespace).await {
            Ok(secret) => secret,
            Err(message) => return Outcome::error(message),
        };
        let mut redactions = filled.redactions().clone();
        redactions.add(secret.values());
        redactions.add(self.secret_variables());
        let asked = Asked {
            metric,
            now,
            secret: &secret,
            environment: &self.environment,
            memory,
            answers: &[],
        };
        let outcome = match self.lead(&asked, &redactions).await {
            Ok(Next::Later { resume_at, memory }) => Outcome::Later { resume_at, memory },
            Ok(Next::Done(reading)) => over(metric, reading, now),
            Ok(Next::Ask(_)) => Outcome::error(format!(
                "metric {:?} is not answered after {MAX_REQUESTS} requests: look at the provider",
                metric.name
            )),
            Err(message) => Outcome::error(message),
        };
        clean(outcome, &redactions)
    }

    async fn lead(&self, asked: &Asked<'_>, redactions: &Redactions) -> Result<Next, String> {
        let mut answers = Vec::new();
        loop {
            let asked = Asked {
                answers: &answers,
                ..*asked
            };
            let next = match next(&asked) {
                Ok(next) => next,
                Err(error) => return Err(retold(&asked, redactions).unwrap_or(error.to_string())),
            };
            match &next {
                Next::Ask(request) if answers.len() < MAX_REQUESTS => {
                    let sent = self.transport.send(request).await;
                    answers.push(sent.map_err(|error| error.to_string())?);
                }
                Next::Ask(_) | Next::Done(_) | Next::Later { .. } => return Ok(next),
            }
        }
    }

    fn secret_variables(&self) -> impl Iterator<Item = &secrecy::SecretString> {
        let variables = self.environment.variables.iter();
        let secret = |name: &str| SECRET_VARIABLES.iter().any(|part| name.contains(part));
        variables
            .filter(move |(name, _)| secret(name))
            .map(|(_, value)| value)
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

/// The same error over answers without Secrets: a message quotes the beginning of an answer, and what is cut in the middle
/// of a Secret would not be known for one afterwards.
fn retold(asked: &Asked<'_>, redactions: &Redactions) -> Option<String> {
    if redactions.is_empty() {
        return None;
    }
    let answers = asked.answers.iter().map(|answer| Answer {
        status: answer.status,
        body: redactions.redact_bytes(&answer.body),
    });
    let answers: Vec<Answer> = answers.collect();
    let told = next(&Asked {
        answers: &answers,
        ..*asked
    });
    told.err().map(|error| error.to_string())
}

/// What is shown of an outcome holds no Secret. What is remembered between legs is shown too.
fn clean(outcome: Outcome, redactions: &Redactions) -> Outcome {
    let texts = |texts: BTreeMap<String, String>| -> BTreeMap<String, String> {
        let clean = texts.into_iter();
        clean
            .map(|(key, text)| (redactions.redact(&key), redactions.redact(&text)))
            .collect()
    };
    match outcome {
        Outcome::Over {
            judgement,
            value,
            metadata,
        } => Outcome::Over {
            judgement: Judgement {
                phase: judgement.phase,
                message: judgement.message.map(|text| redactions.redact(&text)),
            },
            value: value.map(|text| {
                let clean = redactions.redact(&text);
                clean.chars().take(MAX_VALUE).collect()
            }),
            metadata: texts(metadata),
        },
        Outcome::Later { resume_at, memory } => Outcome::Later {
            resume_at,
            memory: texts(memory),
        },
    }
}

fn over(metric: &Metric, reading: Reading, now: Timestamp) -> Outcome {
    let judgement = match reading.phase {
        Some(phase) => Judgement {
            phase,
            message: None,
        },
        None => Rules::of(metric).judge(
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
