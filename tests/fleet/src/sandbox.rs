//! The local clusters. In: names. Out: a control plane, a node and a gateway for each, with the paths of their files.
//! The sandbox is a program of its own; this only starts it, waits for it and ends it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process::Process;
use crate::programs;
use crate::rundir::RunDir;

/// One control plane is ready 3.5 s after its start; several on two busy cores take a few times that.
const READY: Duration = Duration::from_secs(120);

/// One cluster of the sandbox.
#[derive(Debug, Clone)]
pub struct Cluster {
    name: String,
    dir: PathBuf,
}

impl Cluster {
    /// Its name in the fleet.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// What its kubelet wrote: what ran, when.
    pub fn journal(&self) -> PathBuf {
        self.dir.join("journal.ndjson")
    }

    /// Prometheus' list of its pods.
    pub fn targets(&self) -> PathBuf {
        self.dir.join("targets.json")
    }

    /// host:port of the gateway.
    pub fn gateway(&self) -> Result<String> {
        self.line("gateway")
    }

    /// `http://host:port` of etcd.
    pub fn etcd(&self) -> Result<String> {
        self.line("etcd-client")
    }

    /// The API server's audit log, if the sandbox was given a policy for it.
    pub fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    fn line(&self, file: &str) -> Result<String> {
        let path = self.dir.join(file);
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        Ok(text.trim().to_owned())
    }

    /// A client with the administrator's rights.
    pub async fn client(&self) -> Result<kube::Client> {
        crate::kubeconfig::client(&self.kubeconfig()).await
    }
}

/// The running sandbox. Dropping it takes every cluster down.
#[derive(Debug)]
pub struct Sandbox {
    process: Process,
    clusters: Vec<Cluster>,
    dir: PathBuf,
}

impl Sandbox {
    /// Starts clusters of these names and waits until all are ready.
    pub async fn up(run: &RunDir, names: &[&str]) -> Result<Self> {
        Self::up_with(run, names, &[]).await
    }

    /// The same with further flags of `sandbox up`.
    pub async fn up_with(run: &RunDir, names: &[&str], more: &[String]) -> Result<Self> {
        let dir = run.folder("sandbox")?;
        let mut command = Command::new(programs::sandbox()?);
        command
            .arg("up")
            .args(["--names", &names.join(",")])
            .arg("--dir")
            .arg(&dir)
            .args(more);
        let mut process = Process::spawn(run, "sandbox", command)?;
        process.said_exactly("ready", READY).await?;
        let clusters = names
            .iter()
            .map(|name| Cluster {
                name: (*name).to_owned(),
                dir: dir.join(name),
            })
            .collect();
        Ok(Self {
            process,
            clusters,
            dir,
        })
    }

    /// Its clusters, in the order of the names.
    pub fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    /// One of them.
    pub fn cluster(&self, name: &str) -> Result<&Cluster> {
        self.clusters
            .iter()
            .find(|cluster| cluster.name == name)
            .ok_or_else(|| Error::Check(format!("the sandbox has no cluster {name}")))
    }

    /// The folder with a folder for each cluster.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process, for signals to it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
