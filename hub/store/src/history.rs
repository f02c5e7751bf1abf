//! Facts, decisions and effects. In: rows of one transaction. Out: the same, chained and never changed again. It must not
//! be written outside the transaction whose change it tells.

use std::collections::{BTreeMap, BTreeSet};

use ::time::OffsetDateTime;
use hub_engine::chain::ChainHead;
use hub_engine::replay::{self, Recorded, Step};
use hub_engine::{ClusterName, FleetRolloutName, Observed};
use jiff::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::cluster::number;
use crate::row::{ROWS_MAX, row};
use crate::time::{from_db, to_db};
use crate::{Error, Result, Store};

pub(crate) const HEAD_LOCK: &str = "insert into history_heads (stream, position, hash) values ($1, 0, ''::bytea) \
     on conflict (stream) do update set stream = excluded.stream returning position, hash";
pub(crate) const HEAD_SET: &str =
    "update history_heads set position = $2, hash = $3 where stream = $1";
pub(crate) const INSERT: &str = "insert into history \
     (stream, position, at, release, cluster, kind, actor, message, evidence, action, epoch, previous_hash, hash) \
     select c.stream, c.position, c.at, c.release, c.cluster, c.kind, c.actor, c.message, \
     coalesce(c.evidence, 'null'), c.action, c.epoch, decode(c.\"previousHash\", 'hex'), decode(c.hash, 'hex') \
     from rows from (jsonb_to_recordset($1) as (stream text, position bigint, at timestamptz, release text, cluster text, \
     kind text, actor text, message text, evidence jsonb, action jsonb, epoch bigint, \"previousHash\" text, hash text)) \
     with ordinality as c order by c.ordinality";
pub(crate) const LIST: &str = "select sequence, stream, position, at, release, cluster, kind, actor, message, evidence, \
     action, epoch, previous_hash, hash from history where sequence > $1 and ($2 = '' or release = $2) \
     and ($3 = '' or cluster = $3) and ($4 = '' or actor = $4) and ($5 = '' or kind = $5) \
     and ($6::timestamptz is null or at >= $6) and ($7::timestamptz is null or at < $7) order by sequence limit $8";
pub(crate) const OF_FLEET_ROLLOUT: &str = "select sequence, stream, position, at, release, cluster, kind, actor, message, \
     evidence, action, epoch, previous_hash, hash from history where sequence > $1 \
     and (stream = 'fleetrollout/' || $2 or split_part(release, '#', 1) = $2) \
     and (action is not null or kind = 'FleetRolloutApplied') order by sequence limit $3";
pub(crate) const HASH: &str = "select hash from history where sequence = $1";
pub(crate) const HEADS: &str =
    "select stream, position, hash from history_heads where position > 0 order by stream";
pub(crate) const ANCHORS: &str = "select cluster, audit_head from cluster_sessions where audit_head not in ('', '-') order by cluster";
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
    /// The end of a chain.
    ChainRow { stream: String, position: i64, hash: Vec<u8> }
}
row! {
    /// What an agent was handed.
    AnchorRow { cluster: String, audit_head: String }
}
row! {
    /// One row for reading.
    HistoryRow {
        sequence: i64, stream: String, position: i64, at: OffsetDateTime, release: String, cluster: String, kind: String,
        actor: String, message: String, evidence: Json<serde_json::Value>, action: Option<Json<serde_json::Value>>,
        epoch: i64, previous_hash: Vec<u8>, hash: Vec<u8>,
    }
}

/// Which rows; what is empty asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// `checkout#42`.
    pub release: String,
    /// A cluster's name.
    pub cluster: String,
    /// Who.
    pub actor: String,
    /// `PermitGranted`, …
    pub kind: String,
    /// From then on.
    pub since: Option<Timestamp>,
    /// Before then.
    pub until: Option<Timestamp>,
}

/// Rows read at once when a whole history is gone through: memory stays small whatever its length.
const PAGE: u32 = 500;

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
    /// What it did to the tables, if it did.
    pub action: Option<Step>,
    /// Of the hub that wrote it; 0: not a decision.
    pub epoch: i64,
}

