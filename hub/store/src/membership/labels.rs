//! A cluster's labels. In: keys to set and to lose. Out: the row, and a sentence for every FleetRollout for which that changes
//! something. It must not end governance: one that is not selected any more stays governed (gate.md G9).

use std::collections::BTreeMap;

use hub_engine::overlap::{self, Labels};
use hub_engine::{ClusterName, FleetRollout};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{LockRow, NewMembership, refused, tell};
use crate::{Result, fleet_rollout};

pub(crate) const SET: &str = "update clusters set labels = $2 where name = $1";

pub(super) async fn relabel(
    tx: &mut PgConnection,
    new: &NewMembership,
    row: &LockRow,
    set: &BTreeMap<String, String>,
    unset: &[String],
) -> Result<String> {
    let name = &new.cluster;
    let was = &row.labels.0;
    let mut now = was.clone();
    now.extend(set.clone());
    now.retain(|key, _| !unset.contains(key));
    if *was == now {
        return Ok(format!("{name} has these labels already"));
    }
    let stored = fleet_rollout::list(tx).await?;
    let documents: Vec<FleetRollout> = stored.into_iter().map(|row| row.fleet_rollout).collect();
    let alone = Labels::from([(name.clone(), now.clone())]);
    for document in &documents {
        if let Some(problem) = overlap::problems(document, &documents, &alone).first() {
            return Err(refused(format!(
                "{}: {}; give it labels by which one of them selects it",
                document.name, problem.message
            )));
        }
    }
    sqlx::query(SET)
        .bind(name.as_str())
        .bind(Json(&now))
        .execute(&mut *tx)
        .await?;
    let reason = if new.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", new.reason)
    };
    let message = format!("{} relabelled {name}{reason}", new.person);
    let evidence = serde_json::json!({"was": was, "now": now, "reason": new.reason});
    tell(tx, new, None, &message, evidence).await?;
    let mut lines = vec![format!("{name} is relabelled")];
    lines.extend(
        documents
            .iter()
            .filter_map(|one| note(one, name, was, &now)),
    );
    Ok(lines.join("\n"))
}

/// What that means for a FleetRollout.
fn note(
    document: &FleetRollout,
    cluster: &ClusterName,
    was: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Option<String> {
    let name = &document.name;
    match (
        document.clusters.selects(was),
        document.clusters.selects(now),
    ) {
        (true, false) => Some(format!(
            "FleetRollout {name} does not select it any more and goes on governing it; `groundswell ungovern {name} --cluster \
             {cluster} --keep-serving --reason WHY` ends that"
        )),
        (false, true) => Some(format!("FleetRollout {name} governs it from now on")),
        (true, true) | (false, false) => None,
    }
}
