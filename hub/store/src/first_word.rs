//! The fleet's first word to a cluster (gate.md G8). In: its labels, documents, gates. Out: the FleetRollouts that select it
//! and have not been decided for it yet. It must not decide: until all of them have, the cluster is told nothing, and holds.

use std::collections::BTreeSet;

use hub_engine::{ClusterName, FleetRolloutName};

use crate::cluster::{LABELS_OF, LabelsRow};
use crate::row::row;
use crate::{Result, Store, fleet_rollout};

pub(crate) const GATED: &str = "select namespace, rollout from gates where cluster = $1";
/// Neither one that left nor one that was let go gets a gate.
pub(crate) const EXCUSED: &str = "select fleet_rollout from let_go where cluster = $1 \
     union select f.name from fleet_rollouts f, clusters c where c.name = $1 and c.left_at is not null";

row! {
    /// A Rollout that has a gate.
    GatedRow { namespace: String, rollout: String }
}

impl Store {
    /// The FleetRollouts whose word a cluster still lacks that has never held a set.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn first_word(&self, cluster: &ClusterName) -> Result<Vec<FleetRolloutName>> {
        let mut tx = self.snapshot().await?;
        let documents = fleet_rollout::list(&mut tx).await?;
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let name = cluster.as_str();
        let labels: Vec<LabelsRow> = sqlx::query_as(LABELS_OF)
            .bind([name].as_slice())
            .fetch_all(&mut *tx)
            .await?;
        let gated: Vec<GatedRow> = sqlx::query_as(GATED).bind(name).fetch_all(&mut *tx).await?;
        let excused: Vec<Option<String>> = sqlx::query_scalar(EXCUSED)
            .bind(name)
            .fetch_all(&mut *tx)
            .await?;
        let gated: BTreeSet<_> = gated
            .iter()
            .map(|row| (row.namespace.as_str(), row.rollout.as_str()))
            .collect();
        let lacks = |row: &fleet_rollout::FleetRolloutRow| {
            let own = &row.fleet_rollout;
            let selected = labels.iter().any(|row| own.clusters.selects(&row.labels.0));
            let rollout = (own.rollout.namespace.as_str(), own.rollout.name.as_str());
            let excused = excused
                .iter()
                .flatten()
                .any(|name| name == own.name.as_str());
            selected && !gated.contains(&rollout) && !excused
        };
        let lacking = documents.into_iter().filter(lacks);
        Ok(lacking.map(|row| row.fleet_rollout.name).collect())
    }
}