/// One fact as read, with its place in its chain.
pub type Entry = hub_engine::chain::Row;

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
            action: None,
            epoch: 0,
        }
    }
}

/// Adds a fact to its chain; the chain's head stays locked until the transaction ends.
pub(crate) async fn add(tx: &mut PgConnection, fact: Fact) -> Result<()> {
    add_all(tx, vec![fact]).await
}

/// Adds facts to their chains in this order.
pub(crate) async fn add_all(tx: &mut PgConnection, facts: Vec<Fact>) -> Result<()> {
    let streams = facts.iter().map(|fact| fact.stream.clone()).collect();
    add_each(tx, streams, facts.into_iter()).await
}

/// Adds facts to these chains, as they come; each chain's head is read and written once. No more than `ROWS_MAX` of them are
/// held at once.
pub(crate) async fn add_each(
    tx: &mut PgConnection,
    streams: BTreeSet<String>,
    mut facts: impl Iterator<Item = Fact> + Send,
) -> Result<()> {
    let mut heads = BTreeMap::new();
    // In one order by all transactions, so that two never wait for each other's chain.
    for stream in streams {
        let head: HeadRow = sqlx::query_as(HEAD_LOCK)
            .bind(&stream)
            .fetch_one(&mut *tx)
            .await?;
        heads.insert(stream, head);
    }
    loop {
        let mut rows = Vec::new();
        for fact in facts.by_ref().take(ROWS_MAX) {
            if let Some(head) = heads.get_mut(&fact.stream) {
                rows.push(linked(head, fact)?);
            }
        }
        if rows.is_empty() {
            break;
        }
        sqlx::query(INSERT)
            .bind(Json(rows))
            .execute(&mut *tx)
            .await?;
    }
    for (stream, head) in heads {
        sqlx::query(HEAD_SET)
            .bind(stream)
            .bind(head.position)
            .bind(&head.hash)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// The fact as its chain's next row; the database gives its sequence.
fn linked(head: &mut HeadRow, fact: Fact) -> Result<Entry> {
    let action = fact.action.as_ref().map(serde_json::to_value).transpose();
    let action = action.map_err(|error| Error::Corrupt {
        what: format!("the action of a row of {}", fact.stream),
        message: error.to_string(),
    })?;
    let mut row = Entry {
        sequence: 0,
        position: head.position.unsigned_abs() + 1,
        stream: fact.stream,
        // What the database keeps.
        at: Timestamp::from_microsecond(fact.at.as_microsecond()).unwrap_or(fact.at),
        release: fact.release,
        cluster: fact.cluster,
        kind: fact.kind,
        actor: fact.actor,
        message: fact.message,
        evidence: fact.evidence,
        action,
        epoch: fact.epoch.unsigned_abs(),
        previous_hash: hex::encode(&head.hash),
        hash: String::new(),
    };
    let hash = row.hash_of_content().unwrap_or_default();
    row.hash = hex::encode(&hash);
    *head = HeadRow {
        position: head.position + 1,
        hash,
    };
    Ok(row)
}

/// Adds a fact with the transaction's time.
pub(crate) async fn add_now(tx: &mut PgConnection, fact: Fact) -> Result<()> {
    add_all_now(tx, vec![fact]).await
}

/// Adds facts in this order with the transaction's time.
pub(crate) async fn add_all_now(tx: &mut PgConnection, facts: Vec<Fact>) -> Result<()> {
    if facts.is_empty() {
        return Ok(());
    }
    let now: OffsetDateTime = sqlx::query_scalar(crate::connection::NOW)
        .fetch_one(&mut *tx)
        .await?;
    let at = from_db(now);
    let facts = facts.into_iter().map(|fact| Fact { at, ..fact });
    add_all(tx, facts.collect()).await
}

impl Store {
    /// The history after a row, oldest first; of one release, or of everything when `release` is empty.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn history_list(&self, release: &str, after: u64, limit: u32) -> Result<Vec<Entry>> {
        let filter = Filter {
            release: release.to_owned(),
            ..Filter::default()
        };
        self.history_find(&filter, after, limit).await
    }

    /// The rows that a filter lets through, after a row, oldest first.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn history_find(
        &self,
        filter: &Filter,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Entry>> {
        let rows: Vec<HistoryRow> = sqlx::query_as(LIST)
            .bind(number(after))
            .bind(&filter.release)
            .bind(&filter.cluster)
            .bind(&filter.actor)
            .bind(&filter.kind)
            .bind(filter.since.map(to_db))
            .bind(filter.until.map(to_db))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(entry).collect())
    }

    /// What the tables of a FleetRollout would be by its history alone (S2); none: it was never applied.
    ///
    /// # Errors
    /// `Corrupt`: a row cannot be read, or the rows do not begin with a document; `Unavailable`.
    pub async fn history_replay(&self, name: &FleetRolloutName) -> Result<Option<Observed>> {
        let mut recorded = Vec::new();
        let mut after = 0;
        loop {
            let rows: Vec<HistoryRow> = sqlx::query_as(OF_FLEET_ROLLOUT)
                .bind(after)
                .bind(name.as_str())
                .bind(i64::from(PAGE))
                .fetch_all(&self.pool)
                .await?;
            let Some(last) = rows.last() else { break };
            after = last.sequence;
            for row in rows {
                recorded.extend(step(entry(row))?);
            }
        }
        replay::replay(recorded).map_err(|error| Error::Corrupt {
            what: format!("the history of FleetRollout {name}"),
            message: error.to_string(),
        })
    }

    /// Where every chain ends, and what agents were handed (as `proto::head` writes it), by one snapshot.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn history_heads(&self) -> Result<(Vec<ChainHead>, Vec<(ClusterName, String)>)> {
        let mut tx = self.snapshot().await?;
        let heads: Vec<ChainRow> = sqlx::query_as(HEADS).fetch_all(&mut *tx).await?;
        let anchors: Vec<AnchorRow> = sqlx::query_as(ANCHORS).fetch_all(&mut *tx).await?;
        let head = |row: ChainRow| ChainHead {
            stream: row.stream,
            position: row.position.unsigned_abs(),
            hash: hex::encode(row.hash),
        };
        let anchor = |row: AnchorRow| (row.cluster.into(), row.audit_head);
        Ok((
            heads.into_iter().map(head).collect(),
            anchors.into_iter().map(anchor).collect(),
        ))
    }
}

