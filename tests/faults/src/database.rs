//! The hubs' database. In: a test's wish for a server of its own. Out: an empty database, on that server or on the one that
//! all tests share. It must not know what hubs write there.

use std::sync::atomic::{AtomicU32, Ordering};

use tests_fleet::postgres::Postgres;
use tests_fleet::{Result, RunDir};
use tokio::sync::OnceCell;

static SHARED: OnceCell<(Postgres, RunDir)> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// An empty database.
#[derive(Debug)]
pub struct Database {
    own: Option<Postgres>,
    name: String,
}

impl Database {
    /// One of the shared server; it stays there until the tests are over, as the server does.
    pub async fn shared() -> Result<Self> {
        let shared = async || {
            let run = RunDir::temporary("shared-postgres")?;
            Ok::<_, tests_fleet::Error>((Postgres::start(&run).await?, run))
        };
        let (server, _) = SHARED.get_or_try_init(shared).await?;
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::SeqCst));
        let create = format!("create database {name}");
        server.psql("postgres", &[&create]).await?;
        Ok(Self { own: None, name })
    }

    /// One of a server that the test may stop.
    pub async fn own(run: &RunDir) -> Result<Self> {
        let own = Some(Postgres::start(run).await?);
        let name = "postgres".to_owned();
        Ok(Self { own, name })
    }

    /// One of a server whose disk the test may fill.
    pub async fn on_a_disk(run: &RunDir) -> Result<Self> {
        let own = Some(Postgres::start_on_a_disk(run).await?);
        let name = "postgres".to_owned();
        Ok(Self { own, name })
    }

    fn server(&self) -> &Postgres {
        let shared = || &SHARED.get().expect("started before this value was made").0;
        self.own.as_ref().unwrap_or_else(shared)
    }

    /// The server that the test may stop.
    pub fn own_server(&mut self) -> &mut Postgres {
        self.own.as_mut().expect("a server of the test's own")
    }

    /// host:port.
    pub fn address(&self) -> &str {
        self.server().address()
    }

    /// The URL of the database at this address: the server's, or a proxy's.
    pub fn url_at(&self, address: &str) -> String {
        Postgres::url_of(address, &self.name)
    }

    /// Its name on its server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements in it as its owner; gives what they print.
    pub async fn psql(&self, statements: &[&str]) -> Result<String> {
        self.server().psql(&self.name, statements).await
    }

    /// Runs a file of SQL in it as its owner.
    pub async fn file(&self, file: &str) -> Result<()> {
        self.server().psql_file(&self.name, file).await
    }

    /// All of it, as SQL.
    pub async fn dump(&self) -> Result<String> {
        self.server().dump(&self.name).await
    }
}
