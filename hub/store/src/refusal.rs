//! Refused attempts (S22). In: who tried what and why not. Out: rows for people; what is refused again and again is counted, in
//! the database, so that it is the same for any number of hubs (S11). It must not refuse anything itself.

use ::time::OffsetDateTime;
use hub_engine::ClusterName;
use jiff::Timestamp;
use sqlx::{Postgres, Transaction};

use crate::row::row;
use crate::time::from_db;
use crate::{Error, Result, Store};

/// What whoever has no certificate is refused. The name that they give is what they like.
pub(crate) const JOIN: &str = "Join";
/// So long what is said again, or is too much, belongs to what there is.
const SOON_MINUTES: i32 = 10;
/// Rows of one kind and one person or cluster in that time. With `stop::REFUSAL_DAYS` it is half a million at most, a hundred
/// megabytes, of somebody who has a certificate and does nothing else.
pub(crate) const MOST_OF_ONE: i32 = 10;
/// Of all strangers together: as many clusters may fail to join for as many reasons.
pub(crate) const MOST_OF_STRANGERS: i32 = 30;

/// Counted beside the same one, or where there are too many beside the newest; else a row of its own.
pub(crate) const INSERT: &str = "with soon as (select id, (who, message) = ($2, $3) as same from refusals \
     where at > now() - $4 * interval '1 minute' and kind = $1 and ($5 or who = $2)), \
     place as (select case when bool_or(same) then max(id) filter (where same) when count(*) >= $6 then max(id) end as id from soon), \
     counted as (update refusals r set again = r.again + 1 from place p where r.id = p.id returning r.id) \
     insert into refusals (kind, who, message) select $1, $2, $3 where not exists (select from counted)";
pub(crate) const LIST: &str =
    "select at, kind, who, message, again from refusals order by id desc limit $1";

row! {
    /// One refused attempt.
    RefusalRow { at: OffsetDateTime, kind: String, who: String, message: String, again: i64 }
}

/// One refused attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When, by the database's clock.
    pub at: Timestamp,
    /// Join, Hello, Approve, …
    pub kind: String,
    /// The cluster or person, as far as known.
    pub who: String,
    /// Why not.
    pub message: String,
    /// So often more soon after: the same, or others of the kind that have no row of their own.
    pub again: u64,
}

impl Store {
    /// Records one, and says it in the log where it has a row of its own.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn refusal_add(&self, kind: &str, who: &str, message: &str) -> Result<()> {
        let strangers = kind == JOIN;
        let most = if strangers {
            MOST_OF_STRANGERS
        } else {
            MOST_OF_ONE
        };
        let done = sqlx::query(INSERT)
            .bind(kind)
            .bind(who)
            .bind(message)
            .bind(f64::from(SOON_MINUTES))
            .bind(strangers)
            .bind(i64::from(most))
            .execute(&self.pool)
            .await?;
        if done.rows_affected() > 0 {
            tracing::warn!(kind, who, "refused: {message}");
        } else {
            tracing::debug!(kind, who, "refused again: {message}");
        }
        Ok(())
    }

    /// Ends a transaction that was to answer a cluster: what was refused leaves nothing but the record of it.
    pub(crate) async fn ended<T>(
        &self,
        tx: Transaction<'_, Postgres>,
        answer: Result<T>,
        kind: &str,
        cluster: &ClusterName,
    ) -> Result<T> {
        match &answer {
            Ok(_) => tx.commit().await?,
            Err(error) => {
                tx.rollback().await?;
                if let Error::Refused { message } = error {
                    self.refusal_add(kind, cluster.as_str(), message).await?;
                }
            }
        }
        answer
    }

    /// The newest ones first.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn refusal_list(&self, limit: u32) -> Result<Vec<Refusal>> {
        let rows: Vec<RefusalRow> = sqlx::query_as(LIST)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| Refusal {
                at: from_db(row.at),
                kind: row.kind,
                who: row.who,
                message: row.message,
                again: row.again.unsigned_abs(),
            })
            .collect())
    }
}
