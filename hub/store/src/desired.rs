//! What each cluster should hold. In: nothing but what deciding transactions wrote. Out: the committed set with its fence.
//! It must not show a part of a transaction.

use std::collections::BTreeMap;

use hub_engine::member::LetGo;
use hub_engine::observed::{Terms, Waiting};
use hub_engine::release::Permit;
use hub_engine::{ClusterName, Fence, FleetRolloutName, RolloutName};

use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::cluster::{fence, number};
use crate::error::{every_row, not_found};
use crate::row::{ROWS_MAX, row};
use crate::{Error, Result, Store};

pub(crate) const SNAPSHOT: &str = "set transaction isolation level repeatable read, read only";
pub(crate) const FENCES: &str =
    "select cluster, incarnation, version from cluster_sets order by cluster";
pub(crate) const RAISE: &str = "with mine as (select cluster from cluster_sets where cluster = any($1) order by cluster for update) \
     update cluster_sets sets set version = version + 1 from mine where sets.cluster = mine.cluster \
     returning sets.cluster, sets.incarnation, sets.version";
/// One statement, so one moment. Of what the agent was sent already only the number is read: a cluster of many Rollouts is told
/// of one at a time, and every time the hash is of all. `$2` and `$3` are the fence that was sent last.
pub(crate) const OF_CLUSTER: &str = "select s.incarnation, s.version as set_version, g.namespace, g.rollout, g.fleet_rollout, g.version, \
     c.governance, c.terms, c.waiting, c.permit, c.lease_seconds, c.steps_backwards, c.cluster_uid, c.rollout_uid, \
     c.signature, c.traceparent from cluster_sets s left join gates g on g.cluster = s.cluster \
     left join lateral (select g.governance, g.terms, g.waiting, g.permit, g.lease_seconds, g.steps_backwards, g.cluster_uid, \
     g.rollout_uid, g.signature, g.traceparent \
     where g.version > $3 or s.incarnation <> $2 or s.version <= $3) c on true \
     where s.cluster = $1 order by g.namespace, g.rollout";
pub(crate) const CHANGED: &str = "select cluster, fleet_rollout, governance, terms, waiting, permit from gates \
     where namespace = $1 and rollout = $2 \
     and changed_in >= pg_snapshot_xmin($3::text::pg_snapshot) and not pg_visible_in_snapshot(changed_in, $3::text::pg_snapshot)";
pub(crate) const KEYS: &str = "select cluster from gates where namespace = $1 and rollout = $2";
pub(crate) const TERMS: &str = "insert into gates (cluster, namespace, rollout, fleet_rollout, version, terms) \
     select c.cluster, $1, $2, $3, c.version, c.terms from jsonb_to_recordset($4) \
     as c (cluster text, version bigint, terms jsonb) on conflict (cluster, namespace, rollout) do update \
     set version = excluded.version, terms = excluded.terms, governance = 'Governed', \
     fleet_rollout = excluded.fleet_rollout \
     where gates.fleet_rollout = excluded.fleet_rollout or gates.governance <> 'Governed' returning cluster";
pub(crate) const CHANGE: &str = "update gates set version = c.version, \
     governance = coalesce(c.governance, gates.governance), \
     waiting = case when c.waits then c.waiting else gates.waiting end, \
     permit = case when c.permits then c.permit else gates.permit end, \
     lease_seconds = case when c.permits then c.lease_seconds else gates.lease_seconds end, \
     steps_backwards = case when c.permits then c.steps_backwards else gates.steps_backwards end, \
     cluster_uid = case when c.permits then c.cluster_uid else gates.cluster_uid end, \
     rollout_uid = case when c.permits then c.rollout_uid else gates.rollout_uid end, \
     signature = case when c.permits then c.signature else gates.signature end, \
     traceparent = case when c.permits then c.traceparent else gates.traceparent end \
     from jsonb_to_recordset($4) as c (cluster text, version bigint, governance text, waits boolean, waiting jsonb, permits boolean, \
     permit jsonb, lease_seconds integer, steps_backwards boolean, cluster_uid text, rollout_uid text, signature text, \
     traceparent text) where gates.cluster = c.cluster and gates.namespace = $1 and gates.rollout = $2 \
     and gates.fleet_rollout = $3 returning gates.cluster";

