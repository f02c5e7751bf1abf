//! Argo Rollouts' published controller as a candidate for the Lease that it and the agent share. In: a cluster. Out: the
//! running program and what it says in its log. It has the administrator's rights: what it may do is not our question.

use std::process::Command;

use tests_fleet::agent::NAMESPACE;
use tests_fleet::{Agent, AgentAccess, AgentOptions, Cluster, Process, Result, RunDir, programs};

use crate::quiet::quiet;
use crate::shop::SOON;

/// The Lease of both, with times that a test can wait for.
const ELECTION: [&str; 4] = [
    "--leader-elect=true",
    "--leader-election-lease-duration=4s",
    "--leader-election-renew-deadline=3s",
    "--leader-election-retry-period=1s",
];
/// So long without a pass means that it has nothing more to do.
const STILL: std::time::Duration = std::time::Duration::from_secs(2);

/// The controller.
#[derive(Debug)]
pub struct Peer {
    process: Process,
}

impl Peer {
    /// Starts it.
    pub fn start(run: &RunDir, cluster: &Cluster, name: &str) -> Result<Self> {
        let mut command = Command::new(programs::peer()?);
        command.arg("--kubeconfig").arg(cluster.kubeconfig());
        // Ports that are free.
        command.args(["--metricsPort=0", "--healthzPort=0"]);
        command.args(ELECTION);
        command.env("POD_NAMESPACE", NAMESPACE);
        let process = Process::spawn(run, name, command)?;
        Ok(Self { process })
    }

    /// The process, for signals to it and waits on it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until it leads.
    pub async fn leads(&mut self) -> Result<()> {
        self.process.said("I am the new leader", SOON).await?;
        Ok(())
    }

    /// Waits until it knows that it does not lead.
    pub async fn stands_by(&mut self) -> Result<()> {
        let leader = "New leader elected: groundswell-agent_";
        self.process.said(leader, SOON).await?;
        Ok(())
    }

    /// How many passes over Rollouts it has made.
    pub fn passes(&self) -> u64 {
        let log = self.process.log();
        log.matches("Reconciliation completed")
            .count()
            .try_into()
            .unwrap_or(u64::MAX)
    }

    /// Waits until it has looked and makes no more passes.
    pub async fn rests(&mut self) -> Result<()> {
        self.process.said("Reconciliation completed", SOON).await?;
        let rested = quiet("the peer rests", STILL, SOON, || self.passes()).await;
        self.process.must_run()?;
        rested.map(|_| ())
    }
}

/// An agent that is a candidate for the same Lease.
pub fn rival(run: &RunDir, access: &AgentAccess) -> Result<Agent> {
    let options = AgentOptions {
        more: ELECTION.iter().map(|one| (*one).to_owned()).collect(),
        ..AgentOptions::default()
    };
    Agent::start(run, access, &options)
}
