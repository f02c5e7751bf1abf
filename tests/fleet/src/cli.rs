//! The `groundswell` command, as a person runs it. In: arguments. Out: exit status, what was printed, or its JSON. It
//! reads no file of the hub.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::programs;

/// A command that has not answered by then hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// The command with one person's config.
#[derive(Debug, Clone)]
pub struct Cli {
    program: PathBuf,
    config: PathBuf,
}

impl Cli {
    /// With this client config.
    pub fn new(config: &Path) -> Result<Self> {
        Ok(Self {
            program: programs::program("groundswell")?,
            config: config.to_path_buf(),
        })
    }

    /// The file it shows who it is by.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Runs it, whatever it answers.
    pub async fn output(&self, arguments: &[&str]) -> Result<Output> {
        let what = format!("groundswell {}", arguments.join(" "));
        let running = tokio::process::Command::new(&self.program)
            .arg("--config")
            .arg(&self.config)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        match tokio::time::timeout(DEADLINE, running).await {
            Ok(output) => output.map_err(Error::io("run", &self.program)),
            Err(_) => Err(Error::Timeout {
                what,
                after: DEADLINE,
                last: "no answer".into(),
            }),
        }
    }

    /// Runs it and gives what it printed; an error if its status is not 0.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments).await?;
        if !output.status.success() {
            return Err(Error::Program {
                program: format!("groundswell {}", arguments.join(" ")),
                message: format!(
                    "{}: {}{}",
                    output.status,
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                ),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The same with `-o json`, read.
    pub async fn json(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let mut all = vec!["-o", "json"];
        all.extend(arguments);
        let text = self.run(&all).await?;
        serde_json::from_str(&text).map_err(Error::parse(format!("groundswell {}", all.join(" "))))
    }
}
