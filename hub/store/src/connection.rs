//! The pool. In: a URL. Out: `Store`, with every time-out set, whose connections may add to the history and not change it
//! where the database lets them take that role. It must not retry for ever: callers say how they wait.

use std::io::ErrorKind;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use ::time::OffsetDateTime;
use jiff::Timestamp;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

use crate::decide::Decide;
use crate::error::POOLED;
use crate::limit::PING_MAX;
use crate::remembered::Shelf;
use crate::{Error, Result};

/// Sessions and the API together; a hub has no use for more at once, and Postgres' default is 100 in all.
const CONNECTIONS_MAX: u32 = 16;
/// For eight decisions at once, the lease and the fences, so that none ever waits behind the reports of a whole fleet.
const DECIDING_MAX: u32 = 10;
/// How long a call waits for a connection before the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Each below the lease, so that a hung transaction ends before another hub may take over (faults.md section 5). A statement
/// and no option of the connection: poolers refuse those.
pub(crate) const LIMITS: &str = "select set_config('statement_timeout', '5000', false) as statements, \
     set_config('lock_timeout', '3000', false) as locks, \
     set_config('idle_in_transaction_session_timeout', '3000', false) as idle";
/// Two connections that are open at once have a process of the server each, unless somebody takes sessions apart.
pub(crate) const PROCESS: &str = "select pg_backend_pid() as pid";

pub(crate) const NOW: &str = "select now() as now";
/// Makes the role of the hub's connections if need be, and grants what it needs (migration 7).
pub(crate) const ROLE_GRANT: &str = "call hub_role_grant()";
pub(crate) const ROLE_TAKE: &str = "set role groundswell_hub";
/// The role has what a hub needs, and no more: it may have been made for another database only.
pub(crate) const ROLE_FITS: &str = "select has_table_privilege('history', 'insert') \
     and has_table_privilege('releases', 'update') and not has_table_privilege('history', 'update') \
     and not has_table_privilege('history', 'delete') as fits";
/// What an administrator runs once where the hub's user may not.
pub const ROLE_BY_HAND: &str =
    "CREATE ROLE groundswell_hub NOLOGIN; GRANT groundswell_hub TO <the hub's user>";

/// The hub's Postgres.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    /// Beside it: see `DECIDING_MAX`.
    pub(crate) deciding: PgPool,
    options: PgConnectOptions,
    /// New connections take the role that cannot change the history.
    bound: Arc<AtomicBool>,
    /// Start of the server since which enough clusters have been heard, in microseconds of Unix time; 0: of none.
    heard: Arc<AtomicI64>,
    /// What decisions have read.
    pub(crate) shelf: Arc<Shelf>,
    /// What makes plans.
    pub(crate) decide: Decide,
}

impl Store {
    /// Prepares a pool; the first connection is made by the first call.
    ///
    /// # Errors
    /// The URL is not one.
    pub fn connect(url: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)?.application_name("groundswell-hub");
        let bound = Arc::new(AtomicBool::new(false));
        Ok(Self {
            pool: pool(CONNECTIONS_MAX, &options, &bound),
            deciding: pool(DECIDING_MAX, &options, &bound),
            options,
            bound,
            heard: Arc::default(),
            shelf: Arc::default(),
            decide: hub_engine::decide,
        })
    }

    /// Brings the schema to this version, as the database's own user; from then on connections take the role that may not
    /// change the history, if they may take it. Two hubs at once wait for each other.
    ///
    /// # Errors
    /// Postgres is away, or its schema is newer or edited.
    pub async fn migrate(&self) -> Result<()> {
        let mut owner = PgConnection::connect_with(&self.options).await?;
        self.whole_sessions(&mut owner).await?;
        sqlx::query(LIMITS).execute(&mut owner).await?;
        sqlx::migrate!("../../migrations").run(&mut owner).await?;
        sqlx::query(ROLE_GRANT).execute(&mut owner).await?;
        let fits = match sqlx::query(ROLE_TAKE).execute(&mut owner).await {
            Ok(_) => sqlx::query_scalar(ROLE_FITS).fetch_one(&mut owner).await?,
            // There is no such role, or it is not for this user.
            Err(error) if error.as_database_error().is_some() => false,
            Err(error) => return Err(error.into()),
        };
        self.bound.store(fits, Ordering::SeqCst);
        owner.close().await?;
        Ok(())
    }

    /// What a session sets has to hold for all of it: limits, the role, prepared statements, the lock under which it migrates.
    async fn whole_sessions(&self, owner: &mut PgConnection) -> Result<()> {
        let mut other = PgConnection::connect_with(&self.options).await?;
        // Not prepared: a name that is there already is what is looked for.
        let ask = || sqlx::query_scalar::<_, Option<i32>>(PROCESS).persistent(false);
        let one = ask().fetch_one(&mut *owner).await?;
        let two = ask().fetch_one(&mut other).await?;
        other.close().await?;
        if one != two {
            return Ok(());
        }
        Err(Error::Refused {
            message: POOLED.to_owned(),
        })
    }

    /// Whether the hub's connections may add to the history and not change it; else only the trigger guards it.
    #[must_use]
    pub fn history_is_add_only(&self) -> bool {
        self.bound.load(Ordering::SeqCst)
    }

    /// Whether enough clusters have been heard since this start of the server (gate.md L5).
    pub(crate) fn heard_since(&self, started: Option<OffsetDateTime>) -> bool {
        started.is_some_and(|started| micros(started) == self.heard.load(Ordering::SeqCst))
    }

    pub(crate) fn set_heard_since(&self, started: Option<OffsetDateTime>) {
        self.heard
            .store(started.map_or(0, micros), Ordering::SeqCst);
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
        self.deciding.close().await;
    }
}

fn pool(most: u32, options: &PgConnectOptions, bound: &Arc<AtomicBool>) -> PgPool {
    let binds = Arc::clone(bound);
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Costs a round trip, and is what ends the wait for a connection that fell silent.
        .test_before_acquire(true)
        // What was given up in mid-transaction is rolled back here, or its connection closed: the pool itself would ask it for
        // ever, and one connection less would be left.
        .after_release(|connection, _| Box::pin(ping(connection)))
        .after_connect(move |connection, _| {
            let binds = binds.load(Ordering::SeqCst);
            Box::pin(async move {
                sqlx::query(LIMITS).execute(&mut *connection).await?;
                if binds {
                    sqlx::query(ROLE_TAKE).execute(connection).await?;
                }
                Ok(())
            })
        })
        .connect_lazy_with(options.clone())
}

/// Whether it answers.
async fn ping(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let ping = tokio::time::timeout(PING_MAX, connection.ping()).await;
    ping.unwrap_or_else(|_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into())))
        .map(|()| true)
}

fn micros(time: OffsetDateTime) -> i64 {
    crate::time::from_db(time).as_microsecond()
}
