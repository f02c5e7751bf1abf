//! A PostgreSQL of our own, for trying things out and for tests. In: a folder. Out: a URL, until it is stopped. It must not
//! be used by two hubs at once, nor listen on any network: only its user and root can reach its socket.

mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use server::Server;

/// How long it may take until it answers: recovery after a crash is the longest part.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two questions whether it answers.
const START_POLL: Duration = Duration::from_millis(50);

pub(crate) const DATABASE_EXISTS: &str =
    "select 1 as one from pg_database where datname = 'groundswell'";
pub(crate) const DATABASE_CREATE: &str = "create database groundswell";

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Embedded {
    server: Server,
    url: String,
    stopped: bool,
    durable: bool,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What and what to do.
    pub message: String,
}

impl Embedded {
    /// Finds the installed PostgreSQL, makes or adopts its cluster in `data_dir` and waits until it answers.
    ///
    /// # Errors
    /// One sentence: nothing installed, another hub has the folder, what the server logged.
    pub async fn start(data_dir: &Path) -> Result<Self, Error> {
        Self::start_with(data_dir, true).await
    }

    /// The same, not safe against a crash of the machine, and faster: for tests.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_volatile(data_dir: &Path) -> Result<Self, Error> {
        Self::start_with(data_dir, false).await
    }

    async fn start_with(data_dir: &Path, durable: bool) -> Result<Self, Error> {
        let server = Server::at(data_dir).map_err(fail)?;
        if server.running() {
            tracing::info!(folder = %server.folder.display(), "adopting the PostgreSQL that an earlier hub left");
        } else {
            server.make().map_err(fail)?;
            server.launch(durable).map_err(fail)?;
        }
        let url = server.url("groundswell");
        let embedded = Self {
            server,
            url,
            stopped: false,
            durable,
        };
        embedded.wait().await?;
        Ok(embedded)
    }

    /// Where it answers.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where another database of the same server answers: tests have one each.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        self.server.url(database)
    }

    /// The folder with its data, for messages.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.server.folder.clone()
    }

    /// Stops it and waits until it has stopped.
    ///
    /// # Errors
    /// One sentence, when it does not stop.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.stopped = true;
        self.server.stop("fast").map_err(fail)?;
        self.server.tidy();
        Ok(())
    }

    /// Stops it at once, as a crash would, and starts it again: for tests of what survives that.
    ///
    /// # Errors
    /// One sentence, when it does not stop or start.
    pub async fn restart(&self) -> Result<(), Error> {
        self.server.stop("immediate").map_err(fail)?;
        self.server.launch(self.durable).map_err(fail)?;
        self.wait().await
    }

    async fn wait(&self) -> Result<(), Error> {
        let deadline = tokio::time::Instant::now() + START_TIMEOUT;
        loop {
            match self.create_database().await {
                Ok(()) => return Ok(()),
                Err(error) if tokio::time::Instant::now() >= deadline || !self.server.running() => {
                    return Err(fail(format!(
                        "PostgreSQL in {} does not answer: {error}; its log ends: {}",
                        self.server.folder.display(),
                        self.server.log_end()
                    )));
                }
                Err(_) => tokio::time::sleep(START_POLL).await,
            }
        }
    }

    async fn create_database(&self) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect(&self.server.url("postgres")).await?;
        let exists: Option<i32> = sqlx::query_scalar(DATABASE_EXISTS)
            .fetch_optional(&mut connection)
            .await?;
        if exists.is_none() {
            sqlx::query(DATABASE_CREATE)
                .execute(&mut connection)
                .await?;
        }
        connection.close().await
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if !self.stopped
            && let Err(error) = self.server.stop("immediate")
        {
            tracing::warn!(%error, "PostgreSQL was not stopped");
        }
        self.server.tidy();
    }
}

fn fail(message: String) -> Error {
    Error { message }
}

#[cfg(test)]
impl Embedded {
    /// A program of its installation.
    pub(crate) fn program(&self, name: &str) -> std::process::Command {
        self.server.command(name)
    }
}
