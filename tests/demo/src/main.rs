//! `demo`: tells the story on a fleet of real clusters, then judges it. In: where to write. Out: progress as it goes, the
//! summary table, target/demo/summary.json, and a status that is 0 only if the story came out right. It takes down
//! everything that it started, also on Ctrl-C.

mod fleet;
mod hubs;
mod progress;
mod releases;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use jiff::Timestamp;
use nix::sys::signal::Signal;
use tests_demo::summary::Summary;
use tests_fleet::{Error, Result, RunDir};
use tokio::signal::unix::{SignalKind, signal};

use crate::fleet::Fleet;
use crate::progress::Progress;

/// The story takes about four minutes; one that hangs must not hang whoever waits for it.
const DEADLINE: Duration = Duration::from_secs(8 * 60);

/// One service, five versions, three clusters.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where logs, witnesses and the summary go; emptied first.
    #[arg(long, default_value = "target/demo")]
    dir: PathBuf,
    /// End when the story is told, instead of leaving the fleet up until Ctrl-C.
    #[arg(long)]
    exit: bool,
    /// Another build of the agent: the story must fail with one whose gate check is off.
    #[arg(long)]
    agent_binary: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    tests_fleet::init();
    let arguments = Arguments::parse();
    match demo(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the story came out right.
async fn demo(arguments: &Arguments) -> Result<bool> {
    let run = RunDir::named(&arguments.dir)?;
    let progress = Progress::begin();
    let told = tokio::select! {
        told = tokio::time::timeout(DEADLINE, told(&run, &progress, arguments)) => match told {
            Ok(told) => told,
            Err(_) => Err(Error::Check(format!("not told to its end within {} s", DEADLINE.as_secs()))),
        },
        signal = interrupted() => return Err(Error::Check(format!("ended by {}", signal?))),
    };
    // Judged in any case: what the witnesses saw of a story that broke off says why.
    let fleet = told
        .map_err(|error| progress.say(&format!("the story broke off: {error}")))
        .ok();
    let right = judged(run.path(), &progress)? && fleet.is_some();
    let Some(mut fleet) = fleet.filter(|_| !arguments.exit) else {
        return Ok(right);
    };
    progress.say("the fleet is left up; Ctrl-C takes it down. Look around:");
    for hint in fleet.hints() {
        println!("  {hint}");
    }
    tokio::select! {
        ended = fleet.outlived() => ended?,
        signal = interrupted() => progress.say(&format!("{}: taking the fleet down", signal?)),
    }
    Ok(right)
}

async fn told(run: &RunDir, progress: &Progress, arguments: &Arguments) -> Result<Fleet> {
    let mut fleet = Fleet::up(run, progress, arguments.agent_binary.as_deref()).await?;
    let told = story::tell(&mut fleet, run, progress).await;
    fleet.note(|notes| {
        notes.ended = Some(Timestamp::now());
        notes.told = told.is_ok();
    })?;
    fleet.keep_history().await;
    told?;
    fleet.nobody_is_at_fault()?;
    Ok(fleet)
}

fn judged(folder: &Path, progress: &Progress) -> Result<bool> {
    let (judgement, summary) = tests_demo::verify::run(folder)?;
    println!("\n{}\n", summary.table());
    for lost in &summary.unanswered {
        println!(
            "{}: {} requests, {} of them answered by no pod",
            lost.cluster, lost.requests, lost.unanswered
        );
    }
    println!();
    for (name, held) in &judgement.checks {
        println!("{} {name}", if *held { "ok   " } else { "WRONG" });
    }
    for wrong in &judgement.wrong {
        println!("  {wrong}");
    }
    write(&summary, &folder.join("summary.json"))?;
    progress.say(&match summary.right {
        true => format!("the story came out right in {:.0} s", summary.seconds),
        false => format!(
            "the story did NOT come out right: {} things are wrong",
            judgement.wrong.len()
        ),
    });
    Ok(summary.right)
}

fn write(summary: &Summary, path: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(summary).map_err(Error::parse("the summary"))?;
    std::fs::write(path, text + "\n").map_err(Error::io("write", path))
}

/// The signal that somebody ended us by.
async fn interrupted() -> Result<Signal> {
    let failed = |source| Error::Io {
        what: "listen for signals".into(),
        source,
    };
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(failed)?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.map(|()| Signal::SIGINT).map_err(failed),
        _ = terminated.recv() => Ok(Signal::SIGTERM),
        _ = hung_up.recv() => Ok(Signal::SIGHUP),
    }
}
