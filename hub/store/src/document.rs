//! Documents as wholes: what the history says of them, and their deletion. In: kinds, names, persons. Out: facts, and rows
//! that are gone. It must not free a cluster: a FleetRollout that governs something stays (gate.md G9).

use hub_engine::FleetRolloutName;
use hub_engine::document::{KIND, WINDOW_KIND};
use hub_engine::name::Person;
use sqlx::PgConnection;

use crate::error::not_found;
use crate::fleet_rollout::{self, Change, LOCK_APPLY};
use crate::history::{self, Fact};
use crate::{Error, Result, Store, cluster, let_go};

pub(crate) const WINDOW_DELETE: &str = "delete from fleet_windows where name = $1 returning source";
pub(crate) const ROLLOUT_DELETE: &str =
    "update fleet_rollouts set deleted_at = now() where name = $1";
/// Entries that it still governs; of a cluster that left, nobody will ever say anything again.
pub(crate) const GOVERNED: &str = "select g.cluster from gates g join clusters c on c.name = g.cluster \
     where g.fleet_rollout = $1 and g.governance = 'Governed' and c.left_at is null order by g.cluster limit 1";
pub(crate) const OPEN: &str =
    "select number from releases where fleet_rollout = $1 and ended_at is null limit 1";

/// The chain of a document.
fn stream(kind: &str, name: &str) -> String {
    format!("{}/{name}", kind.to_lowercase())
}

/// One that was stored.
pub(crate) async fn applied(
    tx: &mut PgConnection,
    kind: &'static str,
    name: &str,
    change: Change,
    person: &Person,
    document: serde_json::Value,
) -> Result<()> {
    let verb = if change == Change::Created {
        "created"
    } else {
        "changed"
    };
    let message = format!("{person} {verb} {kind} {name}");
    let mut fact = Fact::of_hub(None, &format!("{kind}Applied"), person.as_str(), message);
    fact.stream = stream(kind, name);
    fact.evidence = serde_json::json!({ "document": document });
    history::add_now(tx, fact).await
}

async fn deleted(
    tx: &mut PgConnection,
    kind: &'static str,
    name: &str,
    person: &Person,
    reason: &str,
) -> Result<String> {
    let message = format!("{person} deleted {kind} {name}: {reason}");
    let mut fact = Fact::of_hub(None, &format!("{kind}Deleted"), person.as_str(), message);
    fact.stream = stream(kind, name);
    fact.evidence = serde_json::json!({ "reason": reason });
    history::add_now(tx, fact).await?;
    Ok(format!("{kind} {name} is deleted"))
}

impl Store {
    /// Deletes a FleetWindow: from its commit on it closes nothing.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    pub async fn fleet_window_delete(
        &self,
        name: &str,
        person: &Person,
        reason: &str,
    ) -> Result<String> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(LOCK_APPLY).execute(&mut *tx).await?;
        let known: Option<String> = sqlx::query_scalar(WINDOW_DELETE)
            .bind(name)
            .fetch_optional(&mut *tx)
            .await?;
        if known.is_none() {
            return Err(not_found(format!("{WINDOW_KIND} {name}")));
        }
        let answer = deleted(&mut tx, WINDOW_KIND, name, person, reason).await?;
        crate::hint::notify(&mut tx).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Deletes a FleetRollout that governs nothing; its releases and its history stay.
    ///
    /// # Errors
    /// `NotFound`; `Refused` while another one comes after it, while it governs a cluster, has an open release; `Unavailable`.
    pub async fn fleet_rollout_delete(
        &self,
        name: &FleetRolloutName,
        person: &Person,
        reason: &str,
    ) -> Result<String> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(LOCK_APPLY).execute(&mut *tx).await?;
        let stored = fleet_rollout::get(&mut tx, name, true).await?;
        let stored = stored.ok_or_else(|| not_found(format!("{KIND} {name}")))?;
        if let Some(message) = obstacle(&mut tx, name, &stored.fleet_rollout).await? {
            tx.rollback().await?;
            self.refusal_add("Delete", person.as_str(), &message)
                .await?;
            return Err(Error::Refused { message });
        }
        sqlx::query(ROLLOUT_DELETE)
            .bind(name.as_str())
            .execute(&mut *tx)
            .await?;
        let answer = deleted(&mut tx, KIND, name.as_str(), person, reason).await?;
        crate::hint::notify(&mut tx).await?;
        tx.commit().await?;
        Ok(answer)
    }
}

async fn obstacle(
    tx: &mut PgConnection,
    name: &FleetRolloutName,
    fleet_rollout: &hub_engine::FleetRollout,
) -> Result<Option<String>> {
    let all = fleet_rollout::list(tx).await?;
    let later: Vec<&str> = all
        .iter()
        .map(|row| &row.fleet_rollout)
        .filter(|other| other.after.contains(name))
        .map(|other| other.name.as_str())
        .collect();
    if !later.is_empty() {
        return Ok(Some(format!(
            "after it comes {0}, which would wait for its releases for good; take {name} out of spec.after there and apply that, \
             or delete {0} first",
            later.join(" and ")
        )));
    }
    let open: Option<i64> = sqlx::query_scalar(OPEN)
        .bind(name.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(number) = open {
        return Ok(Some(format!(
            "release {name}#{number} is open; `groundswell release abort {name}#{number} --reason WHY` comes first"
        )));
    }
    let let_go = let_go::of(tx, name).await?;
    let labels = cluster::labels(tx).await?;
    let selected = labels.into_iter().find(|(cluster, labels)| {
        fleet_rollout.clusters.selects(labels) && !let_go.contains_key(cluster)
    });
    let governed: Option<String> = sqlx::query_scalar(GOVERNED)
        .bind(name.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    let one = governed.or(selected.map(|(cluster, _)| cluster.0));
    Ok(one.map(|cluster| {
        format!(
            "FleetRollout {name} governs {cluster}, and nothing is freed by deleting it; \
             `groundswell ungovern {name} --keep-serving --reason WHY` comes first"
        )
    }))
}
