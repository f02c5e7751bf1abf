//! What each cluster should hold. In: nothing but what deciding transactions wrote. Out: the committed set with its fence.
//! It must not show a part of a transaction.

use hub_engine::member::LetGo;
use hub_engine::observed::{Terms, Waiting};
use hub_engine::release::Permit;
use hub_engine::{ClusterName, Fence, FleetRolloutName, RolloutName};

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::cluster::{fence, number};
use crate::error::{not_found, one_row};
use crate::row::row;
use crate::{Error, Result, Store};

pub(crate) const SNAPSHOT: &str = "set transaction isolation level repeatable read, read only";
pub(crate) const FENCE: &str = "select incarnation, version from cluster_sets where cluster = $1";
pub(crate) const FENCES: &str =
    "select cluster, incarnation, version from cluster_sets order by cluster";
pub(crate) const RAISE: &str = "update cluster_sets set version = version + 1 where cluster = $1 returning incarnation, version";
pub(crate) const OF_CLUSTER: &str = "select namespace, rollout, fleet_rollout, version, governance, terms, waiting, permit, \
     lease_seconds, steps_backwards, cluster_uid, rollout_uid, signature, traceparent \
     from gates where cluster = $1 order by namespace, rollout";
pub(crate) const OF_ROLLOUT: &str = "select cluster, fleet_rollout, governance, terms, waiting, permit from gates \
     where namespace = $1 and rollout = $2";
pub(crate) const TERMS: &str = "insert into gates (cluster, namespace, rollout, fleet_rollout, version, terms) \
     values ($1, $2, $3, $4, $5, $6) on conflict (cluster, namespace, rollout) do update \
     set version = excluded.version, terms = excluded.terms, governance = 'Governed', \
     fleet_rollout = excluded.fleet_rollout \
     where gates.fleet_rollout = excluded.fleet_rollout or gates.governance <> 'Governed'";
pub(crate) const LET_GO: &str = "update gates set version = $5, governance = $6, permit = null, waiting = null, \
     lease_seconds = 0, steps_backwards = false, cluster_uid = '', rollout_uid = '', signature = '', traceparent = '' \
     where cluster = $1 and namespace = $2 and rollout = $3 and fleet_rollout = $4";
pub(crate) const WAITING: &str = "update gates set version = $5, waiting = $6 \
     where cluster = $1 and namespace = $2 and rollout = $3 and fleet_rollout = $4";
pub(crate) const PERMIT: &str = "update gates set version = $5, permit = $6, lease_seconds = $7, steps_backwards = $8, \
     cluster_uid = $9, rollout_uid = $10, signature = $11, traceparent = $12 \
     where cluster = $1 and namespace = $2 and rollout = $3 and fleet_rollout = $4";

row! {
    /// A fence.
    FenceRow { incarnation: i64, version: i64 }
}
row! {
    /// A cluster's fence.
    FencesRow { cluster: String, incarnation: i64, version: i64 }
}
row! {
    /// An entry of one cluster's set.
    EntryRow {
        namespace: String, rollout: String, fleet_rollout: String, version: i64, governance: String, terms: Json<Terms>,
        waiting: Option<Json<Waiting>>, permit: Option<Json<Permit>>, lease_seconds: i32, steps_backwards: bool,
        cluster_uid: String, rollout_uid: String, signature: String, traceparent: String,
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
        let mut tx = self.snapshot().await?;
        let row: Option<FenceRow> = sqlx::query_as(FENCE)
            .bind(cluster.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        let row = row.ok_or_else(|| not_found(format!("cluster {cluster}")))?;
        let rows: Vec<EntryRow> = sqlx::query_as(OF_CLUSTER)
            .bind(cluster.as_str())
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        let entries = rows
            .into_iter()
            .map(|row| entry(cluster, row))
            .collect::<Result<_>>()?;
        Ok(DesiredSet {
            fence: fence(row.incarnation, row.version),
            entries,
        })
    }

    /// The fence of every cluster's committed set: the poll beside the hint.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn desired_fences(&self) -> Result<Vec<(ClusterName, Fence)>> {
        let rows: Vec<FencesRow> = sqlx::query_as(FENCES).fetch_all(&self.pool).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.cluster.into(), fence(row.incarnation, row.version)))
            .collect())
    }
}

