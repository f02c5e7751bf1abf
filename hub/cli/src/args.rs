//! The command line of `groundswell`. In: arguments and two environment variables. Out: typed options. It must not open
//! files or connections.

pub mod analysis;
pub mod break_glass;
pub mod history;
pub mod member;
pub mod word;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// See and steer releases through the fleet.
#[derive(Debug, Parser)]
#[command(
    name = "groundswell",
    version,
    about = "See and steer releases through the fleet",
    after_help = "Exit codes: 0 ok, 1 error, 2 usage, 3 release failed, 5 needs approval (3 and 5 only with --exit-status)"
)]
pub struct Cli {
    /// Client configuration, as the hub writes it.
    #[arg(long, global = true, env = "GROUNDSWELL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address of the hub, instead of the one in the configuration.
    #[arg(long, global = true)]
    pub hub: Option<String>,
    /// Form of the answer.
    #[arg(short, long, global = true, default_value = "table")]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Table or JSON.
    pub output: Output,
    /// Whether states are coloured.
    pub colour: bool,
    /// Letters in a line of the terminal; nothing elsewhere, where lines are as long as they are.
    pub width: Option<u16>,
}

impl Cli {
    /// Colours only on a terminal, and never where `NO_COLOR` is set.
    pub fn look(&self) -> Look {
        let asked_not_to = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Look {
            output: self.output,
            colour: std::io::stdout().is_terminal() && !asked_not_to,
            width: crate::table::terminal(),
        }
    }
}

/// What `groundswell` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check FleetRollout documents and store them.
    Apply(Apply),
    /// List what the hub knows.
    Get(Get),
    /// See or start a release.
    Release(Release),
    /// Approve a wave that waits for it.
    Approve(Approve),
    /// What happened, in order, with who did it.
    History(History),
    /// Why a release is where it is, and what would move it.
    Explain(Explain),
    /// Verify the history, or export it.
    Audit(history::Audit),
    /// Steer the hub itself.
    Hub(history::Hub),
    /// What a release would do if it opened now: waves, windows, exposure over time.
    Plan(PlanArgs),
    /// Take a release back, last wave first, also one that has ended.
    Rollback(word::About),
    /// Start nothing any more, and hold what is in flight at its step.
    Stop(word::Stop),
    /// Let go on what was stopped.
    Unstop(word::Stop),
    /// Bring a cluster into the fleet, change it, or take it out.
    Cluster(Cluster),
    /// End the governance of a FleetRollout, explicitly (the only way in which it ends).
    Ungovern(member::Ungovern),
    /// Govern again what was let go.
    Govern(member::Govern),
    /// Delete a document.
    Delete(member::Delete),
    /// Check Rollouts, analyses and experiments without a hub.
    Lint(Lint),
    /// Try an analysis from here: against its providers, or against a Prometheus' history.
    Analysis(analysis::Analysis),
    /// Start held content in one cluster without the fleet's word, for when the hub cannot give it.
    BreakGlass(break_glass::BreakGlass),
}

/// Options of `lint`.
#[derive(Debug, Args)]
pub struct Lint {
    /// Manifests, or folders of them; - is stdin.
    #[arg(short = 'f', long = "file", required = true, num_args = 1.., value_name = "FILE")]
    pub files: Vec<String>,
    /// Also look into a cluster: kinds, templates, Services, keys of Secrets.
    #[arg(long)]
    pub live: bool,
    /// Which cluster of the kubeconfig, instead of its current one.
    #[arg(long, requires = "live", value_name = "NAME")]
    pub context: Option<String>,
}

