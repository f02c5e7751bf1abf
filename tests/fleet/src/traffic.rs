//! Requests and pushes into the clusters. In: gateways and a repository. Out: the load generator's answers in a file, and
//! the applier that stands for Argo CD. Both are the sandbox's programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Result;
use crate::git::{BRANCH, GitRepo};
use crate::process::Process;
use crate::programs;
use crate::rundir::RunDir;
use crate::sandbox::Cluster;

/// A steady load on one cluster's gateway.
#[derive(Debug)]
pub struct Load {
    process: Process,
    answers: PathBuf,
}

impl Load {
    /// Starts it; every answer goes to `load/<cluster>.ndjson` of the run.
    pub fn start(run: &RunDir, cluster: &Cluster, host: &str, per_second: u32) -> Result<Self> {
        let answers = run
            .folder("load")?
            .join(format!("{}.ndjson", cluster.name()));
        let mut command = Command::new(programs::sandbox()?);
        command.args(["load", "--gateway", &cluster.gateway()?, "--host", host]);
        command.args([
            "--rate",
            &per_second.to_string(),
            "--cluster",
            cluster.name(),
        ]);
        // Somebody may look at a demo for longer than the load generator would go on by itself.
        command
            .args(["--max-duration", "24h"])
            .arg("--out")
            .arg(&answers);
        let process = Process::spawn(run, &format!("load-{}", cluster.name()), command)?;
        Ok(Self { process, answers })
    }

    /// The file of answers.
    pub fn answers(&self) -> &Path {
        &self.answers
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// What puts each push into the clusters.
#[derive(Debug)]
pub struct Applier {
    process: Process,
}

impl Applier {
    /// Follows the repository's branch; the manifests of a cluster are in the folder of its name.
    pub fn start(run: &RunDir, repo: &GitRepo, clusters: &[Cluster]) -> Result<Self> {
        let mut command = Command::new(programs::sandbox()?);
        command.arg("applier").arg("--repo").arg(repo.path());
        command.args(["--branch", BRANCH, "--interval", "300ms"]);
        for cluster in clusters {
            let name = cluster.name();
            let value = format!("{name}={}={name}", cluster.kubeconfig().display());
            command.args(["--cluster", &value]);
        }
        let process = Process::spawn(run, "applier", command)?;
        Ok(Self { process })
    }

    /// Waits until a revision is in a cluster.
    pub async fn applied(
        &mut self,
        revision: &str,
        cluster: &str,
        deadline: std::time::Duration,
    ) -> Result<()> {
        let words = format!("applied {revision} {cluster}");
        self.process.said(&words, deadline).await.map(|_| ())
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
