//! Documents of a file beside everything that is stored. In: a file that is right by itself. Out: every problem that only the
//! clusters, the other documents and the releases can tell. It must not store anything.

use hub_engine::document::File;
use hub_engine::order;
use hub_engine::overlap::{self, Labels};
use hub_engine::window::{FleetWindow, never_open};
use hub_engine::{ClusterName, Document, FleetRollout, FleetRolloutName, Problem};
use sqlx::PgConnection;

use crate::fleet_rollout::FleetRolloutRow;
use crate::{Result, cluster, enforcement, fleet_window, let_go};

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
    let mut windows = fleet_window::list(tx).await?;
    fleet_window::replace(&mut windows, file);
    let all = after(documents, stored);
    let mut problems = beside(documents, stored, &all, &labels, &let_go);
    problems.extend(closed(file, &all, &windows, &labels));
    problems.extend(enforcement::problems(tx, documents, stored, lock).await?);
    Ok(problems)
}

/// Every FleetRollout as it would be, were the file applied.
fn after(documents: &[Document], stored: &[FleetRolloutRow]) -> Vec<FleetRollout> {
    let replaced = |name: &FleetRolloutName| {
        documents
            .iter()
            .any(|document| &document.fleet_rollout.name == name)
    };
    let mut all: Vec<FleetRollout> = stored
        .iter()
        .map(|row| &row.fleet_rollout)
        .filter(|one| !replaced(&one.name))
        .cloned()
        .collect();
    all.extend(
        documents
            .iter()
            .map(|document| document.fleet_rollout.clone()),
    );
    all
}

/// Windows that are never open together, where this file has one of the two documents.
fn closed(
    file: &File,
    all: &[FleetRollout],
    windows: &[FleetWindow],
    labels: &Labels,
) -> Vec<Problem> {
    let own = |name: &FleetRolloutName| {
        let mut documents = file.documents.iter();
        documents.find(|document| document.fleet_rollout.name == *name)
    };
    // Without a FleetWindow in the file only its own FleetRollouts meet something new.
    let concerned = all
        .iter()
        .filter(|one| !file.windows.is_empty() || own(&one.name).is_some());
    let concerned: Vec<&FleetRollout> = concerned.collect();
    let problem = |path: &str, line, message| Problem {
        path: path.to_owned(),
        line,
        message,
    };
    let found = never_open(&concerned, windows, labels).into_iter();
    found
        .filter_map(|never| {
            if let Some(document) = own(&never.fleet_rollout) {
                let path = if never.own {
                    "spec.windows"
                } else {
                    "spec.clusters"
                };
                let line = document.line_of(path).max(document.line);
                return Some(problem(path, line, never.to_string()));
            }
            let named = |name: &String| never.fleet_windows.contains(name);
            let mut windows = file.windows.iter();
            let window = windows.find(|one| named(&one.window.name))?;
            Some(problem("spec.windows", window.line, never.to_string()))
        })
        .collect()
}

/// Every problem that only the clusters and the other FleetRollouts can tell; lines are those of the documents.
fn beside(
    documents: &[Document],
    stored: &[FleetRolloutRow],
    all: &[FleetRollout],
    labels: &Labels,
    let_go: &[(FleetRolloutName, ClusterName)],
) -> Vec<Problem> {
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
        problems.extend(overlap::problems(new, all, labels));
        problems.extend(overlap::rivals(new, all, labels));
        problems.extend(overlap::budgets(new, labels));
        problems.extend(order::problems(new, all));
        for problem in &mut problems {
            if problem.line == 0 {
                let known = document.line_of(&problem.path);
                problem.line = if known == 0 { document.line } else { known };
            }
        }
    }
    problems
}