/// Options of `apply`.
#[derive(Debug, Args)]
pub struct Apply {
    /// YAML with one or more FleetRollouts; - is stdin.
    #[arg(short = 'f', long = "file")]
    pub file: String,
    /// Only check.
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `get`.
#[derive(Debug, Args)]
pub struct Get {
    /// What to list.
    pub what: Listed,
    /// Only releases of this FleetRollout.
    #[arg(long)]
    pub fleetrollout: Option<String>,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// The members of the fleet.
    #[value(alias = "cluster")]
    Clusters,
    /// The declared intents.
    #[value(alias = "fleetrollout")]
    Fleetrollouts,
    /// The versions that travelled.
    #[value(alias = "release")]
    Releases,
}

/// `release …`.
#[derive(Debug, Args)]
pub struct Release {
    /// Which.
    #[command(subcommand)]
    pub command: ReleaseCommand,
}

/// What can be done with a release.
#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Waves, clusters, and what each waits for.
    Show(Show),
    /// Open a release for the content that is in the clusters already, by a person's word.
    Start(Start),
    /// Let it shorten what spec.expedite allows from now on: bakes and windows after its first wave.
    Expedite(word::About),
    /// Start nothing new; what is in flight goes on.
    Pause(word::About),
    /// Go on.
    Resume(word::About),
    /// End it: what is in flight goes back.
    Abort(word::Abort),
    /// Let a cluster that failed start again.
    Retry(word::Retry),
    /// Pass over a cluster or a wave; it never counts as success.
    Skip(word::Skip),
    /// End the bake of a wave.
    Promote(word::Promote),
}

/// Options of `release show`.
#[derive(Debug, Args)]
pub struct Show {
    /// checkout#2, or checkout for its newest.
    pub release: String,
    /// End with 3 if the release failed and with 5 if it waits for an approval.
    #[arg(long)]
    pub exit_status: bool,
}

/// Options of `release start`.
#[derive(Debug, Args)]
pub struct Start {
    /// The FleetRollout.
    pub fleet_rollout: String,
    /// Shorten what the document's spec.expedite allows; never the first wave.
    #[arg(long)]
    pub expedite: bool,
    /// Why, and a name for this request.
    #[command(flatten)]
    pub why: word::Why,
}

/// Options of `approve`.
#[derive(Debug, Args)]
pub struct Approve {
    /// checkout#2, or checkout for its newest.
    pub release: String,
    /// The wave; without it, the one that waits for approval.
    #[arg(long)]
    pub wave: Option<String>,
    /// Digest of the plan that you saw; without it, the one printed before the question.
    #[arg(long)]
    pub plan: Option<String>,
    /// What you looked at; it goes into the history.
    #[arg(long)]
    pub comment: String,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// Options of `history`.
#[derive(Debug, Args)]
pub struct History {
    /// checkout#2, or checkout for its newest; without it, everything.
    pub release: Option<String>,
    /// What to show of it.
    #[command(flatten)]
    pub filter: history::Filter,
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// checkout#2, or checkout for its newest.
    pub release: String,
    /// Only this cluster.
    #[arg(long)]
    pub cluster: Option<String>,
}

/// Options of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The FleetRollout, as it is stored.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub fleet_rollout: Option<String>,
    /// YAML that is not applied yet, instead; - is stdin.
    #[arg(short = 'f', long = "file")]
    pub file: Option<String>,
}

/// `cluster …`.
#[derive(Debug, Args)]
pub struct Cluster {
    /// Which.
    #[command(subcommand)]
    pub command: ClusterCommand,
}

/// What can be done for a cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Make a token with which one agent can join once.
    Token(Token),
    /// Deny every certificate that the cluster has; what runs there goes on.
    Revoke(Revoke),
    /// Give it other labels.
    Relabel(member::Relabel),
    /// Give it another name; its identity stays.
    Rename(member::Rename),
    /// Say that another cluster takes its place under its name.
    Rebind(member::Rebind),
    /// Take it out of the fleet; what runs there goes on.
    Remove(member::Remove),
}

/// Options of `cluster revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The cluster's name.
    pub name: String,
    /// Why; it goes into the history.
    #[arg(long)]
    pub reason: String,
}

/// Options of `cluster token`.
#[derive(Debug, Args)]
pub struct Token {
    /// The cluster's name.
    pub name: String,
    /// A label of the cluster, key=value; waves select by them.
    #[arg(long = "label", value_parser = parse_label)]
    pub labels: Vec<(String, String)>,
    /// How long the token can be used; at most 1h.
    #[arg(long, default_value = "1h", value_parser = parse_ttl)]
    pub ttl: u32,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected key=value".to_owned()),
    }
}

