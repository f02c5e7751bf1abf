//! Facts, decisions and effects. In: rows of one transaction. Out: the same, chained and never changed again. It must not
//! be written outside the transaction whose change it tells.

use ::time::OffsetDateTime;
use hub_engine::ClusterName;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::row::row;
use crate::time::{from_db, to_db};
use crate::{Result, Store};

pub(crate) const HEAD_LOCK: &str = "insert into history_heads (stream, position, hash) values ($1, 0, ''::bytea) \
     on conflict (stream) do update set stream = excluded.stream returning position, hash";
pub(crate) const HEAD_SET: &str =
    "update history_heads set position = $2, hash = $3 where stream = $1";
pub(crate) const INSERT: &str = "insert into history \
     (stream, position, at, release, cluster, kind, actor, message, evidence, epoch, previous_hash, hash) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
pub(crate) const LIST: &str = "select sequence, at, release, cluster, kind, actor, message, evidence, epoch \
     from history where sequence > $1 and ($2 = '' or release = $2) order by sequence limit $3";

pub(crate) const NEWEST: &str = "select sequence, hash from history order by sequence desc limit 1";

row! {
    /// The newest row of all.
    NewestRow { sequence: i64, hash: Vec<u8> }
}
row! {
    /// A stream's newest row.
    HeadRow { position: i64, hash: Vec<u8> }
}
row! {
    /// One row for reading.
    HistoryRow {
        sequence: i64, at: OffsetDateTime, release: String, cluster: String, kind: String, actor: String,
        message: String, evidence: Json<serde_json::Value>, epoch: i64,
    }
}

/// One fact to write.
#[derive(Debug, Clone)]
pub struct Fact {
    /// Which chain: a release's name, `fleetrollout/checkout`, or `hub`.
    pub stream: String,
    /// The database's time of the transaction.
    pub at: Timestamp,
    /// `checkout#42`, or empty.
    pub release: String,
    /// Or empty.
    pub cluster: String,
    /// `PermitGranted`, …
    pub kind: String,
    /// `hub`, `agent:prod-eu`, or a person's name.
    pub actor: String,
    /// One sentence.
    pub message: String,
    /// What it was decided on.
    pub evidence: serde_json::Value,
    /// Of the hub that wrote it; 0: not a decision.
    pub epoch: i64,
}

/// One fact as read.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Rises; not without gaps.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Or empty.
    pub release: String,
    /// Or empty.
    pub cluster: String,
    /// `PermitGranted`, …
    pub kind: String,
    /// Who.
    pub actor: String,
    /// One sentence.
    pub message: String,
    /// What it was decided on.
    pub evidence: serde_json::Value,
    /// Of the hub that wrote it.
    pub epoch: u64,
}

impl Fact {
    /// A fact about the hub itself, in its own chain; `add_now` fills in the time.
    #[must_use]
    pub fn of_hub(cluster: Option<&ClusterName>, kind: &str, actor: &str, message: String) -> Self {
        Self {
            stream: "hub".to_owned(),
            at: Timestamp::default(),
            release: String::new(),
            cluster: cluster.map(ToString::to_string).unwrap_or_default(),
            kind: kind.to_owned(),
            actor: actor.to_owned(),
            message,
            evidence: serde_json::Value::Null,
            epoch: 0,
        }
    }
}

/// Adds a fact to its chain; the chain's head stays locked until the transaction ends.
pub(crate) async fn add(tx: &mut PgConnection, fact: Fact) -> Result<()> {
    let head: HeadRow = sqlx::query_as(HEAD_LOCK)
        .bind(&fact.stream)
        .fetch_one(&mut *tx)
        .await?;
    let position = head.position + 1;
    let hash = chain(&head.hash, position, &fact);
    sqlx::query(INSERT)
        .bind(&fact.stream)
        .bind(position)
        .bind(to_db(fact.at))
        .bind(&fact.release)
        .bind(&fact.cluster)
        .bind(&fact.kind)
        .bind(&fact.actor)
        .bind(&fact.message)
        .bind(Json(&fact.evidence))
        .bind(fact.epoch)
        .bind(&head.hash)
        .bind(&hash)
        .execute(&mut *tx)
        .await?;
    sqlx::query(HEAD_SET)
        .bind(&fact.stream)
        .bind(position)
        .bind(&hash)
        .execute(tx)
        .await?;
    Ok(())
}

/// Adds a fact with the transaction's time.
pub(crate) async fn add_now(tx: &mut PgConnection, fact: Fact) -> Result<()> {
    let now: OffsetDateTime = sqlx::query_scalar(crate::connection::NOW)
        .fetch_one(&mut *tx)
        .await?;
    add(
        tx,
        Fact {
            at: from_db(now),
            ..fact
        },
    )
    .await
}

/// SHA-256 over the previous hash and every field, each with its length before it. The time counts in microseconds: that is
/// what the database keeps. Evidence is hashed with sorted keys: jsonb keeps no order.
fn chain(previous: &[u8], position: i64, fact: &Fact) -> Vec<u8> {
    let mut hasher = Sha256::new();
    let evidence = sorted(&fact.evidence).to_string();
    let at = fact.at.as_microsecond().to_be_bytes();
    let fields: [&[u8]; 11] = [
        previous,
        &position.to_be_bytes(),
        fact.stream.as_bytes(),
        &at,
        fact.release.as_bytes(),
        fact.cluster.as_bytes(),
        fact.kind.as_bytes(),
        fact.actor.as_bytes(),
        fact.message.as_bytes(),
        evidence.as_bytes(),
        &fact.epoch.to_be_bytes(),
    ];
    for field in fields {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    hasher.finalize().to_vec()
}

/// The same JSON with every map's keys in order, whatever map serde_json was built with.
fn sorted(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let ordered: std::collections::BTreeMap<_, _> = map
                .iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect();
            serde_json::Value::Object(ordered.into_iter().collect())
        }
        serde_json::Value::Array(list) => {
            serde_json::Value::Array(list.iter().map(sorted).collect())
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => value.clone(),
    }
}

impl Store {
    /// The history after a row, oldest first; of one release, or of everything when `release` is empty.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn history_list(&self, release: &str, after: u64, limit: u32) -> Result<Vec<Entry>> {
        let rows: Vec<HistoryRow> = sqlx::query_as(LIST)
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(release)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(entry).collect())
    }
}

/// Sequence and hash of the newest row of all.
pub(crate) async fn newest(tx: &mut PgConnection) -> Result<Option<(u64, Vec<u8>)>> {
    let row: Option<NewestRow> = sqlx::query_as(NEWEST).fetch_optional(tx).await?;
    Ok(row.map(|row| (row.sequence.unsigned_abs(), row.hash)))
}

fn entry(row: HistoryRow) -> Entry {
    Entry {
        sequence: row.sequence.unsigned_abs(),
        at: from_db(row.at),
        release: row.release,
        cluster: row.cluster,
        kind: row.kind,
        actor: row.actor,
        message: row.message,
        evidence: row.evidence.0,
        epoch: row.epoch.unsigned_abs(),
    }
}
