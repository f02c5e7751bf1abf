//! Members of the fleet. In: names and labels. Out: what the hub knows of each. It must not hold what their agents say of
//! Rollouts (that is `rollout`).

use std::collections::BTreeMap;

use ::time::OffsetDateTime;
use hub_engine::overlap::Labels;
use hub_engine::verb::By;
use hub_engine::{ClusterName, Fence};
use jiff::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::row::row;
use crate::time::{from_db, from_db_opt};
use crate::{Result, Store};

pub(crate) const UPSERT: &str = "insert into clusters (name, labels) values ($1, $2) \
     on conflict (name) do update set labels = excluded.labels";
pub(crate) const SET_UPSERT: &str = "insert into cluster_sets (cluster, incarnation) \
     select $1, incarnation from hub_incarnation on conflict (cluster) do nothing";
/// Above every session of whoever had the name before.
pub(crate) const SESSION_UPSERT: &str = "insert into cluster_sessions (cluster, session) \
     values ($1, (extract(epoch from clock_timestamp()) * 1000)::bigint) on conflict (cluster) do nothing";
pub(crate) const BIND: &str =
    "update clusters set kube_system_uid = $2, joined_at = now(), left_at = null where name = $1";
pub(crate) const LABELS: &str =
    "select name, labels from clusters where left_at is null order by name";
pub(crate) const UIDS: &str = "select name, coalesce(kube_system_uid, '') as kube_system_uid from clusters where name = any($1)";
pub(crate) const LABELS_OF: &str = "select name, labels from clusters where name = any($1)";
pub(crate) const LIST: &str = "select c.name, c.labels, c.kube_system_uid, c.note, \
     s.open and s.last_seen_at > now() - $1 * interval '1 second' as connected, \
     s.last_seen_at, s.agent_version, s.regressed, s.clock_ahead, c.left_at, c.left_by, c.left_reason, c.replaced_at, s.restored_at, \
     d.incarnation, d.version, s.stored_incarnation, s.stored_version, \
     (select count(*) from rollouts r where r.cluster = c.name) as rollouts \
     from clusters c join cluster_sets d on d.cluster = c.name join cluster_sessions s on s.cluster = c.name order by c.name";

row! {
    /// A cluster's labels.
    LabelsRow { name: String, labels: Json<BTreeMap<String, String>> }
}
row! {
    /// Whose kube-system namespace has which UID.
    UidRow { name: String, kube_system_uid: Option<String> }
}
row! {
    /// A cluster with its set's number and its session.
    ListRow {
        name: String, labels: Json<BTreeMap<String, String>>, kube_system_uid: Option<String>, note: String,
        connected: Option<bool>, last_seen_at: Option<OffsetDateTime>, agent_version: String, regressed: bool, clock_ahead: i64,
        left_at: Option<OffsetDateTime>, left_by: String, left_reason: String, replaced_at: Option<OffsetDateTime>,
        restored_at: Option<OffsetDateTime>,
        incarnation: i64, version: i64, stored_incarnation: i64, stored_version: i64, rollouts: Option<i64>,
    }
}

/// One cluster as `groundswell get clusters` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterRow {
    /// Its name.
    pub name: ClusterName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// UID of its kube-system namespace; none: nobody joined yet.
    pub kube_system_uid: Option<String>,
    /// Heard within `session::CONNECTED_SECONDS`.
    pub connected: bool,
    /// When it was last heard.
    pub last_seen: Option<Timestamp>,
    /// As its agent said at Hello.
    pub agent_version: String,
    /// What it should hold.
    pub desired: Fence,
    /// What it said that it holds.
    pub stored: Fence,
    /// Its fence was lower than one it had.
    pub regressed: bool,
    /// How many Rollouts it reported.
    pub rollouts: u32,
    /// One sentence: regressed, another identity seen, waiting for its join.
    pub note: String,
    /// Who made it leave the fleet, if it left.
    pub left: Option<By>,
    /// Since when another cluster has this name.
    pub replaced: Option<Timestamp>,
    /// When it last came back with less than it had.
    pub restored: Option<Timestamp>,
    /// How many seconds its clock is ahead of the database's, as `heard::Clock` has it.
    pub clock_ahead: i64,
}

