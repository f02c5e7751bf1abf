//! Documents of a file beside everything that is stored. In: a file that is right by itself. Out: every problem that only the
//! clusters, the other documents and the releases can tell. It must not store anything.

use hub_engine::document::File;
use hub_engine::order;
use hub_engine::overlap::{self, Labels};
use hub_engine::{ClusterName, Document, FleetRollout, FleetRolloutName, Problem};
use sqlx::PgConnection;

use crate::fleet_rollout::FleetRolloutRow;
use crate::{Result, cluster, enforcement, let_go};

/// Everything for which a file is refused. With `lock` it stays true until the transaction ends.
pub(crate) async fn problems(
    tx: &mut PgConnection,
    file: &File,
    stored: &[FleetRolloutRow],
    lock: bool,
) -> Result<Vec<Problem>> {
    let documents = &file.documents;
    let labels = cluster::labels(tx).await?;
    let let_go = let_go::all(tx).await?;
    let mut problems = beside(documents, stored, &labels, &let_go);
    problems.extend(enforcement::problems(tx, documents, stored, lock).await?);
    Ok(problems)
}

/// Every problem that only the clusters and the other documents can tell; lines are those of the documents.
fn beside(
    documents: &[Document],
    stored: &[FleetRolloutRow],
    labels: &Labels,
    let_go: &[(FleetRolloutName, ClusterName)],
) -> Vec<Problem> {
    let replaced = |name: &FleetRolloutName| {
        documents
            .iter()
            .any(|document| &document.fleet_rollout.name == name)
    };
    let mut others: Vec<FleetRollout> = stored
        .iter()
        .map(|row| &row.fleet_rollout)
        .filter(|one| !replaced(&one.name))
        .cloned()
        .collect();
    others.extend(
        documents
            .iter()
            .map(|document| document.fleet_rollout.clone()),
    );
    let mut problems = Vec::new();
    for document in documents {
        let new = &document.fleet_rollout;
        let old = stored.iter().find(|row| row.fleet_rollout.name == new.name);
        let leavers = old
            .map(|old| overlap::leavers(&old.fleet_rollout, new, labels))
            .unwrap_or_default();
        let leavers = leavers
            .into_iter()
            .filter(|cluster| !let_go.contains(&(new.name.clone(), cluster.clone())));
        problems.extend(leavers.map(|cluster| Problem {
            path: "spec.clusters".to_owned(),
            line: 0,
            message: format!(
                "{cluster} would no longer be governed, and nothing is freed by being left out; keep it selected, or first \
                 `groundswell ungovern {} --cluster {cluster} --keep-serving --reason WHY`",
                new.name
            ),
        }));
        problems.extend(overlap::problems(new, &others, labels));
        problems.extend(overlap::budgets(new, labels));
        problems.extend(order::problems(new, &others));
        for problem in &mut problems {
            if problem.line == 0 {
                let known = document.line_of(&problem.path);
                problem.line = if known == 0 { document.line } else { known };
            }
        }
    }
    problems
}
