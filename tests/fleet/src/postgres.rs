//! A PostgreSQL of a test's own, for a hub with `--database URL`. In: the installed server. Out: a private cluster on
//! loopback whose data goes with it. It is not the hub's embedded one: this one can be stopped and proxied.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::eventually::eventually;
use crate::hub::free_address;
use crate::process::Process;
use crate::rundir::RunDir;

/// The superuser and the database.
pub(crate) const NAME: &str = "groundswell";

/// PostgreSQL refuses to run as root; the first of these that exists is taken instead.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// Crash recovery after a kill included.
const READY: Duration = Duration::from_secs(30);

/// A statement or a copy of a test's database.
const PATIENCE: Duration = Duration::from_secs(30);

/// Beside the data.
const BACKUP: &str = "backup";

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    // Before the folder, so that the server ends first.
    process: Process,
    home: RunDir,
    disk: Option<Disk>,
    user: Option<User>,
    address: String,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub async fn start(run: &RunDir) -> Result<Self> {
        Self::start_on(run, |_| Ok(None)).await
    }

    /// The same on a disk that the test can fill.
    pub async fn start_on_a_disk(run: &RunDir) -> Result<Self> {
        Self::start_on(run, |home| Disk::of(home).map(Some)).await
    }

    async fn start_on(
        run: &RunDir,
        disk: impl FnOnce(&Path) -> Result<Option<Disk>>,
    ) -> Result<Self> {
        // In the system's temporary folder: another user must be able to enter it.
        let home = RunDir::temporary("postgres")?;
        let user = if Uid::effective().is_root() {
            Some(unprivileged()?)
        } else {
            None
        };
        let data = home.join("data");
        if let Some(user) = &user {
            let (uid, gid) = (Some(user.uid.as_raw()), Some(user.gid.as_raw()));
            std::os::unix::fs::chown(home.path(), uid, gid)
                .map_err(Error::io("hand over", home.path()))?;
        }
        let mut initdb = as_user(&program("initdb")?, user.as_ref(), &home);
        initdb.arg("-D").arg(&data).args([
            "-U",
            NAME,
            "--auth=trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]);
        let output = initdb
            .output()
            .map_err(Error::io("run initdb in", home.path()))?;
        if !output.status.success() {
            return Err(Error::Program {
                program: "initdb".into(),
                message: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        let address = free_address()?;
        let disk = disk(home.path())?;
        let process = serve(run, &home, disk.as_ref(), user.as_ref(), &address).await?;
        Ok(Self {
            process,
            home,
            disk,
            user,
            address,
        })
    }

    /// host:port, for a proxy before it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The URL of its database at this address: its own, or a proxy's.
    pub fn url_at(address: &str) -> String {
        format!("postgres://{NAME}@{address}/postgres?sslmode=disable")
    }

    /// The URL of another of its databases at this address.
    pub fn url_of(address: &str, database: &str) -> String {
        format!("postgres://{NAME}@{address}/{database}?sslmode=disable")
    }

    /// Runs statements in one of its databases, each in a transaction of its own; gives what they print.
    pub async fn psql(&self, database: &str, statements: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(program("psql")?);
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        command.args(["-v", "ON_ERROR_STOP=1"]);
        command.arg(Self::url_of(&self.address, database));
        for statement in statements {
            command.args(["-c", statement]);
        }
        finished("psql", command.kill_on_drop(true)).await
    }

    /// Runs a file of SQL in one of its databases.
    pub async fn psql_file(&self, database: &str, file: &str) -> Result<()> {
        let mut command = tokio::process::Command::new(program("psql")?);
        command.args([
            "--no-psqlrc",
            "--quiet",
            "-v",
            "ON_ERROR_STOP=1",
            "-f",
            file,
        ]);
        command.arg(Self::url_of(&self.address, database));
        let done = finished("psql", command.kill_on_drop(true)).await;
        done.map(drop)
    }

    /// One of its databases as SQL, without owners and rights.
    pub async fn dump(&self, database: &str) -> Result<String> {
        let mut command = tokio::process::Command::new(program("pg_dump")?);
        command.args(["--no-owner", "--no-privileges"]);
        command.arg(Self::url_of(&self.address, database));
        finished("pg_dump", command.kill_on_drop(true)).await
    }

    /// Its process id, for a proxy that kills it.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Somebody has killed it: it starts again, once its last children are gone.
    pub async fn after_kill(&mut self, run: &RunDir) -> Result<()> {
        self.process.wait(READY).await?;
        let started = eventually("PostgreSQL starts again", READY, async || {
            let process = self.serve(run).await;
            process.map_err(|error| error.to_string())
        });
        self.process = started.await?;
        Ok(())
    }

    /// A copy of its data as it is now.
    pub async fn backup(&self) -> Result<()> {
        let (host, port) = host_and_port(&self.address);
        let copy = as_user(&program("pg_basebackup")?, self.user.as_ref(), &self.home);
        let mut command = tokio::process::Command::from(copy);
        command.args([
            "-h", host, "-p", port, "-U", NAME, "-c", "fast", "-X", "stream",
        ]);
        command.arg("-D").arg(self.home.join(BACKUP));
        let done = finished("pg_basebackup", command.kill_on_drop(true)).await;
        done.map(drop)
    }

    /// Starts with the data of the backup in the place of its own.
    pub async fn restore(&mut self, run: &RunDir) -> Result<()> {
        self.exchange().await?;
        self.again(run).await
    }

    /// The same as a standby: it can be read and not written until `promote`.
    pub async fn restore_as_standby(&mut self, run: &RunDir) -> Result<()> {
        self.exchange().await?;
        let file = self.home.join("data/standby.signal");
        std::fs::write(&file, "").map_err(Error::io("write", &file))?;
        self.again(run).await
    }

    /// Makes a standby a primary, on a timeline of its own.
    pub async fn promote(&self) -> Result<()> {
        let promoted = self.psql("postgres", &["select pg_promote()"]).await?;
        match promoted.trim() {
            "t" => Ok(()),
            other => Err(Error::Check(format!("pg_promote said {other}"))),
        }
    }

    async fn exchange(&mut self) -> Result<()> {
        self.stop().await?;
        for (from, to) in [("data", "lost"), (BACKUP, "data")] {
            let (from, to) = (self.home.join(from), self.home.join(to));
            std::fs::rename(&from, &to).map_err(Error::io("move", &from))?;
        }
        Ok(())
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        Self::url_at(&self.address)
    }

    /// Ends every connection and the server; the data stays.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop().await.map(|_| ())
    }

    /// Starts it again at the same address.
    pub async fn again(&mut self, run: &RunDir) -> Result<()> {
        self.process = self.serve(run).await?;
        Ok(())
    }

    async fn serve(&self, run: &RunDir) -> Result<Process> {
        let (disk, user) = (self.disk.as_ref(), self.user.as_ref());
        serve(run, &self.home, disk, user, &self.address).await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits for words in its log.
    pub async fn said(&mut self, words: &str, deadline: Duration) -> Result<String> {
        self.process.said(words, deadline).await
    }

    /// The disk that the test can fill.
    pub fn disk(&self) -> Result<&Disk> {
        let disk = self.disk.as_ref();
        disk.ok_or_else(|| Error::Check("PostgreSQL was not started on a disk".into()))
    }
}

fn host_and_port(address: &str) -> (&str, &str) {
    address.rsplit_once(':').unwrap_or((address, "5432"))
}

/// Runs a program to its end; gives its standard output, or an error with the other one.
async fn finished(name: &str, command: &mut tokio::process::Command) -> Result<String> {
    let output = command.stdin(std::process::Stdio::null()).output();
    let output = tokio::time::timeout(PATIENCE, output).await;
    let output = output.map_err(|_| Error::Timeout {
        what: format!("{name} ends"),
        after: PATIENCE,
        last: "it runs".into(),
    })?;
    let output = output.map_err(Error::io("run", Path::new(name)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Program {
        program: name.to_owned(),
        message: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

async fn serve(
    run: &RunDir,
    home: &RunDir,
    disk: Option<&Disk>,
    user: Option<&User>,
    address: &str,
) -> Result<Process> {
    let (host, port) = host_and_port(address);
    let mut command = as_user(&program("postgres")?, user, home);
    command.arg("-D").arg(home.join("data")).args(["-p", port]);
    for setting in [
        format!("listen_addresses={host}"),
        format!("unix_socket_directories={}", home.path().display()),
        // What a test loses in a power cut is nobody's loss.
        "fsync=off".into(),
        // Hubs of several tests, each with a pool.
        "max_connections=300".into(),
    ] {
        command.arg("-c").arg(setting);
    }
    if let Some(disk) = disk {
        command.envs(disk.environment());
    }
    // SIGINT: do not wait for clients.
    let mut process = Process::spawn(run, "postgres", command)?.stopped_by(Signal::SIGINT);
    let file = home.join("data/postmaster.pid");
    eventually("PostgreSQL is ready", READY, async || {
        process.must_run().map_err(|error| error.to_string())?;
        // The last line of the file is its state.
        let state = std::fs::read_to_string(&file).unwrap_or_default();
        let ready = state
            .lines()
            .last()
            .is_some_and(|line| ["ready", "standby"].contains(&line.trim()));
        if ready {
            Ok(())
        } else {
            Err(process.last_words())
        }
    })
    .await?;
    Ok(process)
}

fn as_user(program: &Path, user: Option<&User>, home: &RunDir) -> Command {
    let mut command = Command::new(program);
    command.current_dir(home.path());
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

pub(crate) fn unprivileged() -> Result<User> {
    USERS
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .ok_or_else(|| {
            Error::Check(format!(
                "PostgreSQL cannot run as root and there is no user {USERS:?}: make one"
            ))
        })
}

/// In PATH, or where Debian keeps the server's programs.
fn program(name: &str) -> Result<PathBuf> {
    let in_path = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    let debian = || {
        let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)))
            .filter(|path| path.is_file())
            .collect();
        found.sort();
        found.pop()
    };
    in_path.or_else(debian).ok_or_else(|| {
        Error::Check(format!(
            "{name} of PostgreSQL is not installed: run deploy/install-prerequisites.sh"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::postgres::PostgresProxy;

    fn psql(url: &str, statements: &[&str]) {
        let mut command = Command::new("psql");
        command.args(["--no-psqlrc", "--quiet", url]);
        for statement in statements {
            command.args(["-c", statement]);
        }
        let output = command.output().expect("psql");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    #[tokio::test]
    async fn it_keeps_its_data_over_a_restart_and_its_commits_are_counted() {
        let run = RunDir::temporary("pg").expect("folder");
        let mut server = Postgres::start(&run).await.expect("start");
        let proxy = PostgresProxy::start(server.address()).await.expect("proxy");
        let url = Postgres::url_at(proxy.address());
        let make = [
            "begin",
            "create table t (n int)",
            "commit",
            "insert into t values (1)",
        ];
        tokio::task::spawn_blocking({
            let url = url.clone();
            move || psql(&url, &make)
        })
        .await
        .expect("made");
        assert_eq!(proxy.trigger().count(), 1, "the insert commits by itself");
        server.stop().await.expect("stop");
        server.again(&run).await.expect("again");
        tokio::task::spawn_blocking(move || psql(&url, &["select 1 / count(*) from t"]))
            .await
            .expect("found");
    }
}
