//! Requests by persons to open a release. In: who and why. Out: what the deciding hub made of it. It must not open one.

use hub_engine::name::Person;
use hub_engine::{FleetRolloutName, ReleaseId};
use sqlx::PgConnection;

use crate::cluster::number;
use crate::error::not_found;
use crate::row::row;
use crate::{Error, Result, Store};

pub(crate) const INSERT: &str = "insert into requests (fleet_rollout, person, reason) \
     select name, $2, $3 from fleet_rollouts where name = $1 returning id";
pub(crate) const GET: &str =
    "select fleet_rollout, settled, opened, refused from requests where id = $1";
pub(crate) const OPEN: &str =
    "select id, person, reason from requests where fleet_rollout = $1 and not settled order by id";
pub(crate) const SETTLE: &str =
    "update requests set settled = true, opened = $2, refused = $3 where id = $1";

row! {
    /// What became of a request.
    RequestRow { fleet_rollout: String, settled: bool, opened: Option<i64>, refused: String }
}
row! {
    /// A request not decided yet.
    OpenRow { id: i64, person: String, reason: String }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requested {
    /// Not decided yet.
    Undecided,
    /// It opened this release.
    Opened(ReleaseId),
    /// It opened none.
    Refused(String),
}

impl Store {
    /// Stores a request.
    ///
    /// # Errors
    /// `NotFound` for an unknown FleetRollout; `Refused` without a reason; `Unavailable`.
    pub async fn request_add(
        &self,
        fleet_rollout: &FleetRolloutName,
        person: &Person,
        reason: &str,
    ) -> Result<u64> {
        if reason.trim().is_empty() {
            let message = "a release by hand needs a reason; say why with --reason".to_owned();
            return Err(Error::Refused { message });
        }
        let mut tx = self.pool.begin().await?;
        let id: Option<i64> = sqlx::query_scalar(INSERT)
            .bind(fleet_rollout.as_str())
            .bind(person.as_str())
            .bind(reason)
            .fetch_optional(&mut *tx)
            .await?;
        let id = id.ok_or_else(|| not_found(format!("FleetRollout {fleet_rollout}")))?;
        crate::hint::notify(&mut tx).await?;
        tx.commit().await?;
        Ok(id.unsigned_abs())
    }

    /// What became of it.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    pub async fn request_get(&self, request: u64) -> Result<Requested> {
        let row: Option<RequestRow> = sqlx::query_as(GET)
            .bind(number(request))
            .fetch_optional(&self.pool)
            .await?;
        let row = row.ok_or_else(|| not_found(format!("request {request}")))?;
        Ok(match row.opened {
            _ if !row.settled => Requested::Undecided,
            Some(release) => Requested::Opened(ReleaseId {
                fleet_rollout: row.fleet_rollout.into(),
                number: release.unsigned_abs(),
            }),
            None => Requested::Refused(row.refused),
        })
    }
}

pub(crate) async fn open(
    tx: &mut PgConnection,
    name: &FleetRolloutName,
) -> Result<Vec<hub_engine::observed::Request>> {
    let rows: Vec<OpenRow> = sqlx::query_as(OPEN)
        .bind(name.as_str())
        .fetch_all(tx)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| hub_engine::observed::Request {
            id: row.id.unsigned_abs(),
            person: row.person.into(),
            reason: row.reason,
        })
        .collect())
}

/// Ends a request: it opened a release, or none and why.
pub(crate) async fn settle(
    tx: &mut PgConnection,
    request: u64,
    opened: Option<u64>,
    refused: &str,
) -> Result<()> {
    sqlx::query(SETTLE)
        .bind(number(request))
        .bind(opened.map(number))
        .bind(refused)
        .execute(tx)
        .await?;
    Ok(())
}
