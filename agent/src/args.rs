//! The command line. In: arguments and environment. Out: `Args`, complete and consistent. It must not read files other
//! than the token's.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use agent_api::FirstContact;
use agent_api::names::LEADER_LEASE;
use agent_engine::{HpaCounting, Settings};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{ArgAction, Parser, ValueEnum};
use secrecy::SecretString;

use crate::asking::Asking;
use crate::cache::{InstanceId, Reach};
use crate::flags::Inert;
use crate::leader::Election;

/// Where the agent keeps its records unless told otherwise.
const NAMESPACE: &str = "groundswell";
/// Where the other controller's manifests look for metrics, and for probes.
const METRICS_PORT: u16 = 8090;
const HEALTH_PORT: u16 = 8080;
/// The controller of `--controllers` with which all others run.
const ROLLOUTS: &str = "rollouts";
/// The one that may run alone.
const ANALYSIS: &str = "analysis";

/// Progressive delivery inside one cluster, alone or as a member of a fleet.
#[derive(Debug, Clone, Parser)]
#[command(name = "groundswell-agent", version)]
pub struct Args {
    /// Cluster access; without it the pod's ServiceAccount is used
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// User of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The agent's own namespace
    #[arg(long, short = 'n', default_value = NAMESPACE)]
    pub namespace: String,
    /// Look at the own namespace alone; needs no rights in others
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub namespaced: bool,
    /// Act on objects with this value of the label argo-rollouts.argoproj.io/controller-instance-id; without it on those
    /// that lack the label
    #[arg(long, value_name = "ID")]
    pub instance_id: Option<String>,
    /// Seconds after which a Rollout is looked at although nothing changed
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    pub rollout_resync: u64,
    /// Address of the hub; without it the agent is a controller of its own
    #[arg(long, value_name = "https://HOST:PORT", env = "GROUNDSWELL_HUB")]
    pub hub: Option<String>,
    /// Name of this cluster in the fleet; needed to join
    #[arg(long, value_name = "NAME", env = "GROUNDSWELL_CLUSTER")]
    pub cluster: Option<String>,
    /// Token to join the fleet with, from `groundswell cluster token`
    #[arg(
        long,
        value_name = "TOKEN",
        env = "GROUNDSWELL_JOIN_TOKEN",
        hide_env_values = true,
        conflicts_with = "join_token_file"
    )]
    pub join_token: Option<SecretString>,
    /// File that holds the token
    #[arg(long, value_name = "FILE")]
    pub join_token_file: Option<PathBuf>,
    /// HTTP proxy between the agent and the hub
    #[arg(long, value_name = "http://HOST:PORT", env = "HTTPS_PROXY")]
    pub hub_proxy: Option<String>,
    /// What happens to new versions before the hub was ever heard
    #[arg(long, value_enum, default_value_t = First::Hold)]
    pub first_contact: First,
    /// Address of /metrics
    #[arg(long, default_value_t = on_all(METRICS_PORT), value_name = "HOST:PORT")]
    pub metrics_addr: SocketAddr,
    /// Address of /healthz and /readyz
    #[arg(long, default_value_t = on_all(HEALTH_PORT), value_name = "HOST:PORT")]
    pub health_addr: SocketAddr,
    /// Port of /metrics on every address, in the place of --metrics-addr
    #[arg(long = "metricsPort", alias = "metricsport", value_name = "PORT")]
    pub metrics_port: Option<u16>,
    /// Port of /healthz and /readyz on every address, in the place of --health-addr
    #[arg(long = "healthzPort", alias = "healthzport", value_name = "PORT")]
    pub healthz_port: Option<u16>,
    /// How metric providers are asked
    #[command(flatten)]
    pub asking: Asking,
    /// Run only while holding the Lease that all controllers of Rollouts share
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true")]
    pub leader_elect: bool,
    /// Which pods autoscalers are shown
    #[arg(long, value_enum, default_value_t = Counting::Traffic)]
    pub hpa_counting: Counting,
    /// Namespace of that Lease: where the other controller runs, while there is one; the own one unless said
    #[arg(long, value_name = "NAME")]
    pub leader_election_namespace: Option<String>,
    /// How long the Lease is good for without renewal
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub leader_election_lease_duration: Duration,
    /// Who has not renewed for so long stops
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub leader_election_renew_deadline: Duration,
    /// Between tries
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub leader_election_retry_period: Duration,
    /// Least weight of what is logged, unless RUST_LOG says
    #[arg(long, value_name = "LEVEL", default_value = "info", ignore_case = true, value_parser = PossibleValuesParser::new(LEVELS).map(level))]
    pub loglevel: String,
    /// Form of the log
    #[arg(long, alias = "logformat", value_enum, default_value_t = LogForm::Text)]
    pub log: LogForm,
    /// `analysis` to look after AnalysisRuns alone; without it, or with `rollouts`, everything
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub controllers: Vec<String>,
    /// Flags of the controller that this one takes the place of
    #[command(flatten)]
    pub inert: Inert,
}

