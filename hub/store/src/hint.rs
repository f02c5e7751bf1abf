//! Hints that something was committed. In: Postgres' notifications. Out: what each may be about. It must not be relied on:
//! whoever waits for a hint also polls.

use std::collections::BTreeSet;

use hub_engine::{FleetRolloutName, RolloutName};
use sqlx::postgres::PgListener;

use crate::{Result, Store};

pub(crate) const CHANNEL: &str = "groundswell";
pub(crate) const NOTIFY: &str = "select bool_and(pg_notify('groundswell', hint) is null) as sent \
     from unnest($1::text[]) as hint";

/// Hints that one transaction sends; one that touches more says that it may have been anything. Reports of many agents are one
/// transaction.
const HINTS_MAX: usize = 128;
/// Before the name of a Rollout.
const ROLLOUT: &str = "rollout ";
/// Before the name of a FleetRollout.
const DECIDED: &str = "decided ";

/// What was committed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hint {
    /// Whatever it was, everything may be another than before. Also what another version of the hub sends.
    Anything,
    /// An agent reported something of this Rollout.
    Rollout(RolloutName),
    /// A plan of this FleetRollout was written.
    Decided(FleetRolloutName),
}

impl Hint {
    fn text(&self) -> String {
        match self {
            Self::Anything => String::new(),
            Self::Rollout(rollout) => format!("{ROLLOUT}{}/{}", rollout.namespace, rollout.name),
            Self::Decided(name) => format!("{DECIDED}{name}"),
        }
    }

    fn read(text: &str) -> Self {
        let rollout = text
            .strip_prefix(ROLLOUT)
            .and_then(|name| name.split_once('/'));
        if let Some((namespace, name)) = rollout {
            return Self::Rollout(RolloutName {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            });
        }
        text.strip_prefix(DECIDED)
            .map_or(Self::Anything, |name| Self::Decided(name.into()))
    }
}

/// A connection that listens.
#[derive(Debug)]
pub struct Hints {
    listener: PgListener,
}

impl Store {
    /// Starts to listen.
    ///
    /// # Errors
    /// Postgres is away.
    pub async fn hints(&self) -> Result<Hints> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Hints { listener })
    }
}

impl Hints {
    /// Waits for the next hint.
    ///
    /// # Errors
    /// The connection is lost; listen anew.
    pub async fn next(&mut self) -> Result<Hint> {
        let hint = self.listener.recv().await?;
        Ok(Hint::read(hint.payload()))
    }
}

/// Sent with the transaction's commit: everything may be another than before.
pub(crate) async fn notify(tx: &mut sqlx::PgConnection) -> Result<()> {
    notify_of(tx, BTreeSet::from([Hint::Anything])).await
}

/// Sent with the transaction's commit.
pub(crate) async fn notify_of(tx: &mut sqlx::PgConnection, hints: BTreeSet<Hint>) -> Result<()> {
    let mut texts: Vec<String> = hints.iter().map(Hint::text).collect();
    if texts.len() > HINTS_MAX {
        texts = vec![Hint::Anything.text()];
    }
    if texts.is_empty() {
        return Ok(());
    }
    let _: Option<bool> = sqlx::query_scalar(NOTIFY).bind(texts).fetch_one(tx).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_read() {
        let rollout = RolloutName {
            namespace: "shop".to_owned(),
            name: "checkout".to_owned(),
        };
        for hint in [
            Hint::Anything,
            Hint::Rollout(rollout),
            Hint::Decided("checkout".into()),
        ] {
            assert_eq!(Hint::read(&hint.text()), hint);
        }
        for other in ["from another version", "rollout nonsense"] {
            assert_eq!(Hint::read(other), Hint::Anything, "{other}");
        }
    }
}
