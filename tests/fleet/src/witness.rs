//! The watch of a cluster's API by somebody who is not ours. In: a cluster. Out: a file of what the API server said of
//! Rollouts, ReplicaSets and Pods. It writes nothing to the cluster.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Result;
use crate::process::Process;
use crate::programs;
use crate::rundir::RunDir;
use crate::sandbox::Cluster;

/// A running witness.
#[derive(Debug)]
pub struct Witness {
    process: Process,
    seen: PathBuf,
}

impl Witness {
    /// Starts it; what it sees goes to `witness/<cluster>.ndjson` of the run.
    pub fn start(run: &RunDir, cluster: &Cluster) -> Result<Self> {
        let seen = run
            .folder("witness")?
            .join(format!("{}.ndjson", cluster.name()));
        let mut command = Command::new(programs::sandbox()?);
        command
            .arg("witness")
            .arg("--kubeconfig")
            .arg(cluster.kubeconfig());
        command
            .args(["--cluster", cluster.name()])
            .arg("--out")
            .arg(&seen);
        let process = Process::spawn(run, &format!("witness-{}", cluster.name()), command)?;
        Ok(Self { process, seen })
    }

    /// The file.
    pub fn seen(&self) -> &Path {
        &self.seen
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