/// Levels of the log; the last three are the other controller's words.
const LEVELS: [&str; 8] = [
    "trace", "debug", "info", "warn", "error", "warning", "fatal", "panic",
];

/// What happens before the first contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum First {
    /// New versions wait
    Hold,
    /// New versions start
    Open,
}

/// Which pods autoscalers are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Counting {
    /// Those that make their arithmetic right
    Traffic,
    /// All pods of a canary, as Argo Rollouts counts
    ArgoRollouts,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogForm {
    /// One JSON object a line
    Json,
    /// For people
    Text,
}

/// Why the arguments cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The hub's address is no https address.
    #[error("--hub {0:?} is not usable: write https://HOST:PORT")]
    Hub(String),
    /// The token's file cannot be read.
    #[error("cannot read the join token from {path}: {source}")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Times of the election that cannot be kept.
    #[error(
        "--leader-election-retry-period must be below --leader-election-renew-deadline, and that below --leader-election-lease-duration"
    )]
    Election,
    /// Controllers that do not run in this company.
    #[error(
        "--controllers={0} is not known: drop the flag for all, or write analysis for AnalysisRuns alone"
    )]
    Controllers(String),
    /// A fleet is about Rollouts.
    #[error(
        "--controllers=analysis looks after no Rollout, so there is nothing to tell a hub: drop --hub"
    )]
    AnalysesForHub,
    /// A token without a name.
    #[error("a join token is for one cluster: give its name with --cluster")]
    NoCluster,
}

impl Args {
    /// The first contact's policy in the API's words.
    #[must_use]
    pub fn first_contact(&self) -> FirstContact {
        match self.first_contact {
            First::Hold => FirstContact::Hold,
            First::Open => FirstContact::Open,
        }
    }

