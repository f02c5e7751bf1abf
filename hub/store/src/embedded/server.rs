//! The server's process. In: a folder. Out: PostgreSQL in it, under a user that is not root. It must not connect to it.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

use crate::passwd::{self, Account};

/// Where Debian's packages put one folder a major version.
const INSTALLED: &str = "/usr/lib/postgresql";
/// The user inside the server; the socket's folder says who may be it.
const USER: &str = "groundswell";
/// How much of the log a message quotes.
const LOG_LINES: usize = 3;

/// A PostgreSQL in a folder.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) folder: PathBuf,
    socket: PathBuf,
    binaries: PathBuf,
    account: Option<Account>,
}

impl Server {
    /// Finds what is needed; starts nothing.
    pub(crate) fn at(data_dir: &Path) -> Result<Self, String> {
        let data_dir = std::path::absolute(data_dir)
            .map_err(|error| format!("{}: {error}", data_dir.display()))?;
        let account = passwd::unprivileged()?;
        let own = hex::encode(Sha256::digest(data_dir.as_os_str().as_encoded_bytes()));
        let own: String = own.chars().take(12).collect();
        fs::create_dir_all(&data_dir)
            .map_err(|error| format!("cannot make {}: {error}", data_dir.display()))?;
        // As root: where the other user can go, which is never below root's home.
        let base = if account.is_some() && !passwd::open_to_all(&data_dir) {
            PathBuf::from("/var/tmp").join(format!("groundswell-{own}"))
        } else {
            data_dir.join("postgres")
        };
        // A socket's path has at most 107 bytes; a data folder's may be longer.
        let socket = PathBuf::from("/tmp").join(format!("groundswell-pg-{own}"));
        let server = Self {
            folder: base,
            socket,
            binaries: binaries()?,
            account,
        };
        server.own_folder(&server.folder)?;
        server.own_folder(&server.socket)?;
        Ok(server)
    }

    /// `postgres:///…` over the socket.
    pub(crate) fn url(&self, database: &str) -> String {
        format!(
            "postgres://{USER}@localhost/{database}?host={}",
            self.socket.display()
        )
    }

    /// Whether the process of its `postmaster.pid` is there and is a PostgreSQL.
    pub(crate) fn running(&self) -> bool {
        let Some(pid) = self.pid() else { return false };
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres")
    }

    fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.folder.join("data/postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Makes the cluster, if there is none.
    pub(crate) fn make(&self) -> Result<(), String> {
        let data = self.folder.join("data");
        if data.join("PG_VERSION").exists() {
            return Ok(());
        }
        let mut command = self.command("initdb");
        command.arg("-D").arg(&data).args([
            "-U",
            USER,
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        run(&mut command, "initdb")
    }

    /// Starts it in a process group of its own: Ctrl-C reaches the hub, which stops it in order.
    pub(crate) fn launch(&self, durable: bool) -> Result<(), String> {
        let log = self.folder.join("log");
        let file = File::create(&log)
            .map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let copy = file
            .try_clone()
            .map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .arg("-k")
            .arg(&self.socket);
        command.args(["-c", "listen_addresses=", "-c", "max_connections=200"]);
        if !durable {
            command.args([
                "-c",
                "fsync=off",
                "-c",
                "synchronous_commit=off",
                "-c",
                "full_page_writes=off",
            ]);
        }
        command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(copy)
            .process_group(0);
        let mut child = command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.binaries.display()))?;
        if !durable {
            self.end_with_us()?;
        }
        // Collected when it ends, so that `running` never takes a dead child for a server.
        std::thread::spawn(move || child.wait());
        self.wait_for_pid();
        Ok(())
    }

    /// A guard that stops the server and removes its folders when this process is gone, however it went: tests are killed.
    fn end_with_us(&self) -> Result<(), String> {
        let stop =
            "cat >/dev/null; \"$0\" -D \"$1/data\" -m immediate -w -s stop; rm -rf \"$1\" \"$2\"";
        let program = self.binaries.join("pg_ctl");
        let mut command = Command::new("/bin/sh");
        command
            .current_dir("/")
            .args(["-c", stop])
            .arg(program)
            .arg(&self.folder)
            .arg(&self.socket);
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let mut guard = command
            .spawn()
            .map_err(|error| format!("cannot start the guard: {error}"))?;
        // Held open until the end of this process; the kernel closes it then.
        std::mem::forget(guard.stdin.take());
        Ok(())
    }

    /// The pid file comes a moment after the process; until then `running` could not tell.
    fn wait_for_pid(&self) {
        for _ in 0..100 {
            if self.running() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Stops it by `mode` (fast, immediate) and waits.
    pub(crate) fn stop(&self, mode: &str) -> Result<(), String> {
        if !self.running() {
            return Ok(());
        }
        let mut command = self.command("pg_ctl");
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-m", mode, "-w", "-s", "stop"]);
        run(&mut command, "pg_ctl stop")
    }

    /// Removes the socket's folder once nothing runs there; the next start makes it again.
    pub(crate) fn tidy(&self) {
        if !self.running()
            && let Err(error) = fs::remove_dir_all(&self.socket)
        {
            tracing::debug!(%error, "the socket's folder stays");
        }
    }

    pub(crate) fn log_end(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(LOG_LINES).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }

    /// One of the programs that came with it, as its user.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C");
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    /// Makes a folder for its user alone; one that belongs to somebody else is never used.
    fn own_folder(&self, folder: &Path) -> Result<(), String> {
        let problem = |error| format!("cannot make {}: {error}", folder.display());
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => match self.account {
                Some(account) => {
                    chown(folder, Some(account.uid), Some(account.gid)).map_err(problem)
                }
                None => Ok(()),
            },
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let owner = fs::symlink_metadata(folder).map_err(problem)?;
                let own = fs::metadata("/proc/self").map_err(problem)?.uid();
                let wanted = self.account.map_or(own, |account| account.uid);
                if owner.is_dir() && owner.uid() == wanted {
                    return Ok(());
                }
                Err(format!(
                    "{} belongs to another user; remove it or choose another --data-dir",
                    folder.display()
                ))
            }
            Err(error) => Err(problem(error)),
        }
    }
}

/// The newest installed version's programs.
fn binaries() -> Result<PathBuf, String> {
    let entries = fs::read_dir(INSTALLED)
        .map(|entries| entries.flatten().collect::<Vec<_>>())
        .unwrap_or_default();
    let versions = entries
        .iter()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let newest = versions
        .filter(|version| folder_of(*version).join("postgres").exists())
        .max();
    newest.map(folder_of).ok_or_else(|| {
        format!(
            "no PostgreSQL in {INSTALLED}; install the package postgresql, or give --database URL"
        )
    })
}

fn folder_of(version: u32) -> PathBuf {
    Path::new(INSTALLED).join(version.to_string()).join("bin")
}

fn run(command: &mut Command, what: &str) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {what}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{what} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
