//! Where governance has ended (gate.md G9). In: what deciding transactions did by a person's word. Out: the clusters that a
//! FleetRollout governs no more. It must not end it: the engine does, fenced.

use std::collections::BTreeMap;

use ::time::OffsetDateTime;
use hub_engine::member::{Departure, Gone, LetGo};
use hub_engine::verb::By;
use hub_engine::{ClusterName, FleetRolloutName};
use sqlx::PgConnection;

use crate::Result;
use crate::release::named;
use crate::row::row;
use crate::time::{from_db, to_db};

pub(crate) const OF: &str =
    "select cluster, mode, person, reason, since from let_go where fleet_rollout = $1";
pub(crate) const ADD: &str = "insert into let_go (fleet_rollout, cluster, mode, person, reason, since) \
     values ($1, $2, $3, $4, $5, $6) on conflict (fleet_rollout, cluster) do update set mode = excluded.mode, \
     person = excluded.person, reason = excluded.reason, since = excluded.since";
pub(crate) const REMOVE: &str = "delete from let_go where fleet_rollout = $1 and cluster = $2";

pub(crate) const ALL: &str = "select fleet_rollout, cluster from let_go";
pub(crate) const FORGET: &str = "delete from let_go where fleet_rollout = $1";

row! {
    /// A FleetRollout and a cluster that it let go.
    PairRow { fleet_rollout: String, cluster: String }
}
row! {
    /// A cluster that was let go.
    LetGoRow { cluster: String, mode: String, person: String, reason: String, since: OffsetDateTime }
}

/// The clusters that a FleetRollout let go.
pub(crate) async fn of(
    tx: &mut PgConnection,
    name: &FleetRolloutName,
) -> Result<BTreeMap<ClusterName, Gone>> {
    let rows: Vec<LetGoRow> = sqlx::query_as(OF).bind(name.as_str()).fetch_all(tx).await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let mode = named::<LetGo>("how governance ended", &row.mode)?;
        let by = By {
            person: row.person.into(),
            reason: row.reason,
            at: from_db(row.since),
        };
        let how = Departure::LetGo(mode);
        all.insert(row.cluster.into(), Gone { how, by });
    }
    Ok(all)
}

pub(crate) async fn add(
    tx: &mut PgConnection,
    name: &FleetRolloutName,
    cluster: &ClusterName,
    mode: LetGo,
    by: &By,
) -> Result<()> {
    sqlx::query(ADD)
        .bind(name.as_str())
        .bind(cluster.as_str())
        .bind(mode.as_str())
        .bind(by.person.as_str())
        .bind(&by.reason)
        .bind(to_db(by.at))
        .execute(tx)
        .await?;
    Ok(())
}

pub(crate) async fn remove(
    tx: &mut PgConnection,
    name: &FleetRolloutName,
    cluster: &ClusterName,
) -> Result<()> {
    sqlx::query(REMOVE)
        .bind(name.as_str())
        .bind(cluster.as_str())
        .execute(tx)
        .await?;
    Ok(())
}

/// Every FleetRollout with every cluster that it let go.
pub(crate) async fn all(tx: &mut PgConnection) -> Result<Vec<(FleetRolloutName, ClusterName)>> {
    let rows: Vec<PairRow> = sqlx::query_as(ALL).fetch_all(tx).await?;
    let pair = |row: PairRow| (row.fleet_rollout.into(), row.cluster.into());
    Ok(rows.into_iter().map(pair).collect())
}

/// Nothing is let go any more.
pub(crate) async fn forget(tx: &mut PgConnection, name: &FleetRolloutName) -> Result<()> {
    sqlx::query(FORGET).bind(name.as_str()).execute(tx).await?;
    Ok(())
}