    /// What the engine is told of all Rollouts.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            hpa_counting: match self.hpa_counting {
                Counting::Traffic => HpaCounting::Traffic,
                Counting::ArgoRollouts => HpaCounting::ArgoRollouts,
            },
        }
    }

    /// How far the agent looks.
    #[must_use]
    pub fn reach(&self) -> Reach {
        if self.namespaced {
            Reach::Namespace(self.namespace.clone())
        } else {
            Reach::Cluster
        }
    }

    /// Whose objects it acts on.
    #[must_use]
    pub fn instance(&self) -> InstanceId {
        InstanceId(self.instance_id.clone().filter(|id| !id.is_empty()))
    }

    /// Where /metrics is.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        on_port(self.metrics_addr, self.metrics_port)
    }

    /// Where /healthz and /readyz are.
    #[must_use]
    pub fn health_address(&self) -> SocketAddr {
        on_port(self.health_addr, self.healthz_port)
    }

    /// The election, if there is to be one.
    pub fn election(&self) -> Result<Option<Election>, Error> {
        let (length, renew_within, retry) = (
            self.leader_election_lease_duration,
            self.leader_election_renew_deadline,
            self.leader_election_retry_period,
        );
        let in_order = Duration::ZERO < retry && retry < renew_within && renew_within < length;
        if !self.leader_elect {
            return Ok(None);
        }
        if !in_order {
            return Err(Error::Election);
        }
        let namespace = self.leader_election_namespace.as_ref();
        Ok(Some(Election {
            namespace: namespace.unwrap_or(&self.namespace).clone(),
            lease: lease_name(&self.instance()),
            length,
            renew_within,
            retry,
        }))
    }

    /// Whether only AnalysisRuns are looked after, as Argo Rollouts' controller does with `--controllers=analysis`.
    pub fn analyses_alone(&self) -> Result<bool, Error> {
        let named = self.controllers.iter().any(|name| name == ROLLOUTS);
        if self.controllers.is_empty() || named {
            return Ok(false);
        }
        if self.controllers.iter().any(|name| name != ANALYSIS) {
            return Err(Error::Controllers(self.controllers.join(",")));
        }
        match self.hub()? {
            None => Ok(true),
            Some(_) => Err(Error::AnalysesForHub),
        }
    }

    /// The join token, from the argument or its file.
    pub fn token(&self) -> Result<Option<SecretString>, Error> {
        let token = match &self.join_token_file {
            None => self.join_token.clone(),
            Some(path) => {
                let read = std::fs::read_to_string(path);
                let text = read.map_err(|source| Error::TokenFile {
                    path: path.clone(),
                    source,
                })?;
                Some(SecretString::from(text.trim().to_owned()))
            }
        };
        if token.is_some() && self.cluster.is_none() {
            return Err(Error::NoCluster);
        }
        Ok(token)
    }

    /// The hub's address, if it is one.
    pub fn hub(&self) -> Result<Option<http::Uri>, Error> {
        let Some(text) = self.hub.as_ref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let bad = || Error::Hub(text.clone());
        let uri: http::Uri = text.parse().map_err(|_| bad())?;
        if uri.scheme_str() == Some("https") && uri.host().is_some() {
            Ok(Some(uri))
        } else {
            Err(bad())
        }
    }
}

fn on_port(address: SocketAddr, port: Option<u16>) -> SocketAddr {
    port.map_or(address, on_all)
}

/// On IPv6 and IPv4 both; see `admin` for kernels without IPv6.
fn on_all(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
}

/// The word for a level that the other controller has more words for.
fn level(word: String) -> String {
    match word.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "fatal" | "panic" => "error".to_owned(),
        own => own.to_owned(),
    }
}

fn lease_name(instance: &InstanceId) -> String {
    match &instance.0 {
        Some(id) => format!("{LEADER_LEASE}-{id}"),
        None => LEADER_LEASE.to_owned(),
    }
}