/// A table that has just been filled has no statistics: the planner takes all gates of a Rollout for one row, and goes through
/// every change for each of them.
pub(crate) const HASHED: &str = "select set_config('enable_nestloop', $1, true) as nested";
/// Fewer changes are no matter.
const HASHED_FROM: usize = 100;

row! {
    /// A cluster's fence.
    FencesRow { cluster: String, incarnation: i64, version: i64 }
}
row! {
    /// An entry of one cluster's set: what is null in all was not asked for, or there is no entry.
    EntryRow {
        incarnation: i64, set_version: i64, namespace: Option<String>, rollout: Option<String>, fleet_rollout: Option<String>,
        version: Option<i64>, governance: Option<String>, terms: Option<Json<Terms>>, waiting: Option<Json<Waiting>>,
        permit: Option<Json<Permit>>, lease_seconds: Option<i32>, steps_backwards: Option<bool>, cluster_uid: Option<String>,
        rollout_uid: Option<String>, signature: Option<String>, traceparent: Option<String>,
    }
}
row! {
    /// The entries of one Rollout in every cluster.
    GateOfRow {
        cluster: String, fleet_rollout: String, governance: String, terms: Json<Terms>,
        waiting: Option<Json<Waiting>>, permit: Option<Json<Permit>>,
    }
}

/// A cluster's whole set at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredSet {
    /// Of the set.
    pub fence: Fence,
    /// Every entry, by namespace and name.
    pub entries: Vec<Entry>,
}

/// A cluster's set after one that its agent was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// Of the set.
    pub fence: Fence,
    /// What it is a delta of; none: it is whole.
    pub base: Option<Fence>,
    /// The entries that changed, by namespace and name.
    pub changed: Vec<Entry>,
    /// All others.
    pub same: Vec<Same>,
}

/// An entry that is as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Same {
    /// Which Rollout.
    pub rollout: RolloutName,
    /// Who governs it.
    pub fleet_rollout: FleetRolloutName,
    /// Version of the set in which it last changed.
    pub version: u64,
}

/// One Rollout's entry. A delta is the entries whose version is above its base: entries never go away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which Rollout.
    pub rollout: RolloutName,
    /// Who governs it.
    pub fleet_rollout: FleetRolloutName,
    /// Version of the set in which it last changed.
    pub version: u64,
    /// Governed, or let go.
    pub governance: Governance,
}

/// Governed, or let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Governance {
    /// As long as nothing else is said.
    Governed {
        /// The lasting part.
        terms: Terms,
        /// What held content waits for.
        waiting: Option<Waiting>,
        /// The newest permit.
        permit: Option<SignedPermit>,
    },
    /// Explicitly let go (gate.md G9): held content starts or not.
    Ungovern {
        /// Whether held content is released.
        release_held: bool,
    },
}

/// A permit as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPermit {
    /// What it allows.
    pub permit: Permit,
    /// Lease length at its grant.
    pub lease_seconds: u32,
    /// Rollback as a canary backwards.
    pub steps_backwards: bool,
    /// Of kube-system.
    pub cluster_uid: String,
    /// Of the Rollout.
    pub rollout_uid: String,
    /// As `PermitSigner::sign` gave it.
    pub signature: String,
    /// W3C traceparent, or empty.
    pub traceparent: String,
}

impl Store {
    /// The committed set of a cluster.
    ///
    /// # Errors
    /// `NotFound` for an unknown cluster; `Unavailable`.
    pub async fn desired_set(&self, cluster: &ClusterName) -> Result<DesiredSet> {
        let set = self.desired_since(cluster, None).await?;
        Ok(DesiredSet {
            fence: set.fence,
            entries: set.changed,
        })
    }

