//! Targets of releases. In: rows. Out: the engine's targets, and their changes. It must not decide where one stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::time::OffsetDateTime;
use hub_engine::release::{Content, Permit, Previous, Target, TargetState};
use hub_engine::{ClusterName, FleetRolloutName, ReleaseId};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::Result;
use crate::cluster::number;
use crate::error::{every_row, one_row};
use crate::release::named;
use crate::remembered::Rows;
use crate::row::{ROWS_MAX, row};
use crate::time::{from_db_opt, to_db};

pub(crate) const OF_RELEASE: &str = "select release, cluster, wave, position, late, state, message, content, previous, permit, \
     since, succeeded_at from targets where fleet_rollout = $1 and release = $2";
pub(crate) const CHANGED: &str = "select release, cluster, wave, position, late, state, message, content, previous, permit, \
     since, succeeded_at from targets where fleet_rollout = $1 \
     and changed_in >= pg_snapshot_xmin($2::text::pg_snapshot) and not pg_visible_in_snapshot(changed_in, $2::text::pg_snapshot)";
pub(crate) const COUNT: &str =
    "select count(*) from targets where fleet_rollout = $1 and release = $2";
pub(crate) const KEYS: &str =
    "select late, wave, position, cluster from targets where fleet_rollout = $1 and release = $2";
pub(crate) const INSERT: &str = "insert into targets (fleet_rollout, release, cluster, wave, position, late, state, since) \
     select $1, c.release, c.cluster, c.wave, c.position, c.late, $2, $3 from jsonb_to_recordset($4) \
     as c (release bigint, cluster text, wave integer, position integer, late boolean)";
pub(crate) const CHANGE: &str = "update targets set state = coalesce(c.state, targets.state), \
     message = coalesce(c.message, targets.message), \
     since = case when c.state is null then targets.since else $2 end, \
     succeeded_at = case when c.succeeded then $2 else targets.succeeded_at end, \
     content = coalesce(c.content, targets.content), permit = coalesce(c.permit, targets.permit), \
     previous = coalesce(c.previous, targets.previous) from jsonb_to_recordset($3) \
     as c (release bigint, cluster text, state text, message text, succeeded boolean, content jsonb, permit jsonb, \
     previous jsonb) where targets.fleet_rollout = $1 and targets.release = c.release \
     and targets.cluster = c.cluster returning targets.cluster";
pub(crate) const REWRITE: &str = "update targets set state = $4, message = $5, since = $6, succeeded_at = $7, \
     content = $8, previous = $9, permit = $10 where fleet_rollout = $1 and release = $2 and cluster = $3";

row! {
    /// One cluster in one release.
    TargetRow {
        release: i64, cluster: String, wave: i32, position: i32, late: bool, state: String, message: String,
        content: Option<Json<Content>>, previous: Option<Json<Previous>>, permit: Option<Json<Permit>>,
        since: Option<OffsetDateTime>, succeeded_at: Option<OffsetDateTime>,
    }
}
row! {
    /// Where it stands among the targets of its release.
    KeyRow { late: bool, wave: i32, position: i32, cluster: String }
}

/// In the order of waves, then clusters; late ones last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    late: bool,
    wave: i32,
    position: i32,
    cluster: String,
}

/// Every target of a release.
pub(crate) type Targets = Rows<Place, Arc<Target>>;

/// What has changed in any release since then; answers in which.
pub(crate) async fn learn(
    tx: &mut PgConnection,
    fleet_rollout: &FleetRolloutName,
    since: &str,
    memory: &mut BTreeMap<u64, Targets>,
) -> Result<BTreeSet<u64>> {
    let rows: Vec<TargetRow> = sqlx::query_as(CHANGED)
        .bind(fleet_rollout.as_str())
        .bind(since)
        .fetch_all(tx)
        .await?;
    let mut changed = BTreeSet::new();
    for row in rows {
        let release = row.release.unsigned_abs();
        changed.insert(release);
        if let Some(own) = memory.get_mut(&release) {
            own.learn(place(&row), target(row)?);
        }
    }
    Ok(changed)
}

/// All of a release, by place: either nothing of it is known, or everything as it is now.
pub(crate) async fn of(
    tx: &mut PgConnection,
    release: &ReleaseId,
    memory: &mut Targets,
) -> Result<Vec<Arc<Target>>> {
    if memory.seen().is_empty() {
        let rows: Vec<TargetRow> = sqlx::query_as(OF_RELEASE)
            .bind(release.fleet_rollout.as_str())
            .bind(number(release.number))
            .fetch_all(tx)
            .await?;
        for row in rows {
            memory.learn(place(&row), target(row)?);
        }
    }
    Ok(memory.seen().values().map(Arc::clone).collect())
}