/// What a row did; none for a fact that changes no table of a release.
fn step(row: Entry) -> Result<Option<Recorded>> {
    let (sequence, at) = (row.sequence, row.at);
    let value = match (row.action, row.kind.as_str()) {
        (Some(action), _) => action,
        // The document is there already, as the evidence.
        (None, "FleetRolloutApplied") => {
            let document = row.evidence.get("document").cloned();
            serde_json::json!({"step": "applied", "document": document})
        }
        (None, _) => return Ok(None),
    };
    let step = serde_json::from_value(value).map_err(|error| Error::Corrupt {
        what: format!("row {sequence} of the history"),
        message: error.to_string(),
    })?;
    Ok(Some(Recorded { sequence, at, step }))
}

/// Sequence and hash of the newest row of all.
pub(crate) async fn newest(tx: &mut PgConnection) -> Result<Option<(u64, Vec<u8>)>> {
    let row: Option<NewestRow> = sqlx::query_as(NEWEST).fetch_optional(tx).await?;
    Ok(row.map(|row| (row.sequence.unsigned_abs(), row.hash)))
}

fn entry(row: HistoryRow) -> Entry {
    Entry {
        sequence: row.sequence.unsigned_abs(),
        stream: row.stream,
        position: row.position.unsigned_abs(),
        at: from_db(row.at),
        release: row.release,
        cluster: row.cluster,
        kind: row.kind,
        actor: row.actor,
        message: row.message,
        evidence: row.evidence.0,
        action: row.action.map(|json| json.0),
        epoch: row.epoch.unsigned_abs(),
        previous_hash: hex::encode(row.previous_hash),
        hash: hex::encode(row.hash),
    }
}