    /// The same for an agent that was sent one with this fence last: whole where that is no base for it.
    ///
    /// # Errors
    /// As `desired_set`.
    pub async fn desired_since(&self, cluster: &ClusterName, sent: Option<Fence>) -> Result<Since> {
        // No set has it.
        let nothing = (-1, -1);
        let asked = sent.map_or(nothing, |sent| {
            (number(sent.incarnation), number(sent.version))
        });
        let rows: Vec<EntryRow> = sqlx::query_as(OF_CLUSTER)
            .bind(cluster.as_str())
            .bind(asked.0)
            .bind(asked.1)
            .fetch_all(&self.pool)
            .await?;
        let first = rows.first();
        let first = first.ok_or_else(|| not_found(format!("cluster {cluster}")))?;
        let fence = fence(first.incarnation, first.set_version);
        let base = sent.filter(|sent| sent.incarnation == fence.incarnation && *sent < fence);
        let (mut changed, mut same) = (Vec::new(), Vec::new());
        for mut row in rows {
            let Some(at) = place(&mut row) else { continue };
            match row.governance.take() {
                Some(governance) => changed.push(entry(cluster, at, &governance, row)?),
                None => same.push(at),
            }
        }
        Ok(Since {
            fence,
            base,
            changed,
            same,
        })
    }

    /// The fence of every cluster's committed set: the poll beside the hint.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn desired_fences(&self) -> Result<Vec<(ClusterName, Fence)>> {
        let rows: Vec<FencesRow> = sqlx::query_as(FENCES).fetch_all(&self.deciding).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.cluster.into(), fence(row.incarnation, row.version)))
            .collect())
    }
}

/// None: the set is empty.
fn place(row: &mut EntryRow) -> Option<Same> {
    Some(Same {
        rollout: RolloutName {
            namespace: row.namespace.take()?,
            name: row.rollout.take()?,
        },
        fleet_rollout: row.fleet_rollout.take()?.into(),
        version: row.version?.unsigned_abs(),
    })
}

fn entry(cluster: &ClusterName, at: Same, governance: &str, row: EntryRow) -> Result<Entry> {
    let signed = row.permit.map(|permit| SignedPermit {
        permit: permit.0,
        lease_seconds: row.lease_seconds.unwrap_or_default().unsigned_abs(),
        steps_backwards: row.steps_backwards.unwrap_or_default(),
        cluster_uid: row.cluster_uid.unwrap_or_default(),
        rollout_uid: row.rollout_uid.unwrap_or_default(),
        signature: row.signature.unwrap_or_default(),
        traceparent: row.traceparent.unwrap_or_default(),
    });
    let corrupt = |message: String| Error::Corrupt {
        what: format!("the gate of {} in {cluster}", at.rollout),
        message,
    };
    let governance = match governance {
        "Governed" => Governance::Governed {
            terms: row.terms.ok_or_else(|| corrupt("no terms".to_owned()))?.0,
            waiting: row.waiting.map(|waiting| waiting.0),
            permit: signed,
        },
        "KeepServing" => Governance::Ungovern {
            release_held: false,
        },
        "ReleaseHeld" => Governance::Ungovern { release_held: true },
        other => return Err(corrupt(format!("governance {other:?}"))),
    };
    Ok(Entry {
        rollout: at.rollout,
        fleet_rollout: at.fleet_rollout,
        version: at.version,
        governance,
    })
}

/// Raises clusters' numbers; their rows stay locked until the transaction ends (gate.md L1). They are locked in one order
/// by all transactions, so that two never wait for each other's cluster.
pub(crate) async fn raise(
    tx: &mut PgConnection,
    clusters: &[ClusterName],
) -> Result<BTreeMap<ClusterName, Fence>> {
    if clusters.is_empty() {
        return Ok(BTreeMap::new());
    }
    let names: Vec<&str> = clusters.iter().map(ClusterName::as_str).collect();
    let rows: Vec<FencesRow> = sqlx::query_as(RAISE).bind(&names).fetch_all(tx).await?;
    let fences: BTreeMap<_, _> = rows
        .into_iter()
        .map(|row| (row.cluster.into(), fence(row.incarnation, row.version)))
        .collect();
    match clusters.iter().find(|one| !fences.contains_key(*one)) {
        Some(cluster) => Err(not_found(format!("cluster {cluster}"))),
        None => Ok(fences),
    }
}

