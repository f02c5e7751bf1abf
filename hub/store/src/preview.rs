//! What a release would do if it started now. In: a FleetRollout, stored or not. Out: everything that the engine's preview
//! is made from, in one snapshot. It must not store anything.

use std::collections::BTreeMap;

use ::time::OffsetDateTime;
use hub_engine::amount::Seconds;
use hub_engine::preview::{Preview, preview};
use hub_engine::{ClusterName, FleetRollout, FleetRolloutName};

use crate::row::row;
use crate::time::from_db;
use crate::{Result, Store, cluster, fleet_rollout, fleet_window};

pub(crate) const DURATIONS: &str = "select distinct on (cluster) cluster, \
     extract(epoch from succeeded_at - (permit->>'granted_at')::timestamptz)::bigint as seconds \
     from targets where fleet_rollout = $1 and state = 'Succeeded' and succeeded_at is not null and permit is not null \
     order by cluster, release desc";

row! {
    /// How long a cluster took the last time.
    DurationRow { cluster: String, seconds: Option<i64> }
}

impl Store {
    /// The preview of a stored FleetRollout; none: there is no such one.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn preview(&self, name: &FleetRolloutName) -> Result<Option<Preview>> {
        let mut tx = self.snapshot().await?;
        let stored = fleet_rollout::get(&mut tx, name, false).await?;
        drop(tx);
        match stored {
            Some(stored) => self.preview_of(&stored.fleet_rollout).await.map(Some),
            None => Ok(None),
        }
    }

    /// The preview of a FleetRollout, stored or not.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn preview_of(&self, document: &FleetRollout) -> Result<Preview> {
        let mut tx = self.snapshot().await?;
        let now: OffsetDateTime = sqlx::query_scalar(crate::connection::NOW)
            .fetch_one(&mut *tx)
            .await?;
        let labels = cluster::labels(&mut tx).await?;
        let windows = fleet_window::list(&mut tx).await?;
        let rows: Vec<DurationRow> = sqlx::query_as(DURATIONS)
            .bind(document.name.as_str())
            .fetch_all(&mut *tx)
            .await?;
        let last: BTreeMap<ClusterName, Seconds> = rows
            .into_iter()
            .filter_map(|row| {
                let seconds = u32::try_from(row.seconds?).ok()?;
                Some((row.cluster.into(), Seconds(seconds)))
            })
            .collect();
        Ok(preview(document, &labels, &windows, from_db(now), &last))
    }
}
