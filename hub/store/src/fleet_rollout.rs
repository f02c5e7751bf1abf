//! FleetRollouts. In: checked documents. Out: stored ones. It must not store one document of a file that has a problem.

use hub_engine::document::{File, KIND, WINDOW_KIND};
use hub_engine::name::Person;
use hub_engine::overlap::{self, Labels};
use hub_engine::plan::FleetRolloutStatus;
use hub_engine::{Document, FleetRollout, FleetRolloutName, Problem, Reason};

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::row::row;
use crate::{Result, Store, check, cluster, document, fleet_window, let_go};

/// Applies one after the other. Not the table's own lock: a decision holds its row before it writes to the table, and the
/// two would wait for each other. The number is any that nothing else in this database takes.
pub(crate) const LOCK_APPLY: &str = "select pg_advisory_xact_lock(7065541)";
pub(crate) const LIST: &str = "select document, source, version, status, reasons from fleet_rollouts where deleted_at is null order by name";
pub(crate) const NAMES: &str =
    "select name from fleet_rollouts where deleted_at is null order by name";
pub(crate) const GET: &str = "select document, source, version, status, reasons from fleet_rollouts where name = $1 and deleted_at is null";
pub(crate) const LOCK: &str = "select document, source, version, status, reasons from fleet_rollouts where name = $1 and deleted_at is null for update";
pub(crate) const UPSERT: &str = "insert into fleet_rollouts \
     (name, namespace, rollout, document, source, version, applied_by, applied_at, status, reasons) \
     values ($1, $2, $3, $4, $5, 1, $6, now(), $7, '[]') on conflict (name) do update \
     set namespace = excluded.namespace, rollout = excluded.rollout, document = excluded.document, \
     source = excluded.source, version = fleet_rollouts.version + 1, applied_by = excluded.applied_by, \
     applied_at = excluded.applied_at, deleted_at = null";
pub(crate) const STATUS: &str =
    "update fleet_rollouts set status = $2, reasons = $3 where name = $1";

row! {
    /// A stored FleetRollout.
    StoredRow {
        document: Json<FleetRollout>, source: String, version: i64, status: Json<FleetRolloutStatus>,
        reasons: Json<Vec<Reason>>,
    }
}

/// One FleetRollout as stored.
#[derive(Debug, Clone)]
pub struct FleetRolloutRow {
    /// The checked values.
    pub fleet_rollout: FleetRollout,
    /// The text, as it was applied.
    pub text: String,
    /// Raised by every change.
    pub version: u64,
    /// Of the newest plan.
    pub status: FleetRolloutStatus,
    /// Of the newest plan: of the FleetRollout and of all of its releases.
    pub reasons: Vec<Reason>,
}

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// `FleetRollout` or `FleetWindow`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What happened.
    pub change: Change,
    /// Sentences that the person should read.
    pub notes: Vec<String>,
}

/// What happened to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was new.
    Created,
    /// It replaced another version.
    Configured,
    /// It was there, equal in everything but its writing.
    Unchanged,
}

/// How applying a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Apply {
    /// Stored, or with `dry_run` storable.
    Done(Vec<Applied>),
    /// Nothing was stored.
    Problems(Vec<Problem>),
}

impl Store {
    /// Stores every document of a file, or none. Checks them against clusters and other FleetRollouts in the same
    /// transaction (gate.md G9, G12).
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn fleet_rollout_apply(
        &self,
        file: &File,
        person: &Person,
        dry_run: bool,
    ) -> Result<Apply> {
        let documents = &file.documents;
        let mut tx = self.pool.begin().await?;
        sqlx::query(LOCK_APPLY).execute(&mut *tx).await?;
        let labels = cluster::labels(&mut tx).await?;
        let stored = list(&mut tx).await?;
        let problems = check::problems(&mut tx, file, &stored, true).await?;
        if !problems.is_empty() {
            return Ok(Apply::Problems(problems));
        }
        let mut applied = Vec::new();
        for document in documents {
            let old = stored
                .iter()
                .find(|row| row.fleet_rollout.name == document.fleet_rollout.name);
            let change = match old {
                None => Change::Created,
                Some(old) if old.fleet_rollout == document.fleet_rollout => Change::Unchanged,
                Some(_) => Change::Configured,
            };
            if change != Change::Unchanged {
                store(&mut tx, document, person, change).await?;
            }
            let notes = notes(document, &labels);
            applied.push(Applied {
                kind: KIND,
                name: document.fleet_rollout.name.to_string(),
                change,
                notes,
            });
        }
        let windows = fleet_window::list(&mut tx).await?;
        for document in &file.windows {
            applied.push(Applied {
                kind: WINDOW_KIND,
                name: document.window.name.clone(),
                change: fleet_window::store(&mut tx, document, &windows, person).await?,
                notes: document.notes.clone(),
            });
        }
        if dry_run {
            tx.rollback().await?;
        } else {
            crate::hint::notify(&mut tx).await?;
            tx.commit().await?;
        }
        Ok(Apply::Done(applied))
    }