/// The Rollout whose gates are written, and who governs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) rollout: &'a RolloutName,
    pub(crate) fleet_rollout: &'a FleetRolloutName,
}

/// A gate's lasting part in a new version of its cluster's set.
#[derive(Debug, Serialize)]
pub(crate) struct TermsOf<'a> {
    pub(crate) cluster: &'a ClusterName,
    pub(crate) version: u64,
    pub(crate) terms: &'a Terms,
}

/// What else changes in a gate; what is not said stays.
#[derive(Debug, Serialize)]
pub(crate) struct GateChange<'a> {
    pub(crate) cluster: &'a ClusterName,
    pub(crate) version: u64,
    /// The explicit end of governance (gate.md G9); none: as it is.
    pub(crate) governance: Option<LetGo>,
    /// Whether `waiting` is said.
    pub(crate) waits: bool,
    pub(crate) waiting: Option<&'a Waiting>,
    /// Whether the permit is said; without one it is taken away.
    pub(crate) permits: bool,
    #[serde(flatten)]
    pub(crate) permit: PermitColumns<'a>,
}

/// A permit as its columns.
#[derive(Debug, Default, Serialize)]
pub(crate) struct PermitColumns<'a> {
    permit: Option<&'a Permit>,
    lease_seconds: i32,
    steps_backwards: bool,
    cluster_uid: &'a str,
    rollout_uid: &'a str,
    signature: &'a str,
    traceparent: &'a str,
}

impl<'a> From<&'a SignedPermit> for PermitColumns<'a> {
    fn from(signed: &'a SignedPermit) -> Self {
        Self {
            permit: Some(&signed.permit),
            lease_seconds: i32::try_from(signed.lease_seconds).unwrap_or(i32::MAX),
            steps_backwards: signed.steps_backwards,
            cluster_uid: &signed.cluster_uid,
            rollout_uid: &signed.rollout_uid,
            signature: &signed.signature,
            traceparent: &signed.traceparent,
        }
    }
}

pub(crate) async fn set_terms(
    tx: &mut PgConnection,
    of: Of<'_>,
    all: &[TermsOf<'_>],
) -> Result<()> {
    write(tx, TERMS, of, all, |one| one.cluster).await
}

pub(crate) async fn change(
    tx: &mut PgConnection,
    of: Of<'_>,
    all: &[GateChange<'_>],
) -> Result<()> {
    if all.len() < HASHED_FROM {
        return write(tx, CHANGE, of, all, |one| one.cluster).await;
    }
    sqlx::query(HASHED).bind("off").execute(&mut *tx).await?;
    write(tx, CHANGE, of, all, |one| one.cluster).await?;
    sqlx::query(HASHED).bind("on").execute(tx).await?;
    Ok(())
}

/// Every row, or none: each has a gate that the statement answers for.
async fn write<Row: Serialize + Sync>(
    tx: &mut PgConnection,
    statement: &'static str,
    of: Of<'_>,
    all: &[Row],
    cluster: impl Fn(&Row) -> &ClusterName + Send,
) -> Result<()> {
    for some in all.chunks(ROWS_MAX) {
        let done: Vec<String> = sqlx::query_scalar(statement)
            .bind(of.rollout.namespace.as_str())
            .bind(of.rollout.name.as_str())
            .bind(of.fleet_rollout.as_str())
            .bind(Json(some))
            .fetch_all(&mut *tx)
            .await?;
        let wanted = some.iter().map(|one| cluster(one).as_str());
        every_row(wanted, &done, |cluster| {
            format!("the gate of {} in {cluster}", of.rollout)
        })?;
    }
    Ok(())
}
