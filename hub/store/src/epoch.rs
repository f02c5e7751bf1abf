//! Who decides. In: a holder's name and a length. Out: an epoch, or that it is over. Safety is the epoch, checked in every
//! deciding transaction; the lease is only for liveness. It must not read any clock but the database's.

use std::time::Duration;

use sqlx::PgConnection;

use crate::session::CONNECTED_SECONDS;
use crate::{Error, Result, Store};

/// From when on a hub has listened without a gap that agents could have fallen silent in: of so many seconds.
macro_rules! since {
    ($gap:literal) => {
        concat!(
            "since = case when expires_at < now() - ",
            $gap,
            " * interval '1 second' then now() else least(coalesce(since, now()), now()) end "
        )
    };
}

/// A hub that gave its lease up may be followed by any, whatever the clock says meanwhile.
pub(crate) const LEASE_TAKE: &str = concat!(
    "update hub_lease set holder = $1, expires_at = now() + $2 * interval '1 millisecond', ",
    since!("$3"),
    "where expires_at < now() or holder = $1 or holder = '' returning holder"
);
pub(crate) const EPOCH_RAISE: &str = "update hub_epoch set epoch = epoch + 1 returning epoch";
pub(crate) const LEASE_RENEW: &str = concat!(
    "update hub_lease set expires_at = now() + $2 * interval '1 millisecond', ",
    since!("$4"),
    "where holder = $1 and exists (select 1 from hub_epoch where epoch = $3) returning holder"
);
pub(crate) const LEASE_RELEASE: &str = "update hub_lease set holder = '', expires_at = least(expires_at, now()) \
     where holder = $1 returning holder";
pub(crate) const EPOCH_GUARD: &str = "select epoch from hub_epoch where epoch = $1 for share";

/// The right to decide, until another hub takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub i64);

impl Store {
    /// Takes over if nobody holds the lease. A holder that died takes its own lease again at once, with a new epoch.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn epoch_take(&self, holder: &str, ttl: Duration) -> Result<Option<Epoch>> {
        let mut tx = self.deciding.begin().await?;
        let taken: Option<String> = sqlx::query_scalar(LEASE_TAKE)
            .bind(holder)
            .bind(millis(ttl))
            .bind(f64::from(CONNECTED_SECONDS))
            .fetch_optional(&mut *tx)
            .await?;
        if taken.is_none() {
            return Ok(None);
        }
        let epoch: i64 = sqlx::query_scalar(EPOCH_RAISE).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(Some(Epoch(epoch)))
    }

    /// Holds on to the lease; `false`: it is lost.
    ///
    /// # Errors
    /// Postgres is away: the holder stops deciding when its own clock says that the lease may be over.
    pub async fn lease_renew(&self, holder: &str, epoch: Epoch, ttl: Duration) -> Result<bool> {
        let held: Option<String> = sqlx::query_scalar(LEASE_RENEW)
            .bind(holder)
            .bind(millis(ttl))
            .bind(epoch.0)
            .bind(f64::from(CONNECTED_SECONDS))
            .fetch_optional(&self.deciding)
            .await?;
        Ok(held.is_some())
    }

    /// Gives the lease up, so that the next hub need not wait for its end.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn lease_release(&self, holder: &str) -> Result<()> {
        let _: Option<String> = sqlx::query_scalar(LEASE_RELEASE)
            .bind(holder)
            .fetch_optional(&self.deciding)
            .await?;
        Ok(())
    }
}

/// First statement of every deciding transaction: a takeover waits for it, and after a takeover it fails.
pub(crate) async fn guard(tx: &mut PgConnection, epoch: Epoch) -> Result<()> {
    let mine: Option<i64> = sqlx::query_scalar(EPOCH_GUARD)
        .bind(epoch.0)
        .fetch_optional(tx)
        .await?;
    mine.map(|_| ()).ok_or(Error::Fenced { epoch: epoch.0 })
}

fn millis(ttl: Duration) -> f64 {
    ttl.as_secs_f64() * 1000.0
}
