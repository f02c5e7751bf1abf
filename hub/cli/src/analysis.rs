//! `groundswell analysis`: measures and judges from here, without a hub and without a cluster. In: templates, the providers'
//! answers. Out: measurements and a verdict. It must not decide: the agent's engine does, and providers' questions and
//! conditions are the agent's own.

mod backtest;
mod distribution;
mod history;
mod replay;
mod report;
pub mod run;
mod secrets;
mod show;
mod subject;

use agent_providers::{Asker, Environment, Transport};
use secrecy::SecretString;

use crate::args::Look;
use crate::args::analysis::{Analysis, AnalysisCommand, Subject};
use crate::failure::{Answer, Failure};
use secrets::LocalSecrets;

/// The namespace that a run from here is in, for providers that ask.
const NAMESPACE: &str = "default";
/// What the names of variables begin with that providers fall back on, as the agent does.
const VARIABLES: [&str; 4] = ["DD_", "DATADOG_", "AWS_", "NEW_RELIC_"];

/// Carries out one command.
pub async fn run(look: Look, args: &Analysis) -> Result<Answer, Failure> {
    match &args.command {
        AnalysisCommand::Run(args) => run::run(look, args).await,
        AnalysisCommand::Backtest(args) => backtest::run(look, args).await,
    }
}

/// Asks as the agent does, with what the agent's environment would have.
fn asker(args: &Subject, secrets: &LocalSecrets) -> Asker {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        let known = VARIABLES.iter().any(|start| name.starts_with(start));
        let value = value.into_string().ok().filter(|_| known)?;
        Some((name, SecretString::from(value)))
    });
    let environment = Environment {
        prometheus_address: args.prometheus_address.clone(),
        variables: variables.collect(),
    };
    Asker::new(
        Transport::default(),
        std::sync::Arc::new(secrets.clone()),
        environment,
    )
}
