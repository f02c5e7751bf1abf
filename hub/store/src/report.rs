//! Agents' reports. In: batches of one session. Out: how far they are committed. It must not commit for a session that is
//! over (gate.md L3), nor store one twice.

use hub_engine::observed::{Effect, Outcome, Rollout};
use hub_engine::release::Content;
use hub_engine::{ClusterName, RolloutName};
use jiff::Timestamp;

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::broken_glass::{self, BrokenGlass};
use crate::cluster::number;
use crate::hint::{self, Hint};
use crate::history::{self, Fact};
use crate::{Result, Store, rollout};

pub(crate) const LOCK: &str =
    "select reported from cluster_sessions where cluster = $1 and session = $2 for update";
pub(crate) const WATERMARK: &str = "update cluster_sessions set reported = $3, last_seen_at = now(), open = true \
     where cluster = $1 and session = $2";
pub(crate) const CHANGE: &str = "insert into changes (cluster, namespace, rollout, was, now, session, sequence) \
     values ($1, $2, $3, $4, $5, $6, $7) on conflict (cluster, session, sequence) do nothing";
pub(crate) const VERB_TOLD: &str = "select exists (select from history \
     where kind in ('LocalVerb', 'LocalVerbHeld') and evidence->>'verb' = $1 and cluster = $2)";

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Rising by one in its session.
    pub sequence: u64,
    /// By the agent's clock; for people only.
    pub at: Timestamp,
    /// W3C traceparent, or empty.
    pub traceparent: String,
    /// Which Rollout.
    pub rollout: RolloutName,
    /// What happened.
    pub body: Body,
}

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The latest state.
    State(Rollout),
    /// The content changed while the agent was connected.
    Changed {
        /// What was there; none: the Rollout was new.
        was: Option<Content>,
        /// What is there.
        now: Content,
    },
    /// A permit took effect.
    Effect {
        /// The permit's release, as the agent wrote it.
        release: String,
        /// Which permit, and when.
        effect: Effect,
    },
    /// A permit ended.
    Outcome(Outcome),
    /// Someone promoted, retried, aborted …
    Verb {
        /// Which.
        verb: String,
        /// Whether the gate held it.
        held: bool,
        /// The agent's sentence.
        message: String,
        /// That it was said under, or while waiting for; or empty.
        release: String,
        /// The same when it is sent again; older agents send none.
        id: String,
    },
    /// A person in the cluster did without the fleet's word (gate.md G16).
    BrokenGlass(BrokenGlass),
    /// The object is gone.
    Removed,
}

/// How storing a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Everything up to this sequence is committed.
    UpTo(u64),
    /// The session is over; nothing was stored, end its stream.
    SessionOver,
}

impl Store {
    /// Stores a batch in one transaction; reports that are stored already are passed over.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn report_store(
        &self,
        cluster: &ClusterName,
        session: u64,
        reports: &[Report],
    ) -> Result<Stored> {
        let mut tx = self.pool.begin().await?;
        let reported: Option<i64> = sqlx::query_scalar(LOCK)
            .bind(cluster.as_str())
            .bind(number(session))
            .fetch_optional(&mut *tx)
            .await?;
        let Some(reported) = reported else {
            return Ok(Stored::SessionOver);
        };
        let mut highest = reported.unsigned_abs();
        for report in reports {
            if report.sequence > highest {
                store(&mut tx, cluster, session, report).await?;
                highest = report.sequence;
            }
        }
        sqlx::query(WATERMARK)
            .bind(cluster.as_str())
            .bind(number(session))
            .bind(number(highest))
            .execute(&mut *tx)
            .await?;
        let about = |report: &Report| Hint::Rollout(report.rollout.clone());
        hint::notify_of(&mut tx, reports.iter().map(about).collect()).await?;
        tx.commit().await?;
        Ok(Stored::UpTo(highest))
    }
}

async fn store(
    tx: &mut PgConnection,
    cluster: &ClusterName,
    session: u64,
    report: &Report,
) -> Result<()> {
    let key = rollout::Key {
        cluster,
        rollout: &report.rollout,
        session: number(session),
        sequence: number(report.sequence),
    };
    match &report.body {
        Body::State(state) => rollout::upsert(tx, key, state).await,
        Body::Changed { was, now } => {
            sqlx::query(CHANGE)
                .bind(cluster.as_str())
                .bind(&report.rollout.namespace)
                .bind(&report.rollout.name)
                .bind(was.as_ref().map(Json))
                .bind(Json(now))
                .bind(key.session)
                .bind(key.sequence)
                .execute(tx)
                .await?;
            Ok(())
        }
        Body::Effect { effect, .. } => {
            rollout::amend(tx, key, |state| state.effect = Some(effect.clone())).await
        }
        Body::Outcome(outcome) => {
            rollout::amend(tx, key, |state| state.outcome = Some(outcome.clone())).await
        }
        Body::Verb { .. } => tell_verb(tx, cluster, report).await,
        Body::BrokenGlass(glass) => broken_glass::tell(tx, cluster, &report.rollout, glass).await,
        Body::Removed => rollout::amend(tx, key, |state| state.removed = true).await,
    }
}

/// Once, also when a broken stream made the agent send it again.
async fn tell_verb(tx: &mut PgConnection, cluster: &ClusterName, report: &Report) -> Result<()> {
    let Body::Verb {
        verb,
        held,
        message,
        release,
        id,
    } = &report.body
    else {
        return Ok(());
    };
    if !id.is_empty() {
        let told: bool = sqlx::query_scalar(VERB_TOLD)
            .bind(id)
            .bind(cluster.as_str())
            .fetch_one(&mut *tx)
            .await?;
        if told {
            return Ok(());
        }
    }
    let kind = if *held { "LocalVerbHeld" } else { "LocalVerb" };
    let text = format!("{verb} of {} in {cluster}: {message}", report.rollout);
    let fact = Fact {
        release: release.clone(),
        evidence: serde_json::json!({"verb": id, "at": report.at}),
        ..Fact::of_hub(Some(cluster), kind, &format!("agent:{cluster}"), text)
    };
    history::add_now(tx, fact).await
}