/// Forgets targets that are not in the release any more, once what has changed is learnt; answers whether there are such.
pub(crate) async fn gone(
    tx: &mut PgConnection,
    fleet_rollout: &FleetRolloutName,
    release: u64,
    memory: &mut Targets,
) -> Result<bool> {
    let count: Option<i64> = sqlx::query_scalar(COUNT)
        .bind(fleet_rollout.as_str())
        .bind(number(release))
        .fetch_one(&mut *tx)
        .await?;
    if memory.are(count.unwrap_or(0)) {
        return Ok(false);
    }
    let there: Vec<KeyRow> = sqlx::query_as(KEYS)
        .bind(fleet_rollout.as_str())
        .bind(number(release))
        .fetch_all(tx)
        .await?;
    let place = |row: KeyRow| Place {
        late: row.late,
        wave: row.wave,
        position: row.position,
        cluster: row.cluster,
    };
    memory.keep(&there.into_iter().map(place).collect());
    Ok(true)
}

fn place(row: &TargetRow) -> Place {
    Place {
        late: row.late,
        wave: row.wave,
        position: row.position,
        cluster: row.cluster.clone(),
    }
}

fn target(row: TargetRow) -> Result<Arc<Target>> {
    Ok(Arc::new(Target {
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
    }))
}

/// A target that is new in its release.
#[derive(Debug, Serialize)]
pub(crate) struct New {
    pub(crate) release: u64,
    pub(crate) cluster: ClusterName,
    pub(crate) wave: u32,
    pub(crate) position: usize,
    pub(crate) late: bool,
}

/// What changes in a target; what is not said stays.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Change {
    pub(crate) state: Option<TargetState>,
    pub(crate) message: Option<String>,
    /// It succeeded now, whatever came after.
    pub(crate) succeeded: bool,
    /// Its digest once and for all: the engine binds an unbound target, and changes how a bound one is delivered.
    pub(crate) content: Option<Content>,
    pub(crate) permit: Option<Permit>,
    /// What it served when it was permitted to leave that.
    pub(crate) previous: Option<Previous>,
}

/// Changes by release and cluster.
pub(crate) type Changes = BTreeMap<(u64, ClusterName), Change>;

#[derive(Serialize)]
struct ChangeRow<'a> {
    release: u64,
    cluster: &'a ClusterName,
    #[serde(flatten)]
    change: &'a Change,
}

pub(crate) async fn insert(
    tx: &mut PgConnection,
    fleet_rollout: &FleetRolloutName,
    all: &[New],
    now: Timestamp,
) -> Result<()> {
    for some in all.chunks(ROWS_MAX) {
        sqlx::query(INSERT)
            .bind(fleet_rollout.as_str())
            .bind(TargetState::Pending.as_str())
            .bind(to_db(now))
            .bind(Json(some))
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

pub(crate) async fn change(
    tx: &mut PgConnection,
    fleet_rollout: &FleetRolloutName,
    changes: &Changes,
    now: Timestamp,
) -> Result<()> {
    let mut all = Vec::with_capacity(changes.len());
    for ((release, cluster), change) in changes {
        all.push(ChangeRow {
            release: *release,
            cluster,
            change,
        });
    }
    for some in all.chunks(ROWS_MAX) {
        let done: Vec<String> = sqlx::query_scalar(CHANGE)
            .bind(fleet_rollout.as_str())
            .bind(to_db(now))
            .bind(Json(some))
            .fetch_all(&mut *tx)
            .await?;
        let wanted = some.iter().map(|one| one.cluster.as_str());
        every_row(wanted, &done, |cluster| {
            format!("target {cluster} of a release of {fleet_rollout}")
        })?;
    }
    Ok(())
}

/// The whole of targets that begin again; there are few.
pub(crate) async fn rewrite(
    tx: &mut PgConnection,
    fleet_rollout: &FleetRolloutName,
    targets: &BTreeMap<(u64, ClusterName), Target>,
) -> Result<()> {
    for ((release, cluster), target) in targets {
        let done = sqlx::query(REWRITE)
            .bind(fleet_rollout.as_str())
            .bind(number(*release))
            .bind(cluster.as_str())
            .bind(target.state.as_str())
            .bind(&target.message)
            .bind(target.since.map(to_db))
            .bind(target.succeeded_at.map(to_db))
            .bind(target.content.as_ref().map(Json))
            .bind(target.previous.as_ref().map(Json))
            .bind(target.permit.as_ref().map(Json))
            .execute(&mut *tx)
            .await?;
        one_row(&done, || {
            format!("target {cluster} of release {fleet_rollout}#{release}")
        })?;
    }
    Ok(())
}
