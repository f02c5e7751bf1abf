//! The agent in a cluster. In: the shipped CRDs and rights, a hub's token. Out: a running groundswell-agent that has a
//! token of its own ServiceAccount and nothing more. What it may do is what deploy/ says, so a 403 is a fault of ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};

use crate::apply;
use crate::error::{Error, Result};
use crate::kubeconfig::{self, Server};
use crate::process::Process;
use crate::programs;
use crate::rundir::RunDir;
use crate::sandbox::Cluster;

/// The agent's namespace and ServiceAccount, as deploy/agent has them.
pub const NAMESPACE: &str = "groundswell";
/// The ServiceAccount.
pub const SERVICE_ACCOUNT: &str = "groundswell-agent";

/// Longer than any run.
const TOKEN_SECONDS: i64 = 24 * 3600;
/// Where nobody has to ask.
const ANY_PORT: &str = "127.0.0.1:0";

/// How words in a log tell that the API server refused something for want of rights.
const FORBIDDEN: [&str; 3] = ["403", "forbidden", "Forbidden"];
/// The fields of a log line whose number 403 is a refusal.
const CODES: [&str; 2] = ["code=", "status="];
/// How it says that its own audit found fault with a plan.
const BREAKS: &str = "a plan breaks an invariant";

/// What an agent has in a cluster before it runs: kinds, rights, a token.
#[derive(Debug, Clone)]
pub struct AgentAccess {
    name: String,
    cluster: String,
    server: Server,
    token: String,
    kubeconfig: PathBuf,
}

impl AgentAccess {
    /// Puts the CRDs and the agent's rights into the cluster and asks for a token.
    pub async fn install(run: &RunDir, cluster: &Cluster) -> Result<Self> {
        Self::install_from(run, cluster, "agent").await
    }

    /// The same with the rights of another folder of `deploy`.
    pub async fn install_from(run: &RunDir, cluster: &Cluster, folder: &str) -> Result<Self> {
        let client = cluster.client().await?;
        let deploy = programs::workspace().join("deploy");
        apply::manifests(&client, &deploy.join("crds")).await?;
        apply::manifests(&client, &deploy.join(folder)).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, NAMESPACE);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let what = format!(
            "token of {NAMESPACE}/{SERVICE_ACCOUNT} in {}",
            cluster.name()
        );
        let answer = accounts
            .create_token_request(SERVICE_ACCOUNT, &PostParams::default(), &request)
            .await
            .map_err(Error::kube(&what))?;
        let token = answer
            .status
            .and_then(|status| status.token)
            .unwrap_or_default();
        let server = kubeconfig::server(&cluster.kubeconfig())?;
        let kubeconfig = run
            .folder("agents")?
            .join(format!("{}.kubeconfig", cluster.name()));
        kubeconfig::write(&kubeconfig, &server, &token)?;
        Ok(Self {
            name: cluster.name().to_owned(),
            cluster: cluster.name().to_owned(),
            server,
            token,
            kubeconfig,
        })
    }

    /// The same rights through another address (a proxy); `ca` absent for plain HTTP. Agents with access of this name have
    /// logs of their own.
    pub fn through(
        &self,
        run: &RunDir,
        name: &str,
        url: &str,
        ca: Option<Vec<u8>>,
    ) -> Result<Self> {
        let server = Server {
            url: url.to_owned(),
            ca,
        };
        let kubeconfig = run.folder("agents")?.join(format!("{name}.kubeconfig"));
        kubeconfig::write(&kubeconfig, &server, &self.token)?;
        Ok(Self {
            name: name.to_owned(),
            server,
            kubeconfig,
            ..self.clone()
        })
    }

    /// The API server behind it.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The file that the agent reads.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

/// How to start an agent.
#[derive(Debug, Clone, Default)]
pub struct AgentOptions {
    /// The hub's address, `https://…`; absent: stand-alone.
    pub hub: Option<String>,
    /// For the first start in a cluster.
    pub join_token: Option<String>,
    /// Where analyses ask if their template does not say.
    pub prometheus: Option<String>,
    /// Another build of it.
    pub binary: Option<PathBuf>,
    /// Further arguments.
    pub more: Vec<String>,
    /// Of its environment: a clock that the test sets.
    pub environment: Vec<(String, String)>,
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    cluster: String,
    access: AgentAccess,
    options: AgentOptions,
    process: Process,
}

