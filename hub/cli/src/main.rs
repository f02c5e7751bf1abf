//! The `groundswell` command: asks the hub and prints what it says. In: arguments, a client configuration, files to apply.
//! Out: tables or JSON on stdout, one sentence on stderr, an exit code. It must not decide anything: the hub does.

mod analysis;
mod apply;
mod approve;
mod args;
mod audit;
mod break_glass;
mod client;
mod cluster;
mod config;
mod explain;
mod failure;
mod get;
mod history;
mod hub;
mod json;
mod lint;
mod manifest;
mod member;
mod plan;
mod release;
mod table;
mod word;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use proto::v1::act_request::Verb;

use crate::args::{Cli, ClusterCommand, Command, Look, ReleaseCommand};
use crate::client::Client;
use crate::failure::{Answer, Failure};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // clap itself ends with 2 for a command line that it does not understand.
    let cli = Cli::parse();
    match run(&cli).await {
        Ok(answer) => {
            // Nobody reads on when the pipe is closed; that is no failure of the command.
            let _ = std::io::stdout().write_all(answer.text.as_bytes());
            ExitCode::from(answer.code)
        }
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{failure}");
            ExitCode::from(failure.code())
        }
    }
}

async fn run(cli: &Cli) -> Result<Answer, Failure> {
    let look = cli.look();
    // What needs no hub needs no configuration.
    // For providers and clusters; this is the only place that installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match &cli.command {
        Command::Lint(args) => lint::run(look, args).await,
        Command::Analysis(args) => analysis::run(look, args).await,
        Command::BreakGlass(args) => break_glass::run(look, args).await,
        Command::Audit(args) if args.offline().is_some() => audit::offline(look, args),
        Command::Apply(_)
        | Command::Get(_)
        | Command::Release(_)
        | Command::Approve(_)
        | Command::History(_)
        | Command::Audit(_)
        | Command::Hub(_)
        | Command::Explain(_)
        | Command::Plan(_)
        | Command::Rollback(_)
        | Command::Stop(_)
        | Command::Unstop(_)
        | Command::Ungovern(_)
        | Command::Govern(_)
        | Command::Delete(_)
        | Command::Cluster(_) => ask(cli, look).await,
    }
}

/// Commands that ask the hub.
async fn ask(cli: &Cli, look: Look) -> Result<Answer, Failure> {
    let config = config::load(cli.config.as_deref(), cli.hub.as_deref())?;
    let mut client = Client::connect(&config).await?;
    match &cli.command {
        Command::Lint(args) => lint::run(look, args).await,
        Command::Analysis(args) => analysis::run(look, args).await,
        Command::BreakGlass(args) => break_glass::run(look, args).await,
        Command::Apply(args) => apply::run(&mut client, look, args).await,
        Command::Get(args) => get::run(&mut client, look, args).await,
        Command::Release(args) => match &args.command {
            ReleaseCommand::Show(args) => release::show(&mut client, look, args).await,
            ReleaseCommand::Start(args) => release::start(&mut client, look, args).await,
            ReleaseCommand::Expedite(args) => {
                word::about(&mut client, look, args, Verb::Expedite).await
            }
            ReleaseCommand::Pause(args) => word::about(&mut client, look, args, Verb::Pause).await,
            ReleaseCommand::Resume(args) => {
                word::about(&mut client, look, args, Verb::Resume).await
            }
            ReleaseCommand::Abort(args) => word::abort(&mut client, look, args).await,
            ReleaseCommand::Retry(args) => word::retry(&mut client, look, args).await,
            ReleaseCommand::Skip(args) => word::skip(&mut client, look, args).await,
            ReleaseCommand::Promote(args) => word::promote(&mut client, look, args).await,
        },
        Command::Approve(args) => approve::run(&mut client, look, args).await,
        Command::History(args) => history::run(&mut client, look, args).await,
        Command::Audit(args) => audit::run(&mut client, look, args).await,
        Command::Hub(args) => hub::run(&mut client, look, args).await,
        Command::Explain(args) => explain::run(&mut client, look, args).await,
        Command::Plan(args) => plan::run(&mut client, look, args).await,
        Command::Rollback(args) => word::about(&mut client, look, args, Verb::Rollback).await,
        Command::Stop(args) => word::stop(&mut client, look, args, false).await,
        Command::Unstop(args) => word::stop(&mut client, look, args, true).await,
        Command::Cluster(args) => match &args.command {
            ClusterCommand::Token(args) => cluster::token(&mut client, look, args).await,
            ClusterCommand::Revoke(args) => cluster::revoke(&mut client, look, args).await,
            ClusterCommand::Relabel(args) => member::relabel(&mut client, look, args).await,
            ClusterCommand::Rename(args) => member::rename(&mut client, look, args).await,
            ClusterCommand::Rebind(args) => member::rebind(&mut client, look, args).await,
            ClusterCommand::Remove(args) => member::remove(&mut client, look, args).await,
        },
        Command::Ungovern(args) => member::ungovern(&mut client, look, args).await,
        Command::Govern(args) => member::govern(&mut client, look, args).await,
        Command::Delete(args) => member::delete(&mut client, look, args).await,
    }
}
