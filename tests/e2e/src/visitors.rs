//! People who use an application all the time. In: a gateway and a Service. Out: which version answered, so that the share
//! of a version can be measured where it counts. They look at nothing else.

use std::path::PathBuf;
use std::process::Command;

use jiff::Timestamp;
use tests_fleet::records::{self, Answer};
use tests_fleet::{Cluster, Process, Result, RunDir, eventually, programs};

use crate::shop::{SOON, Shop};

/// Requests a second: a window of [`WINDOW`] answers is then about a second.
const RATE: &str = "50";

/// Answers in a row over which a share is measured. The gateway takes turns, so it is exact but for a change of the turn.
const WINDOW: usize = 50;

/// A steady load on one application.
#[derive(Debug)]
pub struct Visitors {
    process: Process,
    answers: PathBuf,
}

impl Visitors {
    /// Starts it.
    pub fn start(run: &RunDir, cluster: &Cluster, shop: &Shop) -> Result<Self> {
        Self::at(run, cluster, shop.namespace(), &shop.host())
    }

    /// The same at another host.
    pub fn at(run: &RunDir, cluster: &Cluster, name: &str, host: &str) -> Result<Self> {
        let answers = run.folder("visitors")?.join(format!("{name}.ndjson"));
        let mut command = Command::new(programs::sandbox()?);
        command.args(["load", "--gateway", &cluster.gateway()?, "--host", host]);
        command.args(["--rate", RATE, "--cluster", cluster.name(), "--out"]);
        command.arg(&answers);
        let process = Process::spawn(run, &format!("visitors-{name}"), command)?;
        Ok(Self { process, answers })
    }

    /// What they got so far.
    pub fn answers(&mut self) -> Result<Vec<Answer>> {
        self.process.must_run()?;
        records::read(&self.answers)
    }

    /// Waits until so many answers in a row came from this version.
    pub async fn only(&mut self, version: &str) -> Result<()> {
        eventually(&format!("only {version} answers"), SOON, async || {
            let answers = self.answers().map_err(|error| error.to_string())?;
            let last = answers.iter().rev().take(WINDOW);
            let of_it = last.filter(|answer| answer.version == version).count();
            if of_it == WINDOW {
                Ok(())
            } else {
                Err(format!("{of_it} of the last {WINDOW}"))
            }
        })
        .await
    }

    /// The highest share that a version had in any window between two moments, and how many answers there were.
    pub fn highest_share(
        &mut self,
        version: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<(f64, usize)> {
        self.process.must_run()?;
        let answers: Vec<Answer> = records::read(&self.answers)?;
        let between: Vec<bool> = answers
            .iter()
            .filter(|answer| answer.time >= from && answer.time <= to && !answer.failed())
            .map(|answer| answer.version == version)
            .collect();
        let counts = between
            .windows(WINDOW)
            .map(|window| window.iter().filter(|is| **is).count());
        let highest = counts.max().unwrap_or_default();
        // Both are far below what an f64 holds exactly.
        Ok((highest as f64 / WINDOW as f64, between.len()))
    }
}
