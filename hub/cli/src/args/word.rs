//! Options of a person's words about releases. In: arguments. Out: values. It must not know what the hub makes of them.

use clap::Args;

/// Why, and by which name the hub knows the request again.
#[derive(Debug, Args)]
pub struct Why {
    /// Why; it goes into the history.
    #[arg(long)]
    pub reason: String,
    /// Your own name for this request; asked again by the same one, it is done once. Without it, one is made.
    #[arg(long)]
    pub key: Option<String>,
}

/// A word about a release as a whole.
#[derive(Debug, Args)]
pub struct About {
    /// checkout#2, or checkout for its newest.
    pub release: String,
    /// Why, and a name for this request.
    #[command(flatten)]
    pub why: Why,
}

/// Options of `release abort`.
#[derive(Debug, Args)]
pub struct Abort {
    /// Which, and why.
    #[command(flatten)]
    pub about: About,
    /// What had finished goes back, too; without either, as after a failed wave.
    #[arg(long, conflicts_with = "halt")]
    pub rollback: bool,
    /// What had finished stays.
    #[arg(long)]
    pub halt: bool,
}

/// Options of `release retry`.
#[derive(Debug, Args)]
pub struct Retry {
    /// Which, and why.
    #[command(flatten)]
    pub about: About,
    /// The cluster that failed.
    #[arg(long)]
    pub cluster: String,
}

/// Options of `release skip`.
#[derive(Debug, Args)]
pub struct Skip {
    /// Which, and why.
    #[command(flatten)]
    pub about: About,
    /// A cluster that has not started.
    #[arg(long, required_unless_present = "wave", conflicts_with = "wave")]
    pub cluster: Option<String>,
    /// A wave of which nothing has started.
    #[arg(long)]
    pub wave: Option<String>,
}

/// Options of `release promote`.
#[derive(Debug, Args)]
pub struct Promote {
    /// Which, and why.
    #[command(flatten)]
    pub about: About,
    /// The wave; without it, the one that bakes.
    #[arg(long)]
    pub wave: Option<String>,
}

/// Options of `stop` and `unstop`.
#[derive(Debug, Args)]
pub struct Stop {
    /// The whole fleet.
    #[arg(
        long,
        required_unless_present = "fleetrollout",
        conflicts_with = "fleetrollout"
    )]
    pub all: bool,
    /// Only this FleetRollout.
    #[arg(long)]
    pub fleetrollout: Option<String>,
    /// Why, and a name for this request.
    #[command(flatten)]
    pub why: Why,
}
