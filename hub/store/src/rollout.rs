//! What agents said last of each Rollout, as a decision reads it. In: a FleetRollout. Out: the state in every cluster that has
//! reported it. It must not write: `latest` does.

use hub_engine::FleetRollout;
use hub_engine::observed::Rollout;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::Result;
use crate::remembered::{Rows, VersionRow};
use crate::row::row;

pub(crate) const VERSIONS: &str = "select cluster as key, xmin::text || ctid::text as version from rollouts \
     where namespace = $1 and rollout = $2";
pub(crate) const OF_NAME: &str = "select cluster, state from rollouts where namespace = $1 and rollout = $2 and cluster = any($3)";

row! {
    /// A Rollout in one cluster.
    RolloutRow { cluster: String, state: Json<Rollout> }
}

/// A FleetRollout's Rollout in every cluster that has reported it.
pub(crate) async fn of(
    tx: &mut PgConnection,
    fleet_rollout: &FleetRollout,
    memory: &mut Rows<Rollout>,
) -> Result<()> {
    let name = &fleet_rollout.rollout;
    let versions: Vec<VersionRow> = sqlx::query_as(VERSIONS)
        .bind(&name.namespace)
        .bind(&name.name)
        .fetch_all(&mut *tx)
        .await?;
    let stale = memory.stale(&versions);
    if stale.is_empty() {
        return Ok(());
    }
    let rows: Vec<RolloutRow> = sqlx::query_as(OF_NAME)
        .bind(&name.namespace)
        .bind(&name.name)
        .bind(&stale)
        .fetch_all(tx)
        .await?;
    for row in rows {
        memory.learn(row.cluster, row.state.0);
    }
    Ok(())
}