/// A duration as Go and Kubernetes write it.
fn duration(text: &str) -> Result<Duration, String> {
    let span = agent_api::duration::parse(text).map_err(|error| error.to_string())?;
    Duration::try_from(span).map_err(|_| format!("{text} must not be negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Args {
        Args::try_parse_from([&["groundswell-agent"], args].concat()).unwrap()
    }

    #[test]
    fn hub_addresses() {
        assert!(parse(&[]).hub().unwrap().is_none());
        assert_eq!(
            parse(&["--hub", "https://hub:7443"])
                .hub()
                .unwrap()
                .unwrap()
                .host(),
            Some("hub")
        );
        for bad in ["hub:7443", "http://hub:7443", "https://", "not an address"] {
            assert!(parse(&["--hub", bad]).hub().is_err(), "{bad}");
        }
    }

    /// The command line of the other controller's manifests and charts, with everything that they can set.
    #[test]
    fn flags_of_the_other_controller_are_accepted() {
        let args = parse(&[
            "--rollout-resync=60",
            "--namespaced=true",
            "--namespace",
            "shop",
            "--loglevel=debug",
            "--logformat",
            "json",
            "--kloglevel=4",
            "--metricsPort",
            "8090",
            "--healthzPort=8080",
            "--instance-id",
            "blue",
            "--qps=40.5",
            "--burst=80",
            "--rollout-threads=10",
            "--experiment-threads=10",
            "--analysis-threads",
            "30",
            "--service-threads=10",
            "--ingress-threads=10",
            "--ephemeral-metadata-threads=10",
            "--istio-api-version=v1beta1",
            "--alb-ingress-classes=alb",
            "--alb-ingress-classes=b",
            "--nginx-ingress-classes=nginx",
            "--aws-verify-target-group",
            "--controllers=rollouts",
            "--self-service-notification-enabled=false",
            "--enable-pprof-address=:6060",
            "--leader-elect",
            "--leader-election-lease-duration=30s",
            "--leader-election-renew-deadline=20s",
            "--leader-election-retry-period=1s",
        ]);
        assert_eq!(args.rollout_resync, 60);
        assert_eq!(args.reach(), Reach::Namespace("shop".into()));
        assert_eq!(args.metrics_address().to_string(), "[::]:8090");
        assert_eq!(args.health_address().to_string(), "[::]:8080");
        assert_eq!(
            args.instance().selector(),
            "argo-rollouts.argoproj.io/controller-instance-id=blue"
        );
        let election = args.election().unwrap().unwrap();
        assert_eq!(election.lease, "argo-rollouts-controller-lock-blue");
        assert_eq!(election.namespace, "shop");
        assert_eq!(election.length, Duration::from_secs(30));
        let says = args.inert.says().unwrap();
        assert!(says.contains("--qps, --burst, --kloglevel"), "{says}");
        assert!(says.contains("--aws-verify-target-group"), "{says}");
        assert!(!says.contains("token"), "{says}");
    }

    #[test]
    fn without_flags_it_is_as_the_other_controller() {
        let args = parse(&[]);
        assert_eq!(args.inert.says(), None);
        assert_eq!(args.metrics_address().to_string(), "[::]:8090");
        assert_eq!(args.health_address().to_string(), "[::]:8080");
        assert_eq!(
            args.instance().selector(),
            "!argo-rollouts.argoproj.io/controller-instance-id"
        );
        let election = args.election().unwrap().unwrap();
        assert_eq!(election.lease, "argo-rollouts-controller-lock");
        assert_eq!(
            (election.length, election.renew_within, election.retry),
            (
                Duration::from_secs(15),
                Duration::from_secs(10),
                Duration::from_secs(2)
            )
        );
        assert_eq!(args.reach(), Reach::Cluster);
        assert_eq!(parse(&["--leader-elect=false"]).election().unwrap(), None);
        let wrong = parse(&["--leader-election-renew-deadline=20s"]);
        assert!(matches!(wrong.election(), Err(Error::Election)));
    }

    #[test]
    fn all_words_for_a_level_are_known() {
        assert_eq!(parse(&[]).loglevel, "info");
        let words = [
            ("trace", "trace"),
            ("warn", "warn"),
            ("warning", "warn"),
            ("WARNING", "warn"),
            ("fatal", "error"),
            ("panic", "error"),
        ];
        for (word, level) in words {
            assert_eq!(parse(&["--loglevel", word]).loglevel, level, "{word}");
        }
        let unknown = Args::try_parse_from(["groundswell-agent", "--loglevel=loud"]);
        assert!(unknown.is_err());
    }

    #[test]
    fn analyses_may_be_looked_after_alone() {
        for whole in [&[][..], &["--controllers=analysis,rollouts"]] {
            assert!(!parse(whole).analyses_alone().unwrap(), "{whole:?}");
        }
        let alone = parse(&["--controllers", "analysis"]).analyses_alone();
        assert!(alone.unwrap());
        let error = parse(&["--controllers=analysis,pods"]).analyses_alone();
        assert!(matches!(error, Err(Error::Controllers(list)) if list == "analysis,pods"));
        let fleet = parse(&["--controllers=analysis", "--hub=https://hub:7443"]);
        assert!(matches!(fleet.analyses_alone(), Err(Error::AnalysesForHub)));
    }

    #[test]
    fn a_token_needs_a_name() {
        assert!(matches!(
            parse(&["--join-token", "a.b.c"]).token(),
            Err(Error::NoCluster)
        ));
        assert!(
            parse(&["--join-token", "a.b.c", "--cluster", "prod"])
                .token()
                .unwrap()
                .is_some()
        );
        let missing = parse(&["--join-token-file", "/does/not/exist", "--cluster", "prod"]);
        assert!(matches!(missing.token(), Err(Error::TokenFile { .. })));
    }
}
