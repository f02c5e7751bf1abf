//! What a release would do if it started now. In: a FleetRollout's name, or a file that nobody has stored. Out: the engine's
//! preview of what a decision would see, in one snapshot. It must not store anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use hub_engine::amount::Seconds;
use hub_engine::document::{File, Problem};
use hub_engine::member::Departure;
use hub_engine::preview::{Preview, preview};
use hub_engine::{ClusterName, FleetRolloutName, Observed};
use sqlx::PgConnection;

use crate::remembered::Memory;
use crate::row::row;
use crate::{Result, Store, check, fleet_rollout, fleet_window, observe};

pub(crate) const DURATIONS: &str = "select distinct on (cluster) cluster, \
     extract(epoch from succeeded_at - (permit->>'granted_at')::timestamptz)::bigint as seconds \
     from targets where fleet_rollout = $1 and state = 'Succeeded' and succeeded_at is not null and permit is not null \
     order by cluster, release desc";

row! {
    /// How long a cluster took the last time.
    DurationRow { cluster: String, seconds: Option<i64> }
}

/// What a file would lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Previewed {
    /// One for each of its FleetRollouts.
    Plans(Vec<Preview>),
    /// It would not be stored.
    Problems(Vec<Problem>),
}

impl Store {
    /// The preview of a stored FleetRollout; none: there is no such one.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn preview(&self, name: &FleetRolloutName) -> Result<Option<Preview>> {
        let mut tx = self.snapshot().await?;
        let Some(stored) = fleet_rollout::get(&mut tx, name, false).await? else {
            return Ok(None);
        };
        let observed = observe::all(&mut tx, stored.fleet_rollout, &mut Memory::default()).await?;
        estimated(&mut tx, &observed).await.map(Some)
    }

    /// What would be, were the file applied now; or why it would be refused.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn preview_of(&self, file: &File) -> Result<Previewed> {
        let mut tx = self.snapshot().await?;
        let stored = fleet_rollout::list(&mut tx).await?;
        // Nothing is written, so nobody has to wait for it.
        let problems = check::problems(&mut tx, file, &stored, false).await?;
        if !problems.is_empty() {
            return Ok(Previewed::Problems(problems));
        }
        let mut plans = Vec::new();
        for document in &file.documents {
            let new = document.fleet_rollout.clone();
            let is_new = !stored.iter().any(|row| row.fleet_rollout.name == new.name);
            let mut observed = observe::all(&mut tx, new, &mut Memory::default()).await?;
            fleet_window::replace(&mut observed.windows, file);
            if is_new {
                forget_let_go(&mut observed);
            }
            plans.push(estimated(&mut tx, &observed).await?);
        }
        Ok(Previewed::Plans(plans))
    }
}

/// Whoever applies one again that was deleted means its clusters.
fn forget_let_go(observed: &mut Observed) {
    let selector = &observed.fleet_rollout.clusters;
    for cluster in &mut observed.clusters {
        let how = cluster.gone.as_ref().map(|gone| gone.how);
        if let Some(Departure::LetGo(_)) = how {
            let own = Arc::make_mut(cluster);
            own.gone = None;
            own.selected = selector.selects(&own.labels);
        }
    }
}

async fn estimated(tx: &mut PgConnection, observed: &Observed) -> Result<Preview> {
    let rows: Vec<DurationRow> = sqlx::query_as(DURATIONS)
        .bind(observed.fleet_rollout.name.as_str())
        .fetch_all(tx)
        .await?;
    let last: BTreeMap<ClusterName, Seconds> = rows
        .into_iter()
        .filter_map(|row| {
            let seconds = u32::try_from(row.seconds?).ok()?;
            Some((row.cluster.into(), Seconds(seconds)))
        })
        .collect();
    Ok(preview(observed, &last))
}
