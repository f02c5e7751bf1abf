//! A database that is older than a session that goes on (gate.md L5). In: what sessions have seen committed, with every word.
//! Out: which words a statement takes, and that nothing is decided once a set is known to be lost. It must not take a word of an
//! agent for a proof: only what this database answered counts.

use std::collections::{BTreeMap, BTreeSet};

use hub_engine::{ClusterName, Fence};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryAs;
use sqlx::{FromRow, PgConnection, Postgres};

use crate::cluster::{fence, number};
use crate::heard::Heard;
use crate::row::row;
use crate::{Result, recovery};

/// Of the sessions `s` and sets `d` of clusters those that have what was `said`.
macro_rules! not_older {
    () => {
        "where s.reported >= said.reported \
         and (s.stored_incarnation, s.stored_version) >= (said.had_incarnation, said.had_version) \
         and (d.incarnation, d.version) >= (said.sent_incarnation, said.sent_version)"
    };
}
pub(crate) use not_older;

/// What each of these clusters has.
pub(crate) const HAS: &str = "select s.cluster, s.session, s.reported, s.stored_incarnation, s.stored_version, \
     d.incarnation as desired_incarnation, d.version as desired_version \
     from cluster_sessions s join cluster_sets d on d.cluster = s.cluster where s.cluster = any($1)";

row! {
    /// What the database has of a cluster.
    HasRow {
        cluster: String, session: i64, reported: i64, stored_incarnation: i64, stored_version: i64,
        desired_incarnation: i64, desired_version: i64,
    }
}

/// What a session has seen this database commit. It never has less of it, unless it was put back from a copy in which the
/// session is the current one already: then nobody would notice, because what an agent is told to be stored it forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// The highest `Stored::UpTo`: not what was acknowledged to the agent, which counts reports that were passed over.
    pub reported: u64,
    /// The fence of the last acknowledgement, or of Hello.
    pub stored: Fence,
    /// The highest fence that was read to be sent.
    pub sent: Fence,
}

/// Whose word, and what its session has seen.
pub(crate) type Word<'a> = (&'a ClusterName, u64, &'a Committed);

/// A statement that begins with the columns of `said`, as `not_older` names them: `$1` to `$7`.
pub(crate) fn asked<'a, R>(
    statement: &'static str,
    words: impl Iterator<Item = Word<'a>>,
) -> QueryAs<'a, Postgres, R, PgArguments>
where
    R: for<'r> FromRow<'r, PgRow>,
{
    let words: Vec<Word<'a>> = words.collect();
    let each = |part: fn(&Word<'a>) -> u64| -> Vec<i64> {
        words.iter().map(|word| number(part(word))).collect()
    };
    let clusters: Vec<&str> = words.iter().map(|(name, ..)| name.as_str()).collect();
    sqlx::query_as(statement)
        .bind(clusters)
        .bind(each(|(_, session, _)| *session))
        .bind(each(|(.., seen)| seen.reported))
        .bind(each(|(.., seen)| seen.stored.incarnation))
        .bind(each(|(.., seen)| seen.stored.version))
        .bind(each(|(.., seen)| seen.sent.incarnation))
        .bind(each(|(.., seen)| seen.sent.version))
}

/// What came of a look at words that were not taken.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// Nothing is decided from now on.
    pub(crate) held: bool,
    /// Sessions that are current and have what was said: they were locked when they were asked for.
    locked: BTreeSet<(ClusterName, u64)>,
}

impl Looked {
    /// To a word that was not taken.
    pub(crate) fn answer(&self, cluster: &ClusterName, session: u64) -> Heard {
        match self.locked.contains(&(cluster.clone(), session)) {
            true => Heard::Locked,
            false => Heard::Over,
        }
    }
}

/// Looks at words that were not taken: most of them because a newer session is open. A set that was sent may be held by its
/// agent, whatever that says next, and its number must not be given again, also where the session is one that this database
/// has not opened yet; what an older session was sent is in the Hello of the newer one. Reports and acknowledgements come again
/// with the next Hello, as if they had been late.
pub(crate) async fn look(tx: &mut PgConnection, over: &[Word<'_>]) -> Result<Looked> {
    let mut looked = Looked::default();
    if over.is_empty() {
        return Ok(looked);
    }
    let clusters: Vec<&str> = over.iter().map(|(name, ..)| name.as_str()).collect();
    let rows: Vec<HasRow> = sqlx::query_as(HAS)
        .bind(clusters)
        .fetch_all(&mut *tx)
        .await?;
    let rows: BTreeMap<&str, &HasRow> =
        rows.iter().map(|row| (row.cluster.as_str(), row)).collect();
    for (cluster, session, seen) in over {
        let row = rows.get(cluster.as_str());
        let Some(row) = row.filter(|row| row.session <= number(*session)) else {
            continue;
        };
        let desired = fence(row.desired_incarnation, row.desired_version);
        if seen.sent > desired {
            let why = format!(
                "{cluster} was sent {}, more than the {desired} of this database: it was restored from a backup",
                seen.sent
            );
            recovery::hold(tx, cluster, &why).await?;
            looked.held = true;
        } else if row.session == number(*session) {
            let stored = fence(row.stored_incarnation, row.stored_version);
            if stored >= seen.stored && row.reported >= number(seen.reported) {
                looked.locked.insert(((*cluster).clone(), *session));
                continue;
            }
            tracing::warn!(
                %cluster, session, reported = row.reported, committed = seen.reported, %stored, acknowledged = %seen.stored,
                "the database is an older copy of itself: this session is over, its agent says everything again"
            );
        }
    }
    Ok(looked)
}