fn entry(cluster: &ClusterName, row: EntryRow) -> Result<Entry> {
    let rollout = RolloutName {
        namespace: row.namespace,
        name: row.rollout,
    };
    let signed = row.permit.map(|permit| SignedPermit {
        permit: permit.0,
        lease_seconds: row.lease_seconds.unsigned_abs(),
        steps_backwards: row.steps_backwards,
        cluster_uid: row.cluster_uid,
        rollout_uid: row.rollout_uid,
        signature: row.signature,
        traceparent: row.traceparent,
    });
    let governance = match row.governance.as_str() {
        "Governed" => Governance::Governed {
            terms: row.terms.0,
            waiting: row.waiting.map(|waiting| waiting.0),
            permit: signed,
        },
        "KeepServing" => Governance::Ungovern {
            release_held: false,
        },
        "ReleaseHeld" => Governance::Ungovern { release_held: true },
        other => {
            let (what, message) = (
                format!("the gate of {rollout} in {cluster}"),
                format!("governance {other:?}"),
            );
            return Err(Error::Corrupt { what, message });
        }
    };
    Ok(Entry {
        rollout,
        fleet_rollout: row.fleet_rollout.into(),
        version: row.version.unsigned_abs(),
        governance,
    })
}

/// Raises a cluster's number; its row stays locked until the transaction ends (gate.md L1).
pub(crate) async fn raise(tx: &mut PgConnection, cluster: &ClusterName) -> Result<Fence> {
    let row: FenceRow = sqlx::query_as(RAISE)
        .bind(cluster.as_str())
        .fetch_one(tx)
        .await?;
    Ok(fence(row.incarnation, row.version))
}

/// Which entry, in which version of its set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) cluster: &'a ClusterName,
    pub(crate) rollout: &'a RolloutName,
    pub(crate) fleet_rollout: &'a FleetRolloutName,
    pub(crate) fence: Fence,
}

type Query<'a> = sqlx::query::Query<'a, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn at<'a>(statement: &'static str, at: At<'a>) -> Query<'a> {
    sqlx::query(statement)
        .bind(at.cluster.as_str())
        .bind(at.rollout.namespace.as_str())
        .bind(at.rollout.name.as_str())
        .bind(at.fleet_rollout.as_str())
        .bind(number(at.fence.version))
}

pub(crate) async fn set_terms(tx: &mut PgConnection, entry: At<'_>, terms: &Terms) -> Result<()> {
    let done = at(TERMS, entry).bind(Json(terms)).execute(tx).await?;
    one_row(&done, || {
        format!("the gate of {} in {}", entry.rollout, entry.cluster)
    })
}

pub(crate) async fn set_waiting(
    tx: &mut PgConnection,
    entry: At<'_>,
    waiting: Option<&Waiting>,
) -> Result<()> {
    let done = at(WAITING, entry)
        .bind(waiting.map(Json))
        .execute(tx)
        .await?;
    one_row(&done, || {
        format!("the gate of {} in {}", entry.rollout, entry.cluster)
    })
}

/// The explicit end of governance (gate.md G9): no permit, and nothing to wait for.
pub(crate) async fn let_go(tx: &mut PgConnection, entry: At<'_>, mode: LetGo) -> Result<()> {
    let done = at(LET_GO, entry).bind(mode.as_str()).execute(tx).await?;
    one_row(&done, || {
        format!("the gate of {} in {}", entry.rollout, entry.cluster)
    })
}

/// None takes the permit away.
pub(crate) async fn set_permit(
    tx: &mut PgConnection,
    entry: At<'_>,
    signed: Option<&SignedPermit>,
) -> Result<()> {
    let text =
        |field: fn(&SignedPermit) -> &String| signed.map_or("", |signed| field(signed).as_str());
    let done = at(PERMIT, entry)
        .bind(signed.map(|signed| Json(&signed.permit)))
        .bind(signed.map_or(0, |signed| {
            i32::try_from(signed.lease_seconds).unwrap_or(i32::MAX)
        }))
        .bind(signed.is_some_and(|signed| signed.steps_backwards))
        .bind(text(|signed| &signed.cluster_uid))
        .bind(text(|signed| &signed.rollout_uid))
        .bind(text(|signed| &signed.signature))
        .bind(text(|signed| &signed.traceparent))
        .execute(tx)
        .await?;
    one_row(&done, || {
        format!("the gate of {} in {}", entry.rollout, entry.cluster)
    })
}
