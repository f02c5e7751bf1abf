//! PgBouncer before a test's PostgreSQL. In: a server, a mode. Out: an address at which every database of the server answers
//! through the pooler, until the value is dropped. It needs no password: both are on loopback.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::error::{Error, Result};
use crate::eventually::eventually;
use crate::hub::free_address;
use crate::postgres::{NAME, unprivileged};
use crate::process::Process;
use crate::rundir::RunDir;

/// It starts at once.
const READY: Duration = Duration::from_secs(10);

/// For how long a client keeps a connection of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As long as its own lasts.
    Session,
    /// For a transaction.
    Transaction,
}

/// A running pooler.
#[derive(Debug)]
pub struct Pooler {
    // Before the folder, so that it ends first.
    _process: Process,
    _home: RunDir,
    address: String,
}

impl Pooler {
    /// Starts one before a server at `host:port`.
    pub async fn start(run: &RunDir, server: &str, mode: Mode) -> Result<Self> {
        let home = RunDir::temporary("pooler")?;
        let address = free_address()?;
        let file = home.join("pgbouncer.ini");
        let text = configuration(server, &address, mode);
        std::fs::write(&file, text).map_err(Error::io("write", &file))?;
        let mut command = Command::new(program()?);
        command.arg(&file);
        if nix::unistd::Uid::effective().is_root() {
            // It refuses to run as root, as its server does.
            let user = unprivileged()?;
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let mut process = Process::spawn(run, "pgbouncer", command)?;
        eventually("PgBouncer listens", READY, async || {
            process.must_run().map_err(|error| error.to_string())?;
            let connected = TcpStream::connect(&address).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
        .await?;
        Ok(Self {
            _process: process,
            _home: home,
            address,
        })
    }

    /// host:port.
    pub fn address(&self) -> &str {
        &self.address
    }
}

fn configuration(server: &str, address: &str, mode: Mode) -> String {
    let place = |address: &str| {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "5432"));
        (host.to_owned(), port.to_owned())
    };
    let ((host, port), (listen, own)) = (place(server), place(address));
    let mode = match mode {
        Mode::Session => "session",
        Mode::Transaction => "transaction",
    };
    format!(
        "[databases]\n* = host={host} port={port} user={NAME}\n[pgbouncer]\nlisten_addr = {listen}\nlisten_port = {own}\n\
         auth_type = any\npool_mode = {mode}\nunix_socket_dir =\nmax_client_conn = 200\ndefault_pool_size = 40\n\
         ignore_startup_parameters = extra_float_digits\n"
    )
}

/// In PATH, or where Debian keeps programs of the system.
fn program() -> Result<PathBuf> {
    let folders = std::env::var_os("PATH");
    let in_path = folders.iter().flat_map(std::env::split_paths);
    in_path
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("pgbouncer"))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let hint = Path::new("deploy/install-prerequisites.sh").display();
            Error::Check(format!("PgBouncer is not installed: run {hint}"))
        })
}
