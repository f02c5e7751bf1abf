//! Options of `break-glass`. In: arguments. Out: typed options. It must not open connections.

use clap::Args;

/// Options of `break-glass`.
#[derive(Debug, Args)]
#[command(
    after_help = "It needs no hub: it writes to the Rollout, in the cluster of the kubeconfig, and counts once. The cluster refuses \
                  it from whoever lacks the verb override on gates.fleet.groundswell.dev (deploy/agent/break-glass.yaml)."
)]
pub struct BreakGlass {
    /// The Rollout.
    pub rollout: String,
    /// Its namespace, instead of the one of the kubeconfig.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// The content that may start, as the Gate names it.
    #[arg(long, required_unless_present = "held", conflicts_with = "held")]
    pub digest: Option<String>,
    /// The content that is held now.
    #[arg(long)]
    pub held: bool,
    /// Why; it is kept in the history, with who said it.
    #[arg(long)]
    pub reason: String,
    /// Which cluster of the kubeconfig, instead of its current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Where the agent keeps its Gates; for --held.
    #[arg(long, default_value = "groundswell", value_name = "NAMESPACE")]
    pub agent_namespace: String,
}
