//! Hints that something was committed. In: Postgres' notifications. Out: one wake-up for any number of them. It must not be
//! relied on: whoever waits for a hint also polls.

use sqlx::postgres::PgListener;

use crate::{Result, Store};

pub(crate) const CHANNEL: &str = "groundswell";
pub(crate) const NOTIFY: &str = "select pg_notify('groundswell', '') is null as sent";

/// A connection that listens.
#[derive(Debug)]
pub struct Hints {
    listener: PgListener,
}

impl Store {
    /// Starts to listen.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn hints(&self) -> Result<Hints> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Hints { listener })
    }
}

impl Hints {
    /// Waits for the next hint.
    ///
    /// # Errors
    /// The connection is lost; listen anew.
    pub async fn next(&mut self) -> Result<()> {
        self.listener.recv().await?;
        Ok(())
    }
}

/// Sent with the transaction's commit.
pub(crate) async fn notify(tx: &mut sqlx::PgConnection) -> Result<()> {
    let _: bool = sqlx::query_scalar(NOTIFY).fetch_one(tx).await?;
    Ok(())
}
