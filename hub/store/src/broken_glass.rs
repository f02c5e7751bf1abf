//! Break-glass (gate.md G16). In: what agents say that a person did without the fleet's word. Out: one fact of the history
//! each. It must not tell one twice, however often an agent starts.

use hub_engine::{ClusterName, Digest, RolloutName};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::Result;
use crate::history::{self, Fact};

pub(crate) const INSERT: &str = "insert into broken_glass (cluster, id, namespace, rollout, digest, person, reason) \
     values ($1, $2, $3, $4, $5, $6, $7) on conflict (cluster, id) do nothing";

/// A person's word for held content in one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenGlass {
    /// The same when it is told again.
    pub id: String,
    /// The content that started.
    pub digest: Digest,
    /// Who, as the cluster's API server knew them.
    pub by: String,
    /// Why.
    pub reason: String,
    /// That it did not wait for, as the agent wrote it; or empty.
    pub release: String,
    /// By the agent's clock; for people only.
    pub at: Option<Timestamp>,
    /// False: nothing held the content, and the word was spent.
    pub needed: bool,
}

/// Tells it once.
pub(crate) async fn tell(
    tx: &mut PgConnection,
    cluster: &ClusterName,
    rollout: &RolloutName,
    glass: &BrokenGlass,
) -> Result<()> {
    let told = sqlx::query(INSERT)
        .bind(cluster.as_str())
        .bind(&glass.id)
        .bind(&rollout.namespace)
        .bind(&rollout.name)
        .bind(glass.digest.as_str())
        .bind(&glass.by)
        .bind(&glass.reason)
        .execute(&mut *tx)
        .await?;
    if told.rows_affected() == 0 {
        return Ok(());
    }
    let BrokenGlass {
        digest, by, reason, ..
    } = glass;
    let (kind, text) = if glass.needed {
        (
            "GlassBroken",
            format!(
                "{by} started {digest} of {rollout} in {cluster} without the fleet's word: {reason}"
            ),
        )
    } else {
        (
            "GlassNotNeeded",
            format!(
                "{by} broke the glass for {digest} of {rollout} in {cluster}, which nothing held: {reason}"
            ),
        )
    };
    let fact = Fact {
        release: glass.release.clone(),
        evidence: serde_json::json!({
            "id": glass.id, "digest": digest, "person": by, "reason": reason, "at": glass.at,
        }),
        ..Fact::of_hub(Some(cluster), kind, &format!("agent:{cluster}"), text)
    };
    history::add_now(tx, fact).await
}
