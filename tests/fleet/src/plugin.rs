//! The published kubectl plugin of Argo Rollouts, as a person runs it. In: arguments. Out: what it printed and its exit
//! status. It asks only the API server of one kubeconfig, in one namespace.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::programs;

/// A command that has not answered by then hangs. Some wait for a Rollout, for as long as they are told.
const DEADLINE: Duration = Duration::from_secs(60);

/// The plugin with one person's rights.
#[derive(Debug, Clone)]
pub struct Plugin {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
}

/// How one command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The exit status; none after a signal.
    pub status: Option<i32>,
}

impl Plugin {
    /// With this kubeconfig, in this namespace.
    pub fn new(kubeconfig: &Path, namespace: &str) -> Result<Self> {
        Ok(Self {
            program: programs::plugin()?,
            kubeconfig: kubeconfig.to_path_buf(),
            namespace: namespace.to_owned(),
        })
    }

    /// Runs it, whatever it answers.
    pub async fn run(&self, arguments: &[&str]) -> Result<Answer> {
        let what = format!("kubectl argo rollouts {}", arguments.join(" "));
        // What it keeps between runs goes beside the kubeconfig, not into the home of whoever runs the tests.
        let home = self.kubeconfig.parent().unwrap_or(Path::new("."));
        let running = tokio::process::Command::new(&self.program)
            .args(arguments)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--namespace", &self.namespace])
            .env("HOME", home)
            .env("TERM", "dumb")
            .current_dir(home)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let Ok(output) = tokio::time::timeout(DEADLINE, running).await else {
            return Err(Error::Timeout {
                what,
                after: DEADLINE,
                last: "no answer".into(),
            });
        };
        let output = output.map_err(Error::io("run", &self.program))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Answer {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            status: output.status.code(),
        })
    }
}
