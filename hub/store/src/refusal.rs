//! Refused attempts (S22). In: who tried what and why not. Out: rows for people. It must not refuse anything itself.

use ::time::OffsetDateTime;
use hub_engine::ClusterName;
use jiff::Timestamp;
use sqlx::{Postgres, Transaction};

use crate::row::row;
use crate::time::from_db;
use crate::{Error, Result, Store};

pub(crate) const INSERT: &str = "insert into refusals (kind, who, message) values ($1, $2, $3)";
pub(crate) const LIST: &str =
    "select at, kind, who, message from refusals order by id desc limit $1";

row! {
    /// One refused attempt.
    RefusalRow { at: OffsetDateTime, kind: String, who: String, message: String }
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
}

impl Store {
    /// Records one.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn refusal_add(&self, kind: &str, who: &str, message: &str) -> Result<()> {
        sqlx::query(INSERT)
            .bind(kind)
            .bind(who)
            .bind(message)
            .execute(&self.pool)
            .await?;
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
            })
            .collect())
    }
}