    /// Every FleetRollout, by name.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn fleet_rollout_list(&self) -> Result<Vec<FleetRolloutRow>> {
        let mut connection = self.pool.acquire().await?;
        list(&mut connection).await
    }

    /// The names alone: what the deciding loop goes through.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn fleet_rollout_names(&self) -> Result<Vec<FleetRolloutName>> {
        let names: Vec<String> = sqlx::query_scalar(NAMES).fetch_all(&self.deciding).await?;
        Ok(names.into_iter().map(FleetRolloutName).collect())
    }
}

pub(crate) async fn list(tx: &mut PgConnection) -> Result<Vec<FleetRolloutRow>> {
    let rows: Vec<StoredRow> = sqlx::query_as(LIST).fetch_all(tx).await?;
    Ok(rows.into_iter().map(stored).collect())
}

pub(crate) async fn get(
    tx: &mut PgConnection,
    name: &FleetRolloutName,
    lock: bool,
) -> Result<Option<FleetRolloutRow>> {
    let statement = if lock { LOCK } else { GET };
    let row: Option<StoredRow> = sqlx::query_as(statement)
        .bind(name.as_str())
        .fetch_optional(tx)
        .await?;
    Ok(row.map(stored))
}

fn stored(row: StoredRow) -> FleetRolloutRow {
    FleetRolloutRow {
        fleet_rollout: row.document.0,
        text: row.source,
        version: row.version.unsigned_abs(),
        status: row.status.0,
        reasons: row.reasons.0,
    }
}

fn notes(document: &Document, labels: &Labels) -> Vec<String> {
    let mut notes = document.notes.clone();
    let homeless = overlap::without_wave(&document.fleet_rollout, labels);
    if !homeless.is_empty() {
        let names: Vec<_> = homeless.iter().map(ToString::to_string).collect();
        notes.push(format!(
            "governed but in no wave, so never released to: {}",
            names.join(", ")
        ));
    }
    let strangers = overlap::strangers(&document.fleet_rollout, labels);
    if !strangers.is_empty() {
        let names: Vec<_> = strangers.iter().map(ToString::to_string).collect();
        notes.push(format!(
            "named by a wave, but not governed or not joined yet: {}",
            names.join(", ")
        ));
    }
    notes
}

async fn store(
    tx: &mut PgConnection,
    document: &Document,
    person: &Person,
    change: Change,
) -> Result<()> {
    let new = &document.fleet_rollout;
    sqlx::query(UPSERT)
        .bind(new.name.as_str())
        .bind(&new.rollout.namespace)
        .bind(&new.rollout.name)
        .bind(Json(new))
        .bind(&document.text)
        .bind(person.as_str())
        .bind(Json(FleetRolloutStatus::default()))
        .execute(&mut *tx)
        .await?;
    if change == Change::Created {
        // Of one that was deleted: whoever applies it again means its clusters.
        let_go::forget(tx, &new.name).await?;
    }
    document::applied(
        tx,
        KIND,
        new.name.as_str(),
        change,
        person,
        serde_json::json!(new),
    )
    .await
}

/// What the newest plan says, for people; written only when it changed.
pub(crate) async fn set_status(
    tx: &mut PgConnection,
    name: &FleetRolloutName,
    status: &FleetRolloutStatus,
    reasons: &[Reason],
) -> Result<()> {
    sqlx::query(STATUS)
        .bind(name.as_str())
        .bind(Json(status))
        .bind(Json(reasons))
        .execute(tx)
        .await?;
    Ok(())
}
