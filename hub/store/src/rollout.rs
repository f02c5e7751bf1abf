//! What agents said last of each Rollout, as a decision reads it. In: a FleetRollout's Rollout. Out: the state in every cluster
//! that has reported it. It must not write: `latest` does.

use std::sync::Arc;

use hub_engine::name::RolloutName;
use hub_engine::observed::Rollout;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::Result;
use crate::remembered::Rows;
use crate::row::row;

pub(crate) const CHANGED: &str = "select cluster, state from rollouts where namespace = $1 and rollout = $2 \
     and changed_in >= pg_snapshot_xmin($3::text::pg_snapshot) and not pg_visible_in_snapshot(changed_in, $3::text::pg_snapshot)";
pub(crate) const KEYS: &str = "select cluster from rollouts where namespace = $1 and rollout = $2";

row! {
    /// A Rollout in one cluster.
    RolloutRow { cluster: String, state: Json<Rollout> }
}

/// A FleetRollout's Rollout in every cluster that has reported it, as far as it is not known since then.
pub(crate) async fn of(
    tx: &mut PgConnection,
    rollout: &RolloutName,
    since: &str,
    memory: &mut Rows<String, Arc<Rollout>>,
) -> Result<()> {
    let rows: Vec<RolloutRow> = sqlx::query_as(CHANGED)
        .bind(&rollout.namespace)
        .bind(&rollout.name)
        .bind(since)
        .fetch_all(tx)
        .await?;
    for row in rows {
        memory.learn(row.cluster, Arc::new(row.state.0));
    }
    Ok(())
}