fn parse_ttl(text: &str) -> Result<u32, String> {
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "expected a duration such as 30m or 1h".to_owned())?;
    match u32::try_from(span.as_secs()) {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        Ok(_) | Err(_) => Err("expected at least one second".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_manual_parse() {
        for line in [
            "groundswell apply -f x.yaml --dry-run",
            "groundswell get clusters -o json",
            "groundswell get releases --fleetrollout checkout",
            "groundswell release show checkout#2",
            "groundswell release start checkout --reason again",
            "groundswell approve checkout#2 --wave europe --plan v1:a --comment ok --yes",
            "groundswell history",
            "groundswell release start checkout --expedite --reason outage --key k1",
            "groundswell release pause checkout#2 --reason lunch",
            "groundswell release expedite checkout#2 --reason outage",
            "groundswell release resume checkout --reason back",
            "groundswell release abort checkout#2 --halt --reason bad",
            "groundswell release abort checkout#2 --rollback --reason bad",
            "groundswell release retry checkout#2 --cluster eu-1 --reason disk",
            "groundswell release skip checkout#2 --cluster eu-1 --reason sold",
            "groundswell release skip checkout#2 --wave europe --reason closed",
            "groundswell release promote checkout#2 --wave europe --reason watched",
            "groundswell rollback checkout#2 --reason slow",
            "groundswell stop --all --reason alarm",
            "groundswell unstop --fleetrollout checkout --reason over",
            "groundswell history checkout#2",
            "groundswell history --cluster prod-eu --by ann --kind PermitGranted --since 2026-01-01T00:00:00Z --limit 5 --after 7",
            "groundswell history --refusals",
            "groundswell audit verify",
            "groundswell audit verify --file history.ndjson",
            "groundswell audit export",
            "groundswell hub recover --reason restored",
            "groundswell hub check",
            "groundswell explain checkout#2 --cluster prod-eu",
            "groundswell plan checkout",
            "groundswell plan -f x.yaml -o json",
            "groundswell analysis run -f a.yaml --arg service=web --count 3 --interval 5s",
            "groundswell analysis run -f a.yaml --secret keys.api=env:KEY --dry-run-metric p95",
            "groundswell analysis backtest -f a.yaml --since 7d --step 1m",
            "groundswell lint -f a.yaml --live --context staging",
            "groundswell lint -f a.yaml b.yaml -f folder -o json",
            "groundswell cluster revoke prod-eu --reason sold",
            "groundswell cluster relabel prod-eu ring=1 canary- --reason moved",
            "groundswell cluster rename prod-eu prod-eu-1 --reason more",
            "groundswell cluster rebind prod-eu --uid 1-2-3 --reason rebuilt",
            "groundswell cluster remove prod-eu --reason sold",
            "groundswell ungovern checkout --cluster prod-eu --keep-serving --reason moved",
            "groundswell ungovern checkout --release-held --reason moved --key k",
            "groundswell govern checkout --reason back",
            "groundswell delete fleetwindow sale --reason over",
            "groundswell delete fleetrollout checkout --reason gone",
            "groundswell cluster token prod-eu --label region=eu --label tier=prod --ttl 30m",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn words_that_contradict_themselves_do_not_parse() {
        for line in [
            "groundswell release pause checkout#2",
            "groundswell release abort checkout#2 --halt --rollback --reason both",
            "groundswell release skip checkout#2 --reason neither",
            "groundswell release skip checkout#2 --wave a --cluster b --reason both",
            "groundswell stop --reason nothing",
            "groundswell ungovern checkout --reason neither",
            "groundswell ungovern checkout --keep-serving --release-held --reason both",
            "groundswell cluster relabel prod-eu",
            "groundswell cluster remove prod-eu",
            "groundswell stop --all --fleetrollout checkout --reason both",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn labels_and_durations() {
        assert_eq!(parse_label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(parse_label("a").is_err());
        assert!(parse_label("=a").is_err());
        assert_eq!(parse_ttl("30m"), Ok(1_800));
        assert!(parse_ttl("0s").is_err());
        assert!(parse_ttl("soon").is_err());
    }
}
