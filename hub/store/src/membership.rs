//! Persons' words about clusters (gate.md L4): labels, names, identities, leaving. In: who, what and why. Out: rows of one
//! transaction with its history, in one order with every decision. It must not touch a release: the engine does, by policy.

pub(crate) mod identity;
pub(crate) mod labels;

use std::collections::BTreeMap;

use ::time::OffsetDateTime;
use hub_engine::ClusterName;
use hub_engine::name::Person;
use jiff::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::busy::again;
use crate::error::not_found;
use crate::history::{self, Fact};
use crate::row::row;
use crate::time::{from_db, from_db_opt};
use crate::{Error, Result, Store, stop};

pub(crate) use identity::replace;

pub(crate) const LOCK: &str = "select labels, kube_system_uid, left_at, left_by, left_reason from clusters where name = $1 for update";
/// Later than every decision before this transaction: `now()` is the time at which it began, and it has waited since.
pub(crate) const CLOCK: &str = "select clock_timestamp()";
/// Its live session ends at its next word, and the agent comes again with a Hello.
pub(crate) const END_SESSION: &str = crate::certificate::END_SESSION;

row! {
    /// A cluster, locked.
    LockRow {
        labels: Json<BTreeMap<String, String>>, kube_system_uid: Option<String>, left_at: Option<OffsetDateTime>,
        left_by: String, left_reason: String,
    }
}

/// Everything touches each FleetRollout's row, and may meet an apply that locks them in another order.
const TRIES: usize = 5;

/// What is to become of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Other labels.
    Relabel {
        /// To have, replacing what is there by the same key.
        set: BTreeMap<String, String>,
        /// Keys to lose.
        unset: Vec<String>,
    },
    /// Another name; the identity stays, and so do names in the history.
    Rename {
        /// It must be free.
        to: ClusterName,
    },
    /// Another cluster by the same name (gate.md L4): whatever the former one had reached counts no more.
    Rebind {
        /// UID of its kube-system namespace.
        uid: String,
    },
    /// It is no member of the fleet any more.
    Leave,
}

/// A person's word about a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMembership {
    /// Which.
    pub cluster: ClusterName,
    /// What.
    pub change: Change,
    /// Who, by certificate.
    pub person: Person,
    /// Why; only labels need none.
    pub reason: String,
}

impl NewMembership {
    fn kind(&self) -> &'static str {
        match self.change {
            Change::Relabel { .. } => "ClusterRelabelled",
            Change::Rename { .. } => "ClusterRenamed",
            Change::Rebind { .. } => "ClusterRebound",
            Change::Leave => "ClusterLeft",
        }
    }
}

impl Store {
    /// Changes a cluster's membership; the same word again changes nothing and is answered. From its commit on decisions see
    /// it. Answers one sentence, or several lines.
    ///
    /// # Errors
    /// `NotFound`; `Refused` with the next step, recorded; `Unavailable`.
    pub async fn membership(&self, new: &NewMembership) -> Result<String> {
        again(TRIES, || self.membership_once(new)).await
    }

    async fn membership_once(&self, new: &NewMembership) -> Result<String> {
        let mut tx = self.pool.begin().await?;
        let answer = change(&mut tx, new).await;
        match &answer {
            Ok(_) => {
                crate::hint::notify(&mut tx).await?;
                tx.commit().await?;
            }
            Err(error) => {
                tx.rollback().await?;
                if let Error::Refused { message } = error {
                    self.refusal_add(new.kind(), new.person.as_str(), message)
                        .await?;
                }
            }
        }
        answer
    }
}

async fn change(tx: &mut PgConnection, new: &NewMembership) -> Result<String> {
    let labels_alone = matches!(new.change, Change::Relabel { .. });
    if new.reason.trim().is_empty() && !labels_alone {
        return Err(refused(
            "a change of membership needs a reason; say why with --reason".to_owned(),
        ));
    }
    // Decisions before it are over, and one that has not seen it fails and looks again.
    sqlx::query(stop::TOUCH).bind("").execute(&mut *tx).await?;
    let now: OffsetDateTime = sqlx::query_scalar(CLOCK).fetch_one(&mut *tx).await?;
    let row: Option<LockRow> = sqlx::query_as(LOCK)
        .bind(new.cluster.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    let row = row.ok_or_else(|| not_found(format!("cluster {}", new.cluster)))?;
    if let Some(answer) = left_already(new, &row)? {
        return Ok(answer);
    }
    let at = from_db(now);
    match &new.change {
        Change::Relabel { set, unset } => labels::relabel(tx, new, &row, set, unset).await,
        Change::Rename { to } => identity::rename(tx, new, to).await,
        Change::Rebind { uid } => identity::rebind(tx, new, &row, uid, at).await,
        Change::Leave => identity::leave(tx, new, at).await,
    }
}

/// One that left takes no word but that it leaves, which it has done.
fn left_already(new: &NewMembership, row: &LockRow) -> Result<Option<String>> {
    let Some(at) = from_db_opt(row.left_at) else {
        return Ok(None);
    };
    let (name, by, reason) = (&new.cluster, &row.left_by, &row.left_reason);
    let message = format!(
        "{name} left the fleet at {at}, by {by}: {reason}; `groundswell cluster token {name}` lets a cluster join by that name"
    );
    match new.change {
        Change::Leave => Ok(Some(message)),
        Change::Relabel { .. } | Change::Rename { .. } | Change::Rebind { .. } => {
            Err(refused(message))
        }
    }
}

fn refused(message: String) -> Error {
    Error::Refused { message }
}

async fn tell(
    tx: &mut PgConnection,
    new: &NewMembership,
    at: Option<Timestamp>,
    message: &str,
    evidence: serde_json::Value,
) -> Result<()> {
    let actor = new.person.as_str();
    let fact = Fact {
        evidence,
        ..Fact::of_hub(Some(&new.cluster), new.kind(), actor, message.to_owned())
    };
    match at {
        Some(at) => history::add(tx, Fact { at, ..fact }).await,
        None => history::add_now(tx, fact).await,
    }
}
