//! The pool. In: a URL. Out: `Store`, with every time-out set. It must not retry for ever: callers say how they wait.

use std::str::FromStr as _;
use std::time::Duration;

use ::time::OffsetDateTime;
use jiff::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::Result;

/// Deciding, sessions and the API together; a hub has no use for more at once, and Postgres' default is 100 in all.
const CONNECTIONS_MAX: u32 = 16;
/// How long a call waits for a connection before the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Each below the lease, so that a hung transaction ends before another hub may take over (faults.md section 5).
const STATEMENT_TIMEOUT_MS: &str = "5000";
const LOCK_TIMEOUT_MS: &str = "3000";
const IDLE_IN_TRANSACTION_TIMEOUT_MS: &str = "3000";

pub(crate) const NOW: &str = "select now() as now";

/// The hub's Postgres.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
}

impl Store {
    /// Prepares a pool; the first connection is made by the first call.
    ///
    /// # Errors
    /// The URL is not one.
    pub fn connect(url: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)?
            .application_name("groundswell-hub")
            .options([
                ("statement_timeout", STATEMENT_TIMEOUT_MS),
                ("lock_timeout", LOCK_TIMEOUT_MS),
                (
                    "idle_in_transaction_session_timeout",
                    IDLE_IN_TRANSACTION_TIMEOUT_MS,
                ),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(true)
            .connect_lazy_with(options);
        Ok(Self { pool })
    }

    /// Brings the schema to this version. Two hubs at once wait for each other.
    ///
    /// # Errors
    /// Postgres is away, or its schema is newer or edited.
    pub async fn migrate(&self) -> Result<()> {
        Ok(sqlx::migrate!("../../migrations").run(&self.pool).await?)
    }

    /// The database's time.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn now(&self) -> Result<Timestamp> {
        let now: OffsetDateTime = sqlx::query_scalar(NOW).fetch_one(&self.pool).await?;
        Ok(crate::time::from_db(now))
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