pub(crate) fn left(at: Option<OffsetDateTime>, by: &str, reason: &str) -> Option<By> {
    at.map(|at| By {
        person: by.into(),
        reason: reason.to_owned(),
        at: from_db(at),
    })
}

impl Store {
    /// Every member of the fleet, by name; not those that left.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn cluster_list(&self) -> Result<Vec<ClusterRow>> {
        let mut connection = self.pool.acquire().await?;
        let mut all = list(&mut connection).await?;
        all.retain(|cluster| cluster.left.is_none());
        Ok(all)
    }

    /// The labels of every cluster.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn cluster_labels(&self) -> Result<Labels> {
        let mut connection = self.pool.acquire().await?;
        labels(&mut connection).await
    }
}

pub(crate) async fn labels(tx: &mut PgConnection) -> Result<Labels> {
    let rows: Vec<LabelsRow> = sqlx::query_as(LABELS).fetch_all(tx).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.name.into(), row.labels.0))
        .collect())
}

pub(crate) async fn list(tx: &mut PgConnection) -> Result<Vec<ClusterRow>> {
    let rows: Vec<ListRow> = sqlx::query_as(LIST)
        .bind(f64::from(crate::session::CONNECTED_SECONDS))
        .fetch_all(tx)
        .await?;
    Ok(rows.into_iter().map(cluster).collect())
}

/// UIDs of kube-system; empty where nobody joined yet.
pub(crate) async fn uids(
    tx: &mut PgConnection,
    clusters: &[ClusterName],
) -> Result<BTreeMap<ClusterName, String>> {
    if clusters.is_empty() {
        return Ok(BTreeMap::new());
    }
    let names: Vec<&str> = clusters.iter().map(ClusterName::as_str).collect();
    let rows: Vec<UidRow> = sqlx::query_as(UIDS).bind(&names).fetch_all(tx).await?;
    let uid = |row: UidRow| (row.name.into(), row.kube_system_uid.unwrap_or_default());
    Ok(rows.into_iter().map(uid).collect())
}

/// A cluster by the name that its token was made for, with its labels.
pub(crate) async fn upsert(
    tx: &mut PgConnection,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Result<()> {
    sqlx::query(UPSERT)
        .bind(name)
        .bind(Json(labels))
        .execute(&mut *tx)
        .await?;
    sqlx::query(SET_UPSERT).bind(name).execute(&mut *tx).await?;
    sqlx::query(SESSION_UPSERT).bind(name).execute(tx).await?;
    Ok(())
}

pub(crate) fn fence(incarnation: i64, version: i64) -> Fence {
    Fence {
        incarnation: incarnation.unsigned_abs(),
        version: version.unsigned_abs(),
    }
}

/// A number of ours for the database; ours never come near its limit.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn cluster(row: ListRow) -> ClusterRow {
    let note = if row.kube_system_uid.is_none() {
        "waiting for its join".to_owned()
    } else {
        row.note
    };
    let left = left(row.left_at, &row.left_by, &row.left_reason);
    ClusterRow {
        name: row.name.into(),
        labels: row.labels.0,
        kube_system_uid: row.kube_system_uid,
        note,
        left,
        replaced: from_db_opt(row.replaced_at),
        restored: from_db_opt(row.restored_at),
        clock_ahead: row.clock_ahead,
        connected: row.connected.unwrap_or(false),
        last_seen: from_db_opt(row.last_seen_at),
        agent_version: row.agent_version,
        regressed: row.regressed,
        desired: fence(row.incarnation, row.version),
        stored: fence(row.stored_incarnation, row.stored_version),
        rollouts: row
            .rollouts
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(u32::MAX),
    }
}