impl Agent {
    /// Starts it.
    pub fn start(run: &RunDir, access: &AgentAccess, options: &AgentOptions) -> Result<Self> {
        let binary = match &options.binary {
            Some(path) => path.clone(),
            None => programs::program("groundswell-agent")?,
        };
        let mut command = Command::new(binary);
        command.arg("--kubeconfig").arg(&access.kubeconfig);
        command.args(["--namespace", NAMESPACE, "--cluster", &access.cluster]);
        // The Lease of an agent that was killed runs for its length; tests of the election ask for it.
        if !options.more.iter().any(|one| one.contains("leader-elect")) {
            command.arg("--leader-elect=false");
        }
        if let Some(hub) = &options.hub {
            command.args(["--hub", hub]);
        }
        if let Some(token) = &options.join_token {
            command.args(["--join-token", token]);
        }
        if let Some(prometheus) = &options.prometheus {
            command.args(["--prometheus-address", prometheus]);
        }
        // All servers of these tests are on loopback.
        command.arg("--analysis-allow-loopback");
        // Several of them run on one machine.
        command.args(["--metrics-addr", ANY_PORT, "--health-addr", ANY_PORT]);
        command.args(&options.more);
        let environment = options.environment.iter();
        command.envs(environment.map(|(name, value)| (name, value)));
        let process = Process::spawn(run, &format!("agent-{}", access.name), command)?;
        Ok(Self {
            cluster: access.cluster.clone(),
            access: access.clone(),
            options: options.clone(),
            process,
        })
    }

    /// Starts it once more after its end, as a Deployment would. The identity is in the cluster by then.
    pub fn again(&mut self, run: &RunDir) -> Result<()> {
        *self = Self::start(run, &self.access, &self.options)?;
        Ok(())
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The process, for signals to it and waits on it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits for words in its log.
    pub async fn said(&mut self, words: &str, deadline: Duration) -> Result<String> {
        self.process.said(words, deadline).await
    }

    /// An error if the API server ever refused it for want of rights, or a plan of its own ever broke an invariant. It
    /// writes its log line by line before it acts, so that a fault is there before what came of it can be seen.
    pub fn assert_no_fault(&self) -> Result<()> {
        let log = self.process.log();
        let cluster = &self.cluster;
        if let Some(line) = forbidden(&log) {
            return Err(Error::Check(format!(
                "the agent of {cluster} lacks a right that deploy/agent should give: {line}"
            )));
        }
        match broken(&log) {
            None => Ok(()),
            Some(line) => Err(Error::Check(format!(
                "the agent of {cluster} made a plan that its own audit refuses: {line}"
            ))),
        }
    }
}

/// The first line of a log that tells of a refusal. A number counts only on its own: 403 ms or a port is no refusal.
fn forbidden(log: &str) -> Option<&str> {
    let tells = |line: &str, word: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before_it = line.get(..at).unwrap_or_default();
            let before = before_it.chars().next_back();
            let after = line
                .get(at + word.len()..)
                .and_then(|text| text.trim_start().chars().next());
            let joined = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '.');
            // A field of the log is a refusal where it is named for one: `wait_ms=403` is a time.
            let named =
                !before_it.ends_with('=') || CODES.iter().any(|key| before_it.ends_with(key));
            word != "403" || (named && !joined(before) && !joined(after))
        })
    };
    log.lines()
        .find(|line| FORBIDDEN.iter().any(|word| tells(line, word)))
}

/// The first line of a log that tells of a plan against the rules.
fn broken(log: &str) -> Option<&str> {
    log.lines().find(|line| line.contains(BREAKS))
}

#[cfg(test)]
mod tests {
    use super::{broken, forbidden};

    #[test]
    fn finds_plans_against_the_rules() {
        let line = r#"ERROR agent::controller: a plan breaks an invariant rollout=a/b rule="duration-adds-up""#;
        assert_eq!(broken(&format!("INFO one\n{line}\nINFO two")), Some(line));
        assert_eq!(broken("INFO one\nERROR agent: cannot write"), None);
    }

    #[test]
    fn finds_refusals_and_nothing_else() {
        let cases = [
            (r#"{"msg":"pods is forbidden: User cannot list"}"#, true),
            (
                r#"{"level":"WARN","error":"ApiError: Forbidden","code":403}"#,
                true,
            ),
            ("status 403", true),
            ("code=403 reason=Forbidden", true),
            ("took 403 ms", false),
            ("no session with the hub lasted_s=0 wait_ms=403", false),
            ("listening on 127.0.0.1:40312", false),
            ("digest v1:af403b", false),
            ("rate 0.403", false),
        ];
        for (line, wanted) in cases {
            assert_eq!(forbidden(line).is_some(), wanted, "{line}");
        }
    }
}
