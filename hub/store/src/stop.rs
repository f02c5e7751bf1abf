//! Stops (gate.md G30). In: who stops what, and why. Out: one committed row, in one order with every decision; and what
//! decisions see of it. It must not touch a gate: the deciding hub tells every cluster.

use ::time::OffsetDateTime;
use hub_engine::FleetRolloutName;
use hub_engine::name::Person;
use hub_engine::verb::{By, Stop};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::busy::again;
use crate::error::not_found;
use crate::history::{self, Fact};
use crate::row::row;
use crate::time::{from_db, from_db_opt};
use crate::{Error, Result, Store, changed};

/// A deciding transaction that began before this one and has not locked the row yet fails on it, and looks again.
pub(crate) const TOUCH: &str =
    "update fleet_rollouts set version = version where $1 = '' or name = $1";
pub(crate) const INSERT: &str = "insert into stops (fleet_rollout, person, reason) values ($1, $2, $3) \
     on conflict (fleet_rollout) do update set person = excluded.person, reason = excluded.reason, since = now(), \
     lifted_at = null where stops.lifted_at is not null";
pub(crate) const LIFT: &str =
    "update stops set lifted_at = now() where fleet_rollout = $1 and lifted_at is null";
pub(crate) const LIFTED: &str =
    "select max(lifted_at) from stops where fleet_rollout = $1 or fleet_rollout = ''";
pub(crate) const OF: &str = "select fleet_rollout, person, reason, since from stops \
     where (fleet_rollout = $1 or fleet_rollout = '') and lifted_at is null order by fleet_rollout limit 1";
pub(crate) const KEY: &str = "insert into stop_keys (key, person, request, answer) values ($1, $2, $3, $4) \
     on conflict (key) do nothing";
pub(crate) const ALL: &str = "select fleet_rollout, person, reason, since from stops where lifted_at is null \
     order by fleet_rollout";
pub(crate) const PRUNE: &str = "delete from stop_keys where at < now() - $1 * interval '1 day'";
/// The request stays; only its key is free again.
pub(crate) const PRUNE_REQUESTS: &str =
    "update requests set key = '' where key <> '' and asked_at < now() - $1 * interval '1 day'";
/// Who tried what and was refused is not in the history; after a year nobody looks for it.
pub(crate) const PRUNE_REFUSALS: &str =
    "delete from refusals where at < now() - $1 * interval '1 day'";
/// What became of a change is in the history; its session is long over.
pub(crate) const PRUNE_CHANGES: &str =
    "delete from changes where settled and seen_at < now() - $1 * interval '1 day'";
/// Nor does anybody wait for one where nothing governs: of content that was there a month before its cluster is governed no
/// release opens.
pub(crate) const PRUNE_STRANGE: &str = "delete from changes c where not c.settled and c.seen_at < now() - $1 * interval '1 day' \
     and not exists (select from gates g where (g.cluster, g.namespace, g.rollout) = (c.cluster, c.namespace, c.rollout))";
pub(crate) const KEYED: &str = "select person, request, answer from stop_keys where key = $1";

row! {
    /// Who stopped it.
    StopRow { fleet_rollout: String, person: String, reason: String, since: OffsetDateTime }
}
row! {
    /// What was answered to the same key.
    KeyedRow { person: String, request: String, answer: String }
}

/// A key is asked again within minutes, after a lost reply; a month later nobody means the same request.
pub const KEY_DAYS: i32 = 30;

/// An auditor comes once a year.
pub const REFUSAL_DAYS: i32 = 400;

/// A stop of everything locks every row, and may meet an apply that locks them in another order.
const TRIES: usize = 5;

/// A stop, or its end.
#[derive(Debug, Clone)]
pub struct NewStop {
    /// What; none: the whole fleet.
    pub fleet_rollout: Option<FleetRolloutName>,
    /// Its end.
    pub lift: bool,
    /// Who, by certificate.
    pub person: Person,
    /// Why.
    pub reason: String,
    /// The client's own name for this request; empty: it will not ask again.
    pub key: String,
}

impl NewStop {
    fn name(&self) -> &str {
        self.fleet_rollout
            .as_ref()
            .map_or("", FleetRolloutName::as_str)
    }

    fn what(&self) -> String {
        self.fleet_rollout
            .as_ref()
            .map_or("the whole fleet".to_owned(), |name| {
                format!("FleetRollout {name}")
            })
    }

    fn request(&self) -> String {
        format!("lift={} name={} {}", self.lift, self.name(), self.reason)
    }
}

impl Store {
    /// Stops, or lets go. From its commit on no decision starts anything.
    ///
    /// # Errors
    /// `NotFound`; `Refused` without a reason, when it is so already, or when the key was used for something else;
    /// `Unavailable`.
    pub async fn stop(&self, new: &NewStop) -> Result<String> {
        again(TRIES, || self.stop_once(new)).await
    }

