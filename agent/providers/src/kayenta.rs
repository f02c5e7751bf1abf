//! The Kayenta provider: a judgement that is asked for, and asked after until it is there.
//!
//! In: what is compared, with arguments filled in; the execution's name from an earlier leg. Out: the requests to send,
//! when to come back, and the verdict by the score. It must not send anything.

mod execution;
mod scopes;

use std::collections::BTreeMap;
use std::time::Duration;

use agent_api::provider::{KayentaMetric, KayentaThreshold};
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;

use crate::address::{self, endpoint};
use crate::question::{Asked, Next};
use crate::reply;
use crate::transport::{Body, Method, Request};

/// The name that messages use.
const NAME: &str = "kayenta";
/// How long one answer is waited for; the judgement itself may take minutes.
pub const TIMEOUT: Duration = Duration::from_secs(15);

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not usable.
    #[error(transparent)]
    Address(#[from] address::Error),
    /// The answer has no meaning.
    #[error(transparent)]
    Reply(#[from] reply::Error),
    /// What is compared is not usable.
    #[error(transparent)]
    Scopes(#[from] scopes::Error),
    /// The judgement came to nothing.
    #[error(transparent)]
    Execution(#[from] execution::Error),
    /// A field is missing.
    #[error("kayenta has no {0}: give it one")]
    Missing(&'static str),
    /// The thresholds are not usable.
    #[error(
        "kayenta threshold has pass {pass} and marginal {marginal}: write 0 ≤ marginal ≤ pass ≤ 100"
    )]
    Threshold {
        /// From here on it passes.
        pass: i64,
        /// From here on it is inconclusive.
        marginal: i64,
    },
    /// The configuration is not there.
    #[error(
        "kayenta has no configuration {name:?} of the application {application:?}: look at canaryConfigName"
    )]
    NoConfig {
        /// The configuration.
        name: String,
        /// The application.
        application: String,
    },
    /// The execution has no name.
    #[error("kayenta's answer names no canaryExecutionId: look at what answers at its address")]
    NoExecution,
}

/// How the conversation goes on: the configuration is looked up, the judgement begun; in later legs it is asked after.
pub fn next(metric: &KayentaMetric, asked: &Asked<'_>) -> Result<Next, Error> {
    let threshold = threshold(metric)?;
    if let Some(id) = asked.memory.get(execution::ID) {
        return match asked.answers.first() {
            None => Ok(Next::Ask(get(at(metric, &["canary", id])?))),
            Some(answer) => Ok(execution::look(answer, threshold, asked)?),
        };
    }
    match asked.answers {
        [] => lookup(metric).map(Next::Ask),
        [configs] => {
            let id = config(metric, configs.status, &configs.body)?;
            begin(metric, threshold, &id, asked).map(Next::Ask)
        }
        [_, begun, ..] => {
            let read: Begun = reply::json(NAME, begun.status, &begun.body)?;
            let id = read.canary_execution_id.filter(|id| !id.is_empty());
            Ok(execution::begun(&id.ok_or(Error::NoExecution)?, asked))
        }
    }
}

/// Scores from which a judgement passes and is inconclusive.
#[derive(Debug, Clone, Copy)]
struct Threshold {
    pass: i64,
    marginal: i64,
}

fn threshold(metric: &KayentaMetric) -> Result<Threshold, Error> {
    let given = metric
        .threshold
        .as_ref()
        .ok_or(Error::Missing("threshold"))?;
    let KayentaThreshold { pass, marginal, .. } = given;
    let pass = pass.ok_or(Error::Missing("threshold.pass"))?;
    let marginal = marginal.ok_or(Error::Missing("threshold.marginal"))?;
    if 0 <= marginal && marginal <= pass && pass <= 100 {
        Ok(Threshold { pass, marginal })
    } else {
        Err(Error::Threshold { pass, marginal })
    }
}

fn at(metric: &KayentaMetric, path: &[&str]) -> Result<Url, Error> {
    Ok(endpoint(NAME, metric.address.as_deref(), path)?)
}

fn get(url: Url) -> Request {
    Request {
        method: Method::Get,
        url,
        headers: Vec::new(),
        body: Body::Empty,
        authentication: None,
        timeout: TIMEOUT,
        insecure: false,
    }
}

fn text<'a>(given: Option<&'a String>, field: &'static str) -> Result<&'a str, Error> {
    let given = given.map(|text| text.trim()).unwrap_or_default();
    (!given.is_empty())
        .then_some(given)
        .ok_or(Error::Missing(field))
}

fn lookup(metric: &KayentaMetric) -> Result<Request, Error> {
    text(metric.canary_config_name.as_ref(), "canaryConfigName")?;
    let mut url = at(metric, &["canaryConfig"])?;
    let account = metric.configuration_account_name.as_deref();
    url.query_pairs_mut().append_pair(
        "application",
        text(metric.application.as_ref(), "application")?,
    );
    if let Some(account) = account.filter(|account| !account.is_empty()) {
        url.query_pairs_mut()
            .append_pair("configurationAccountName", account);
    }
    Ok(get(url))
}

#[derive(Deserialize)]
struct Config {
    id: Option<String>,
    name: Option<String>,
}

fn config(metric: &KayentaMetric, status: u16, body: &[u8]) -> Result<String, Error> {
    let name = text(metric.canary_config_name.as_ref(), "canaryConfigName")?;
    let configs: Vec<Config> = reply::json(NAME, status, body)?;
    let found = configs
        .into_iter()
        .find(|config| config.name.as_deref() == Some(name));
    let id = found.and_then(|config| config.id);
    id.filter(|id| !id.is_empty())
        .ok_or_else(|| Error::NoConfig {
            name: name.to_owned(),
            application: metric.application.clone().unwrap_or_default(),
        })
}

fn begin(
    metric: &KayentaMetric,
    threshold: Threshold,
    config: &str,
    asked: &Asked<'_>,
) -> Result<Request, Error> {
    let mut url = at(metric, &["canary", config])?;
    let accounts = [
        ("application", &metric.application),
        ("metricsAccountName", &metric.metrics_account_name),
        (
            "configurationAccountName",
            &metric.configuration_account_name,
        ),
        ("storageAccountName", &metric.storage_account_name),
    ];
    for (name, value) in accounts {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    let body = json!({
        "scopes": scopes::written(metric, asked)?,
        "thresholds": {"pass": threshold.pass, "marginal": threshold.marginal},
    });
    Ok(Request {
        method: Method::Post,
        body: Body::Json(body.to_string().into()),
        ..get(url)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Begun {
    canary_execution_id: Option<String>,
}

/// What a measurement keeps.
type Memory = BTreeMap<String, String>;

#[cfg(test)]
mod tests;
