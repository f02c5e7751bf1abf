//! The hub. In: a data folder, a database, a lease. Out: a running groundswell-hub at an address that stays the same over
//! restarts, and configs for people. Who may do what is the hub's to decide.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cli::Cli;
use crate::error::{Error, Result};
use crate::guard;
use crate::process::Process;
use crate::programs;
use crate::rundir::RunDir;

/// The first start makes a database cluster, on a busy machine.
const LISTENING: Duration = Duration::from_secs(60);

/// What every process of one hub has to have.
const KEYS: [&str; 3] = ["ca-key.pem", "ca.pem", "permit-key.pem"];

/// What the log says of a plan that the audit refuses: one that was replaced, and one that was not.
const BREAKS: [&str; 2] = ["a plan breaks an invariant", "a plan broke an invariant"];

/// How to start a hub.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// `embedded` or a URL.
    pub database: String,
    /// How long agents may go on without it.
    pub lease_seconds: u32,
    /// Further arguments.
    pub more: Vec<String>,
    /// Of its environment: a wrong clock.
    pub environment: Vec<(String, String)>,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            database: "embedded".into(),
            lease_seconds: 30,
            more: Vec::new(),
            environment: Vec::new(),
        }
    }
}

/// A running hub.
#[derive(Debug)]
pub struct Hub {
    // Before its folder, so that it ends first.
    process: Process,
    home: RunDir,
    _sockets: Option<RunDir>,
    listen: String,
    options: HubOptions,
}

impl Hub {
    /// Starts it on a free port and waits until it listens.
    pub async fn start(run: &RunDir, options: &HubOptions) -> Result<Self> {
        Self::with_keys(run, options, None).await
    }

    /// Another process of the same hub: with its keys, in a folder of its own.
    pub async fn beside(&self, run: &RunDir, options: &HubOptions) -> Result<Self> {
        Self::with_keys(run, options, Some(self.data())).await
    }

    async fn with_keys(run: &RunDir, options: &HubOptions, keys: Option<&Path>) -> Result<Self> {
        // Its own, in the system's temporary folder: as root its database runs as another user, who must be able to
        // enter it, and a database of an earlier run must never be found with the keys of this one.
        let home = RunDir::temporary("hub")?;
        guard::add_pid_file(&home.join("postgres/data/postmaster.pid"))?;
        if let Some(keys) = keys {
            for key in KEYS {
                let from = keys.join(key);
                std::fs::copy(&from, home.join(key)).map_err(Error::io("copy", &from))?;
            }
        }
        let listen = free_address()?;
        let process = spawn(run, home.path(), &listen, options).await?;
        let sockets = socket_folder(home.path()).map(|path| RunDir::adopted(&path));
        Ok(Self {
            process,
            _sockets: sockets.transpose()?,
            home,
            listen,
            options: options.clone(),
        })
    }

    /// Its options from the next start on.
    pub fn options(&mut self) -> &mut HubOptions {
        &mut self.options
    }

    /// Starts it once more, at the same address with the same data.
    pub async fn again(&mut self, run: &RunDir) -> Result<()> {
        self.process = spawn(run, self.home.path(), &self.listen, &self.options).await?;
        Ok(())
    }

    /// `https://host:port`.
    pub fn url(&self) -> String {
        format!("https://{}", self.listen)
    }

    /// host:port.
    pub fn address(&self) -> &str {
        &self.listen
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        self.home.path()
    }

    /// The process, for signals to it and waits on it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it has logged, over all its lives.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// An error if a plan of its ever broke an invariant.
    pub fn assert_no_fault(&self) -> Result<()> {
        let log = self.log();
        match log
            .lines()
            .find(|line| BREAKS.iter().any(|words| line.contains(words)))
        {
            None => Ok(()),
            Some(line) => Err(Error::Check(format!(
                "the hub made a plan that its own audit refuses: {line}"
            ))),
        }
    }

    /// The command line as the administrator whom the first start made.
    pub fn admin(&self) -> Result<Cli> {
        Cli::new(&self.home.join("admin.yaml"))
    }

    /// The command line as a person of these groups.
    pub fn person(&self, name: &str, groups: &[&str]) -> Result<Cli> {
        let file = self.home.join(&format!("{name}.yaml"));
        let mut command = Command::new(programs::program("groundswell-hub")?);
        command
            .arg("person")
            .arg("--data-dir")
            .arg(self.home.path())
            .arg(name);
        for group in groups {
            command.args(["--group", group]);
        }
        let output = command
            .arg("--out")
            .arg(&file)
            .output()
            .map_err(Error::io("run", Path::new("groundswell-hub person")))?;
        if !output.status.success() {
            return Err(Error::Program {
                program: "groundswell-hub person".into(),
                message: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        Cli::new(&file)
    }
}

async fn spawn(run: &RunDir, data: &Path, listen: &str, options: &HubOptions) -> Result<Process> {
    let mut command = Command::new(programs::program("groundswell-hub")?);
    command.arg("serve").arg("--data-dir").arg(data);
    command.args(["--database", &options.database, "--listen", listen]);
    command.args(["--lease-seconds", &options.lease_seconds.to_string()]);
    command.args(&options.more);
    let environment = options.environment.iter();
    command.envs(environment.map(|(name, value)| (name, value)));
    let address = data.join("address");
    if address.exists() {
        // Left by the one before; its return tells that the new one listens.
        std::fs::remove_file(&address).map_err(Error::io("remove", &address))?;
    }
    let mut process = Process::spawn(run, "hub", command)?;
    crate::eventually(
        &format!("the hub listens on {listen}"),
        LISTENING,
        async || {
            let listens = address.exists();
            match (listens, process.ended()) {
                (true, _) => Ok(Ok(())),
                (false, Some(_)) => Ok(process.must_run()),
                (false, None) => Err(process.last_words()),
            }
        },
    )
    .await??;
    Ok(process)
}

/// Where the embedded database has its socket: the fifth line of its postmaster.pid. None with `--database URL`.
fn socket_folder(data: &Path) -> Option<PathBuf> {
    let file = std::fs::read_to_string(data.join("postgres/data/postmaster.pid")).ok()?;
    file.lines().nth(4).map(PathBuf::from)
}

/// A port that was free a moment ago. The hub must have the same one after a restart, so it cannot take any.
pub(crate) fn free_address() -> Result<String> {
    let listener =
        TcpListener::bind("127.0.0.1:0").map_err(Error::io("bind", Path::new("127.0.0.1:0")))?;
    let address = listener
        .local_addr()
        .map_err(Error::io("ask", Path::new("the bound address")))?;
    Ok(address.to_string())
}
