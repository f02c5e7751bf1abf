//! Options about the history. In: arguments. Out: typed options. It must not open files.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;

/// Which rows of the history.
#[derive(Debug, Args)]
pub struct Filter {
    /// Only about this cluster.
    #[arg(long)]
    pub cluster: Option<String>,
    /// Only what this person, agent:CLUSTER or hub did.
    #[arg(long)]
    pub by: Option<String>,
    /// Only rows of this kind, such as PermitGranted.
    #[arg(long)]
    pub kind: Option<String>,
    /// From then on: 2026-01-31T08:00:00Z.
    #[arg(long)]
    pub since: Option<Timestamp>,
    /// Before then.
    #[arg(long)]
    pub until: Option<Timestamp>,
    /// Only rows after this sequence.
    #[arg(long, default_value_t = 0)]
    pub after: u64,
    /// At most so many rows; without it, all.
    #[arg(long)]
    pub limit: Option<u32>,
    /// Attempts that were refused, the newest first, instead of what happened.
    #[arg(long, conflicts_with_all = ["release", "cluster", "by", "kind", "since", "until", "after"])]
    pub refusals: bool,
}

/// `audit …`.
#[derive(Debug, Args)]
pub struct Audit {
    /// Which.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What can be done with the whole history.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Follow every chain, and name the first row that was changed, removed or put in.
    Verify(Verify),
    /// Print every row, where each chain ends and what agents were handed, one JSON a line.
    Export,
}

/// Options of `audit verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// An export, instead of the hub's own rows.
    #[arg(long)]
    pub file: Option<PathBuf>,
}

impl Audit {
    /// The export that it verifies without a hub.
    pub fn offline(&self) -> Option<&Path> {
        match &self.command {
            AuditCommand::Verify(args) => args.file.as_deref(),
            AuditCommand::Export => None,
        }
    }
}

/// `hub …`.
#[derive(Debug, Args)]
pub struct Hub {
    /// Which.
    #[command(subcommand)]
    pub command: HubCommand,
}

/// What can be done for the hub.
#[derive(Debug, Subcommand)]
pub enum HubCommand {
    /// Let it decide again after its database was restored.
    Recover(Recover),
    /// Who decides, what the database promises, who is connected.
    Check,
}

/// Options of `hub recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// Why; it goes into the history.
    #[arg(long)]
    pub reason: String,
}
