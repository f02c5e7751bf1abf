//! Targets of releases. In: rows. Out: the engine's targets, and their changes. It must not decide where one stands.

use std::fmt;

use ::time::OffsetDateTime;
use hub_engine::release::{Content, Permit, Previous, Target, TargetState};
use hub_engine::{ClusterName, ReleaseId};
use jiff::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::Result;
use crate::cluster::number;
use crate::error::one_row;
use crate::release::named;
use crate::row::row;
use crate::time::{from_db_opt, to_db};

pub(crate) const OF_RELEASE: &str = "select cluster, wave, late, state, message, content, previous, permit, since, \
     succeeded_at from targets where fleet_rollout = $1 and release = $2 order by late, wave, position, cluster";
pub(crate) const INSERT: &str = "insert into targets (fleet_rollout, release, cluster, wave, position, late, state, since) \
     values ($1, $2, $3, $4, $5, $6, $7, $8)";
pub(crate) const STATE: &str = "update targets set state = $4, message = $5, since = $6, \
     succeeded_at = case when $4 = 'Succeeded' then $6 else succeeded_at end \
     where fleet_rollout = $1 and release = $2 and cluster = $3";
pub(crate) const REWRITE: &str = "update targets set state = $4, message = $5, since = $6, succeeded_at = $7, \
     content = $8, previous = $9, permit = $10 where fleet_rollout = $1 and release = $2 and cluster = $3";
pub(crate) const CONTENT: &str =
    "update targets set content = $4 where fleet_rollout = $1 and release = $2 and cluster = $3";
pub(crate) const PERMIT: &str = "update targets set permit = $4, previous = coalesce($5, previous) \
     where fleet_rollout = $1 and release = $2 and cluster = $3";

row! {
    /// One cluster in one release.
    TargetRow {
        cluster: String, wave: i32, late: bool, state: String, message: String, content: Option<Json<Content>>,
        previous: Option<Json<Previous>>, permit: Option<Json<Permit>>, since: Option<OffsetDateTime>,
        succeeded_at: Option<OffsetDateTime>,
    }
}

/// In the order of waves, then clusters; late ones last.
pub(crate) async fn of(tx: &mut PgConnection, release: &ReleaseId) -> Result<Vec<Target>> {
    let rows: Vec<TargetRow> = sqlx::query_as(OF_RELEASE)
        .bind(release.fleet_rollout.as_str())
        .bind(number(release.number))
        .fetch_all(tx)
        .await?;
    rows.into_iter().map(target).collect()
}

fn target(row: TargetRow) -> Result<Target> {
    Ok(Target {
        cluster: row.cluster.into(),
        wave: row.wave.unsigned_abs(),
        late: row.late,
        state: named::<TargetState>("the state of a target", &row.state)?,
        message: row.message,
        content: row.content.map(|json| json.0),
        previous: row.previous.map(|json| json.0),
        permit: row.permit.map(|json| json.0),
        since: from_db_opt(row.since),
        succeeded_at: from_db_opt(row.succeeded_at),
    })
}

/// Where a new target stands in its release.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) wave: u32,
    pub(crate) position: usize,
    pub(crate) late: bool,
}

pub(crate) async fn insert(
    tx: &mut PgConnection,
    of: Of<'_>,
    place: Place,
    now: Timestamp,
) -> Result<()> {
    bind(INSERT, of)
        .bind(i32::try_from(place.wave).unwrap_or(i32::MAX))
        .bind(i32::try_from(place.position).unwrap_or(i32::MAX))
        .bind(place.late)
        .bind(TargetState::Pending.as_str())
        .bind(to_db(now))
        .execute(tx)
        .await?;
    Ok(())
}

/// Which target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) release: &'a ReleaseId,
    pub(crate) cluster: &'a ClusterName,
}

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "target {} of release {}", self.cluster, self.release)
    }
}

type Query<'a> = sqlx::query::Query<'a, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bind<'a>(statement: &'static str, of: Of<'a>) -> Query<'a> {
    sqlx::query(statement)
        .bind(of.release.fleet_rollout.as_str())
        .bind(number(of.release.number))
        .bind(of.cluster.as_str())
}

pub(crate) async fn set_state(
    tx: &mut PgConnection,
    of: Of<'_>,
    state: TargetState,
    message: &str,
    now: Timestamp,
) -> Result<()> {
    let done = bind(STATE, of)
        .bind(state.as_str())
        .bind(message)
        .bind(to_db(now))
        .execute(tx)
        .await?;
    one_row(&done, || of.to_string())
}

/// Its digest once and for all: the engine binds an unbound target, and changes how a bound one is delivered.
pub(crate) async fn set_content(
    tx: &mut PgConnection,
    of: Of<'_>,
    content: &Content,
) -> Result<()> {
    let done = bind(CONTENT, of).bind(Json(content)).execute(tx).await?;
    one_row(&done, || of.to_string())
}

/// `previous`: what it served when it was permitted to leave that; none keeps what is known.
pub(crate) async fn set_permit(
    tx: &mut PgConnection,
    of: Of<'_>,
    permit: &Permit,
    previous: Option<&Previous>,
) -> Result<()> {
    let done = bind(PERMIT, of)
        .bind(Json(permit))
        .bind(previous.map(Json))
        .execute(tx)
        .await?;
    one_row(&done, || of.to_string())
}

/// The whole of it: one that begins again.
pub(crate) async fn rewrite(tx: &mut PgConnection, of: Of<'_>, target: &Target) -> Result<()> {
    let done = bind(REWRITE, of)
        .bind(target.state.as_str())
        .bind(&target.message)
        .bind(target.since.map(to_db))
        .bind(target.succeeded_at.map(to_db))
        .bind(target.content.as_ref().map(Json))
        .bind(target.previous.as_ref().map(Json))
        .bind(target.permit.as_ref().map(Json))
        .execute(tx)
        .await?;
    one_row(&done, || of.to_string())
}
