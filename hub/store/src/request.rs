//! Persons' words about releases. In: who, what and why. Out: what the deciding hub made of it. It must not obey one.

use hub_engine::name::Person;
use hub_engine::verb::Verb;
use hub_engine::{FleetRolloutName, ReleaseId};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::cluster::number;
use crate::error::not_found;
use crate::row::row;
use crate::{Error, Result, Store};

pub(crate) const INSERT: &str = "insert into requests \
     (fleet_rollout, person, reason, verb, release, settled, undecided, key) \
     select name, $2, $3, $4, $5, $6, $6, $7 from fleet_rollouts where name = $1 and deleted_at is null \
     on conflict (key) where key <> '' do nothing returning id";
pub(crate) const KEYED: &str = "select id, fleet_rollout, person, reason, verb, release from requests where key = $1 and key <> ''";
pub(crate) const GET: &str = "select fleet_rollout, (settled and not undecided) as settled, opened, refused, answer \
     from requests where id = $1";
pub(crate) const OPEN: &str = "select id, person, reason, verb, release from requests \
     where fleet_rollout = $1 and (not settled or undecided) order by id";
pub(crate) const SETTLE: &str = "update requests set settled = true, undecided = false, opened = $2, refused = $3, \
     answer = $4 where id = $1";

row! {
    /// What became of a request.
    RequestRow {
        fleet_rollout: String, settled: Option<bool>, opened: Option<i64>, refused: String, answer: String,
    }
}
row! {
    /// A request not decided yet.
    OpenRow { id: i64, person: String, reason: String, verb: Json<Verb>, release: Option<i64> }
}
row! {
    /// A request that was asked for by the same key.
    KeyedRow {
        id: i64, fleet_rollout: String, person: String, reason: String, verb: Json<Verb>, release: Option<i64>,
    }
}

/// A person's word to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// Of which FleetRollout.
    pub fleet_rollout: FleetRolloutName,
    /// About which release; none for a start.
    pub release: Option<u64>,
    /// What.
    pub verb: Verb,
    /// Who, by certificate.
    pub person: Person,
    /// Why.
    pub reason: String,
    /// The client's own name for this request; empty: it will not ask again.
    pub key: String,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requested {
    /// Not decided yet.
    Undecided,
    /// It opened this release.
    Opened(ReleaseId),
    /// It was obeyed: the sentence.
    Obeyed(String),
    /// It changed nothing, and why.
    Refused(String),
}

impl Store {
    /// Stores a request, once for each key: the same one again is the same request.
    ///
    /// # Errors
    /// `NotFound` for an unknown FleetRollout; `Refused` without a reason, or when the key was used for something else;
    /// `Unavailable`.
    pub async fn request_add(&self, new: &NewRequest) -> Result<u64> {
        if new.reason.trim().is_empty() {
            let message = "a person's word needs a reason; say why with --reason".to_owned();
            return Err(Error::Refused { message });
        }
        let mut tx = self.pool.begin().await?;
        let later = !matches!(new.verb, Verb::Start { .. });
        let id: Option<i64> = sqlx::query_scalar(INSERT)
            .bind(new.fleet_rollout.as_str())
            .bind(new.person.as_str())
            .bind(&new.reason)
            .bind(Json(&new.verb))
            .bind(new.release.map(number))
            .bind(later)
            .bind(&new.key)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(id) = id else {
            return keyed(&mut tx, new).await;
        };
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
            _ if row.settled != Some(true) => Requested::Undecided,
            None if !row.answer.is_empty() => Requested::Obeyed(row.answer),
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
            verb: row.verb.0,
            release: row.release.map(i64::unsigned_abs),
        })
        .collect())
}

/// The request that was stored by this key, if it is the same one.
async fn keyed(tx: &mut PgConnection, new: &NewRequest) -> Result<u64> {
    let row: Option<KeyedRow> = sqlx::query_as(KEYED)
        .bind(&new.key)
        .fetch_optional(tx)
        .await?;
    let row = row.ok_or_else(|| not_found(format!("FleetRollout {}", new.fleet_rollout)))?;
    let stored = NewRequest {
        fleet_rollout: row.fleet_rollout.into(),
        release: row.release.map(i64::unsigned_abs),
        verb: row.verb.0,
        person: row.person.into(),
        reason: row.reason,
        key: new.key.clone(),
    };
    if stored == *new {
        return Ok(row.id.unsigned_abs());
    }
    let message = format!(
        "the idempotency key {} was used for another request already; take a new one",
        new.key
    );
    Err(Error::Refused { message })
}

/// What became of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Settled<'a> {
    /// It opened this release.
    Opened(u64),
    /// It was obeyed: the sentence.
    Obeyed(&'a str),
    /// It changed nothing, and why.
    Refused(&'a str),
}

/// Ends a request.
pub(crate) async fn settle(tx: &mut PgConnection, request: u64, end: Settled<'_>) -> Result<()> {
    let (opened, refused, answer) = match end {
        Settled::Opened(release) => (Some(number(release)), "", ""),
        Settled::Obeyed(answer) => (None, "", answer),
        Settled::Refused(why) => (None, why, ""),
    };
    sqlx::query(SETTLE)
        .bind(number(request))
        .bind(opened)
        .bind(refused)
        .bind(answer)
        .execute(tx)
        .await?;
    Ok(())
}
