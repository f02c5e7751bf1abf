//! How providers are asked: flags and variables of the environment.
//!
//! In: the command line, the environment. Out: settings for the transport, the providers and Jobs. It must not ask anybody.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_providers::{Environment, Guard, Settings, Transport};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use secrecy::SecretString;

use crate::cache::Caches;
use crate::job::Jobs;

/// Variables that providers fall back on begin with one of these; HOME is where files with profiles are.
const VARIABLES: [&str; 3] = ["AWS_", "DD_", "HOME"];
/// The word for the cluster that the program runs in.
const IN_CLUSTER: &str = "in-cluster";

/// Flags about analyses.
#[derive(Debug, Clone, clap::Args)]
pub struct Asking {
    /// Prometheus that analyses ask when they do not say which
    #[arg(long, value_name = "URL", env = "ARGO_ROLLOUTS_PROMETHEUS_ADDRESS")]
    pub prometheus_address: Option<String>,
    /// Certificates of authorities that metric providers' servers may have, beside the system's (PEM)
    #[arg(long, value_name = "FILE")]
    pub analysis_ca_file: Option<PathBuf>,
    /// Let analyses ask servers on loopback addresses: what listens there often trusts whoever asks
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub analysis_allow_loopback: bool,
    /// Cluster that Jobs of analyses run in, unless it is this one: a kubeconfig, or the word in-cluster
    #[arg(
        long,
        value_name = "FILE",
        env = "ARGO_ROLLOUTS_ANALYSIS_JOB_KUBECONFIG"
    )]
    pub analysis_job_kubeconfig: Option<PathBuf>,
    /// Namespace that Jobs of analyses run in, unless it is their runs'
    #[arg(
        long,
        value_name = "NAME",
        env = "ARGO_ROLLOUTS_ANALYSIS_JOB_NAMESPACE"
    )]
    pub analysis_job_namespace: Option<String>,
}

/// Why providers could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authorities' file cannot be read.
    #[error("cannot read --analysis-ca-file {path}: {source}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The transport does not take its settings.
    #[error("cannot ask metric providers: {0}")]
    Transport(#[from] agent_providers::transport::Error),
    /// The other cluster cannot be reached.
    #[error("cannot use --analysis-job-kubeconfig {path}: {why}")]
    Jobs {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl Asking {
    /// The HTTP client of the providers.
    pub fn transport(&self) -> Result<Transport, Error> {
        let authorities = match &self.analysis_ca_file {
            None => None,
            Some(path) => Some(std::fs::read(path).map_err(|source| Error::Authorities {
                path: path.clone(),
                source,
            })?),
        };
        let settings = Settings {
            guard: Guard::new(self.analysis_allow_loopback),
            authorities,
            variables: variables(),
            ..Settings::default()
        };
        Ok(Transport::new(settings)?)
    }

    /// What providers fall back on.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let address = self.prometheus_address.clone();
        Environment {
            prometheus_address: address.filter(|address| !address.is_empty()),
            variables: variables(),
        }
    }

    /// Jobs are made where their runs are, so that they can be watched.
    #[must_use]
    pub fn jobs_are_beside_runs(&self) -> bool {
        self.elsewhere() == (None, None)
    }

    fn elsewhere(&self) -> (Option<&Path>, Option<&str>) {
        let path = self.analysis_job_kubeconfig.as_deref();
        let namespace = self.analysis_job_namespace.as_deref();
        (
            path.filter(|path| !path.as_os_str().is_empty()),
            namespace.filter(|name| !name.is_empty()),
        )
    }

    /// Where Jobs are made.
    pub async fn jobs(&self, client: Client, caches: &Arc<Caches>) -> Result<Jobs, Error> {
        let (path, namespace) = self.elsewhere();
        match (path, namespace.map(str::to_owned)) {
            (None, None) => Ok(Jobs::beside_runs(client, Arc::clone(&caches.jobs))),
            (None, namespace) => Ok(Jobs::elsewhere(client, namespace, true)),
            (Some(path), namespace) => {
                let other = other_cluster(path).await?;
                Ok(Jobs::elsewhere(other, namespace, false))
            }
        }
    }
}

/// The environment is read at the start and nowhere later.
fn variables() -> BTreeMap<String, SecretString> {
    let known = |name: &str| VARIABLES.iter().any(|prefix| name.starts_with(prefix));
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| known(name) && !value.is_empty())
        .map(|(name, value)| (name, value.into()))
        .collect()
}

async fn other_cluster(path: &Path) -> Result<Client, Error> {
    let bad = |why: String| Error::Jobs {
        path: path.to_owned(),
        why,
    };
    let config = if path == Path::new(IN_CLUSTER) {
        Config::incluster().map_err(|error| bad(error.to_string()))?
    } else {
        let read = Kubeconfig::read_from(path).map_err(|error| bad(error.to_string()))?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(read, &options).await;
        config.map_err(|error| bad(error.to_string()))?
    };
    Client::try_from(config).map_err(|error| bad(error.to_string()))
}
