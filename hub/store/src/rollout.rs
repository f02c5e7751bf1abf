//! What agents said last of each Rollout. In: states, keyed (session, sequence). Out: the newest. It must not let an older
//! word replace a newer one.

use hub_engine::ClusterName;
use hub_engine::name::RolloutName;
use hub_engine::observed::Rollout;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::Result;
use crate::history::{self, Fact};
use crate::remembered::Rows;
use crate::row::row;

pub(crate) const UPSERT: &str = "insert into rollouts (cluster, namespace, rollout, session, sequence, state) \
     values ($1, $2, $3, $4, $5, $6) on conflict (cluster, namespace, rollout) do update \
     set state = jsonb_set(excluded.state, '{outcome}', \
     coalesce(nullif(excluded.state->'outcome', 'null'), rollouts.state->'outcome', 'null')), \
     session = excluded.session, sequence = excluded.sequence \
     where (rollouts.session, rollouts.sequence) <= (excluded.session, excluded.sequence) \
     returning (select before.state from rollouts before \
     where before.cluster = $1 and before.namespace = $2 and before.rollout = $3)";
pub(crate) const GOVERNED: &str =
    "select exists (select from gates where cluster = $1 and namespace = $2 and rollout = $3)";
pub(crate) const REMOVE_OTHERS: &str = "update rollouts \
     set state = jsonb_set(state, '{removed}', 'true'), session = $2, sequence = 0 where cluster = $1 and session < $2";
pub(crate) const GET: &str =
    "select state from rollouts where cluster = $1 and namespace = $2 and rollout = $3";
pub(crate) const CHANGED: &str = "select cluster, state from rollouts where namespace = $1 and rollout = $2 \
     and changed_in >= pg_snapshot_xmin($3::text::pg_snapshot) and not pg_visible_in_snapshot(changed_in, $3::text::pg_snapshot)";
pub(crate) const KEYS: &str = "select cluster from rollouts where namespace = $1 and rollout = $2";

row! {
    /// A Rollout in one cluster.
    RolloutRow { cluster: String, state: Json<Rollout> }
}

/// Which Rollout, in which report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) cluster: &'a ClusterName,
    pub(crate) rollout: &'a RolloutName,
    pub(crate) session: i64,
    pub(crate) sequence: i64,
}

/// Everything that a Hello brings; what it does not name is not there any more.
pub(crate) async fn replace_all(
    tx: &mut PgConnection,
    cluster: &ClusterName,
    session: i64,
    rollouts: &[(RolloutName, Rollout)],
) -> Result<()> {
    for (rollout, state) in rollouts {
        upsert(
            tx,
            Key {
                cluster,
                rollout,
                session,
                sequence: 0,
            },
            state,
        )
        .await?;
    }
    sqlx::query(REMOVE_OTHERS)
        .bind(cluster.as_str())
        .bind(session)
        .execute(tx)
        .await?;
    Ok(())
}

/// An outcome that was stored once stays until another takes its place: a state without one never takes it away.
pub(crate) async fn upsert(tx: &mut PgConnection, key: Key<'_>, state: &Rollout) -> Result<()> {
    // The statement sees the table as it was before it.
    let before: Option<Option<Json<Rollout>>> = sqlx::query_scalar(UPSERT)
        .bind(key.cluster.as_str())
        .bind(&key.rollout.namespace)
        .bind(&key.rollout.name)
        .bind(key.session)
        .bind(key.sequence)
        .bind(Json(state))
        .fetch_optional(&mut *tx)
        .await?;
    match before {
        Some(Some(Json(before))) => tell_delivery(tx, key, &before, state).await,
        Some(None) | None => Ok(()),
    }
}

/// A change of strategy alone opens no release, and is recorded (gate.md G2).
async fn tell_delivery(
    tx: &mut PgConnection,
    key: Key<'_>,
    before: &Rollout,
    now: &Rollout,
) -> Result<()> {
    let (Some(was), Some(is)) = (&before.spec, &now.spec) else {
        return Ok(());
    };
    if was.digest != is.digest || was.delivery == is.delivery {
        return Ok(());
    }
    let governed: bool = sqlx::query_scalar(GOVERNED)
        .bind(key.cluster.as_str())
        .bind(&key.rollout.namespace)
        .bind(&key.rollout.name)
        .fetch_one(&mut *tx)
        .await?;
    if !governed {
        return Ok(());
    }
    let Key {
        cluster, rollout, ..
    } = key;
    let text = format!(
        "the steps or analysis templates of {rollout} in {cluster} were edited; its content is still {}",
        is.digest
    );
    let fact = Fact {
        evidence: serde_json::json!({"was": was.delivery, "now": is.delivery, "digest": is.digest}),
        ..Fact::of_hub(
            Some(cluster),
            "StrategyEdited",
            &format!("agent:{cluster}"),
            text,
        )
    };
    history::add_now(tx, fact).await
}

/// Changes a part of what is known; without anything known there is nothing to change.
pub(crate) async fn amend(
    tx: &mut PgConnection,
    key: Key<'_>,
    change: impl FnOnce(&mut Rollout) + Send,
) -> Result<()> {
    let state: Option<Json<Rollout>> = sqlx::query_scalar(GET)
        .bind(key.cluster.as_str())
        .bind(&key.rollout.namespace)
        .bind(&key.rollout.name)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(Json(mut state)) = state else {
        return Ok(());
    };
    change(&mut state);
    upsert(tx, key, &state).await
}

/// A FleetRollout's Rollout in every cluster that has reported it, as far as it is not known since then.
pub(crate) async fn of(
    tx: &mut PgConnection,
    rollout: &RolloutName,
    since: &str,
    memory: &mut Rows<String, Rollout>,
) -> Result<()> {
    let rows: Vec<RolloutRow> = sqlx::query_as(CHANGED)
        .bind(&rollout.namespace)
        .bind(&rollout.name)
        .bind(since)
        .fetch_all(tx)
        .await?;
    for row in rows {
        memory.learn(row.cluster, row.state.0);
    }
    Ok(())
}
