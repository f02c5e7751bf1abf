//! `bench`: measures controllers of Rollouts, the agent under many AnalysisRuns, and the hub under many agents. In: their command lines. Out: tables, and every number as JSON in a folder.
//! Its status tells whether it could measure, not how fast anything is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::json;
use tests_bench::analysis::{self, report};
use tests_bench::bed::Rights;
use tests_bench::compare::{Figures, PEER_ONCE, PEER_ONCE_COUNT, compare};
use tests_bench::fleet;
use tests_bench::story::{self, Run, Story};
use tests_bench::table;
use tests_fleet::{Error, Result, RunDir, programs};

/// Measures controllers of Rollouts on clusters of the sandbox.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Rollouts created, updated through two weights and two pauses, then left alone.
    Rollouts(Rollouts),
    /// AnalysisRuns that measure for ever, first alone, then beside some whose servers hang or drip.
    Analysis(Analysis),
    /// The hub under simulated agents: connected, killed, and with many releases at once.
    Fleet(Fleet),
}

#[derive(Debug, Args)]
struct Rollouts {
    /// The controller's command line, split at spaces; {kubeconfig} and {port} are filled in. Default: our agent.
    #[arg(long, value_name = "COMMAND")]
    controller: Option<String>,
    /// Another controller, measured after it on a cluster of its own and compared with it.
    #[arg(long, value_name = "COMMAND")]
    peer: Option<String>,
    /// How many Rollouts.
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Seconds of the pause after each weight.
    #[arg(long, default_value_t = 5)]
    pause: u64,
    /// Seconds for which the controller is left alone at the end.
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Where results go, and logs in a folder for each controller, which is emptied first.
    #[arg(long, default_value = "target/bench")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct Analysis {
    /// How many AnalysisRuns, each with two metrics.
    #[arg(long, default_value_t = 10_000)]
    runs: usize,
    /// How many whose server never answers, and as many whose server drips.
    #[arg(long, default_value_t = 200)]
    stuck: usize,
    /// Seconds between two measurements of a metric.
    #[arg(long, default_value_t = 10)]
    interval: u64,
    /// Seconds for which each scenario is looked at.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Where results and logs go; it is emptied first.
    #[arg(long, default_value = "target/bench/analysis")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct Fleet {
    /// How many agents are connected at once.
    #[arg(long, default_value_t = 10_000)]
    agents: usize,
    /// Seconds that a target takes.
    #[arg(long, default_value_t = 5)]
    takes: u64,
    /// Seconds for which heartbeats are looked at.
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Clusters of the many releases at once.
    #[arg(long, default_value_t = 1_000)]
    clusters: usize,
    /// How many releases at once, each over a hundred clusters.
    #[arg(long, default_value_t = 100)]
    releases: usize,
    /// Where results and logs go; it is emptied first.
    #[arg(long, default_value = "target/bench/fleet")]
    dir: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    tests_fleet::init();
    let what = Arguments::parse().what;
    let told = async {
        match &what {
            What::Rollouts(arguments) => rollouts(arguments).await,
            What::Analysis(arguments) => analysis(arguments).await,
            What::Fleet(arguments) => fleet(arguments).await,
        }
    };
    let ended = tokio::select! {
        ended = told => ended,
        _ = tokio::signal::ctrl_c() => Err(Error::Check("ended by Ctrl-C".into())),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn rollouts(arguments: &Rollouts) -> Result<()> {
    let dir = &arguments.dir;
    let mut runs = vec![measured(arguments, "ours", arguments.controller.as_deref()).await?];
    if let Some(peer) = &arguments.peer {
        runs.push(measured(arguments, "peer", Some(peer)).await?);
    }
    println!("\n{}\n\n{}\n", table::costs(&runs), table::requests(&runs));
    match table::defects(&runs) {
        none if none.is_empty() => println!("every write changed something"),
        defects => println!("{defects}"),
    }
    let (theirs, whose) = match runs.get(1) {
        Some(peer) => (Some(Figures::of(peer)?), "the peer, measured in this run"),
        None if arguments.count == PEER_ONCE_COUNT => (
            Some(PEER_ONCE),
            "Argo Rollouts' controller, measured once elsewhere",
        ),
        None => (None, ""),
    };
    let ours = runs.first().map(Figures::of).transpose()?;
    if let (Some(ours), Some(theirs)) = (ours, theirs) {
        let ratios = compare(&ours, &theirs);
        println!("\ncompared with {whose}:\n{}", table::ratios(&ratios));
        keep(
            &dir.join("ratios.json"),
            &json!({"with": whose, "ratios": ratios}),
        )?;
    }
    keep(&dir.join("runs.json"), &json!(runs))
}

async fn analysis(arguments: &Analysis) -> Result<()> {
    let story = analysis::Story {
        command: format!("{} --analysis-allow-loopback", agent()?),
        runs: arguments.runs,
        stuck: arguments.stuck,
        interval: Duration::from_secs(arguments.interval),
        window: Duration::from_secs(arguments.seconds),
    };
    let run = RunDir::named(&arguments.dir)?;
    let outcome = analysis::tell(&run, &story, |line| println!("{line}")).await?;
    println!(
        "\n{}\n\n{}",
        report::costs(&outcome),
        report::requests(&outcome)
    );
    println!("\n{}", report::goals(&outcome));
    keep(&arguments.dir.join("outcome.json"), &json!(outcome))
}

async fn fleet(arguments: &Fleet) -> Result<()> {
    // Every agent has a connection of its own, at both ends.
    rlimit::increase_nofile_limit(rlimit::INFINITY).map_err(|source| Error::Io {
        what: "raise the limit of open files".into(),
        source,
    })?;
    let story = fleet::Story {
        agents: arguments.agents,
        takes: Duration::from_secs(arguments.takes),
        idle: Duration::from_secs(arguments.idle),
        clusters: arguments.clusters,
        releases: arguments.releases,
    };
    let run = RunDir::named(&arguments.dir)?;
    let outcome = fleet::tell(&run, &story, |line| println!("{line}")).await?;
    println!(
        "\n{}\n\n{}",
        fleet::report::costs(&outcome),
        fleet::report::goals(&outcome)
    );
    keep(&arguments.dir.join("outcome.json"), &json!(outcome))
}

/// One controller on a cluster of its own. Without a command it is our agent, with the rights that it is shipped with.
async fn measured(arguments: &Rollouts, name: &str, command: Option<&str>) -> Result<Run> {
    let (command, rights) = match command {
        Some(command) => (command.to_owned(), Rights::All),
        None => (agent()?, Rights::Shipped),
    };
    let story = Story {
        name: name.to_owned(),
        command,
        rights,
        count: arguments.count,
        pause: Duration::from_secs(arguments.pause),
        idle: Duration::from_secs(arguments.idle),
    };
    let run = RunDir::named(&arguments.dir.join(name))?;
    story::tell(&run, &story, |line| println!("{line}")).await
}

fn agent() -> Result<String> {
    let path = programs::program("groundswell-agent")?;
    Ok(format!(
        "{} --kubeconfig {{kubeconfig}} --leader-elect=false --metricsPort {{port}} --healthzPort {{port}}",
        path.display()
    ))
}

fn keep(path: &Path, value: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(Error::parse("the results"))?;
    std::fs::write(path, text + "\n").map_err(Error::io("write", path))
}
