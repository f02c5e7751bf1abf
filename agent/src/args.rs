//! The command line. In: arguments and environment. Out: `Args`, complete and consistent. It must not read files other
//! than the token's.

use std::net::SocketAddr;
use std::path::PathBuf;

use agent_api::FirstContact;
use agent_engine::{HpaCounting, Settings};
use clap::{Parser, ValueEnum};
use secrecy::SecretString;

/// Where the agent keeps its records unless told otherwise.
const NAMESPACE: &str = "groundswell";

/// Progressive delivery inside one cluster, alone or as a member of a fleet.
#[derive(Debug, Clone, Parser)]
#[command(name = "groundswell-agent", version)]
pub struct Args {
    /// Cluster access; without it the pod's ServiceAccount is used
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The agent's own namespace
    #[arg(long, default_value = NAMESPACE)]
    pub namespace: String,
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
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    pub metrics_addr: SocketAddr,
    /// Address of /healthz and /readyz
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    pub health_addr: SocketAddr,
    /// Prometheus that analyses ask when they do not say which
    #[arg(long, value_name = "URL", env = "ARGO_ROLLOUTS_PROMETHEUS_ADDRESS")]
    pub prometheus_address: Option<String>,
    /// Run only while holding the Lease that all controllers of Rollouts share
    #[arg(long)]
    pub leader_elect: bool,
    /// Which pods autoscalers are shown
    #[arg(long, value_enum, default_value_t = Counting::Traffic)]
    pub hpa_counting: Counting,
    /// Form of the log
    #[arg(long, value_enum, default_value_t = LogForm::Text)]
    pub log: LogForm,
}

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