    /// What is stopped, the whole fleet first.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn stop_list(&self) -> Result<Vec<(Option<FleetRolloutName>, Stop)>> {
        let rows: Vec<StopRow> = sqlx::query_as(ALL).fetch_all(&self.pool).await?;
        let one = |row: StopRow| {
            let name = Some(row.fleet_rollout.clone()).filter(|name| !name.is_empty());
            (name.map(Into::into), stopped(row))
        };
        Ok(rows.into_iter().map(one).collect())
    }

    /// Forgets idempotency keys and changes that are settled, or of what nothing governs, older than `KEY_DAYS`, refusals older
    /// than `REFUSAL_DAYS`, and all but the newest `GONE_KEPT` transactions in which rows went away. Answers how many.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn keys_prune(&self) -> Result<u64> {
        let mut pruned = 0;
        for (statement, days) in [
            (PRUNE, KEY_DAYS),
            (PRUNE_REQUESTS, KEY_DAYS),
            (PRUNE_CHANGES, KEY_DAYS),
            (PRUNE_STRANGE, KEY_DAYS),
            (PRUNE_REFUSALS, REFUSAL_DAYS),
        ] {
            let done = sqlx::query(statement)
                .bind(f64::from(days))
                .execute(&self.pool)
                .await?;
            pruned += done.rows_affected();
        }
        let gone = sqlx::query(changed::PRUNE).bind(changed::GONE_KEPT);
        Ok(pruned + gone.execute(&self.pool).await?.rows_affected())
    }

    async fn stop_once(&self, new: &NewStop) -> Result<String> {
        let mut tx = self.pool.begin().await?;
        match stop(&mut tx, new).await {
            Ok(answer) => {
                crate::hint::notify(&mut tx).await?;
                tx.commit().await?;
                Ok(answer)
            }
            Err(error) => {
                tx.rollback().await?;
                if let Error::Refused { message } = &error {
                    self.refusal_add("Stop", new.person.as_str(), message)
                        .await?;
                }
                Err(error)
            }
        }
    }
}

async fn stop(tx: &mut PgConnection, new: &NewStop) -> Result<String> {
    let refuse = |message: String| Err(Error::Refused { message });
    if new.reason.trim().is_empty() {
        return refuse("a stop needs a reason; say why with --reason".to_owned());
    }
    let what = new.what();
    let touched = sqlx::query(TOUCH)
        .bind(new.name())
        .execute(&mut *tx)
        .await?;
    if touched.rows_affected() == 0 && new.fleet_rollout.is_some() {
        return Err(not_found(what));
    }
    if let Some(answer) = keyed(tx, new).await? {
        return Ok(answer);
    }
    let changed = if new.lift {
        sqlx::query(LIFT).bind(new.name()).execute(&mut *tx).await?
    } else {
        sqlx::query(INSERT)
            .bind(new.name())
            .bind(new.person.as_str())
            .bind(&new.reason)
            .execute(&mut *tx)
            .await?
    };
    match (changed.rows_affected(), new.lift) {
        (0, true) => return refuse(format!("{what} is not stopped")),
        (0, false) => return refuse(format!("{what} is stopped already")),
        (_, _) => {}
    }
    let (kind, answer) = if new.lift {
        (
            "StopLifted",
            format!("{what} goes on by {}: {}", new.person, new.reason),
        )
    } else {
        (
            "FleetStopped",
            format!("{what} is stopped by {}: {}", new.person, new.reason),
        )
    };
    let mut fact = Fact::of_hub(None, kind, new.person.as_str(), answer.clone());
    if let Some(name) = &new.fleet_rollout {
        fact.stream = format!("fleetrollout/{name}");
    }
    fact.evidence = serde_json::json!({"fleetRollout": new.fleet_rollout, "reason": new.reason});
    history::add_now(tx, fact).await?;
    if !new.key.is_empty() {
        sqlx::query(KEY)
            .bind(&new.key)
            .bind(new.person.as_str())
            .bind(new.request())
            .bind(&answer)
            .execute(&mut *tx)
            .await?;
    }
    Ok(answer)
}

/// What was answered to the same key, if it asked for the same.
async fn keyed(tx: &mut PgConnection, new: &NewStop) -> Result<Option<String>> {
    if new.key.is_empty() {
        return Ok(None);
    }
    let row: Option<KeyedRow> = sqlx::query_as(KEYED)
        .bind(&new.key)
        .fetch_optional(tx)
        .await?;
    match row {
        None => Ok(None),
        Some(row) if row.person == new.person.as_str() && row.request == new.request() => {
            Ok(Some(row.answer))
        }
        Some(_) => Err(Error::Refused {
            message: format!(
                "the idempotency key {} was used for another request already; take a new one",
                new.key
            ),
        }),
    }
}

/// When the newest stop that held it was lifted.
pub(crate) async fn lifted(
    tx: &mut PgConnection,
    name: &FleetRolloutName,
) -> Result<Option<Timestamp>> {
    let at: Option<OffsetDateTime> = sqlx::query_scalar(LIFTED)
        .bind(name.as_str())
        .fetch_one(tx)
        .await?;
    Ok(from_db_opt(at))
}

/// What keeps a FleetRollout from starting anything; a stop of the whole fleet before its own.
pub(crate) async fn of(tx: &mut PgConnection, name: &FleetRolloutName) -> Result<Option<Stop>> {
    let row: Option<StopRow> = sqlx::query_as(OF)
        .bind(name.as_str())
        .fetch_optional(tx)
        .await?;
    Ok(row.map(stopped))
}

fn stopped(row: StopRow) -> Stop {
    Stop {
        all: row.fleet_rollout.is_empty(),
        by: By {
            person: row.person.into(),
            reason: row.reason,
            at: from_db(row.since),
        },
    }
}
