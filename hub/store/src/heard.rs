//! Heartbeats and acknowledgements of many agents at once. In: what each said in its session. Out: to each, whether that
//! session is current, on a database that has what the session has seen committed, and what time it is there. It must not take one session's word for
//! another's, nor let one wait for another's.

use std::collections::BTreeMap;

use ::time::OffsetDateTime;
use hub_engine::{ClusterName, Fence, RolloutName};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::cluster::{fence, number};
use crate::history::{self, Fact};
use crate::older::{self, Committed, Looked};
use crate::row::row;
use crate::time::from_db_opt;
use crate::{Error, Result, Store, hint, recovery};

/// A clock that is as it was, within the seconds that a heartbeat may be under way, writes nothing new.
///
/// Sessions are locked in one order by all transactions, so that two never wait for each other's. One that is locked already is
/// passed over: nobody waits for another one's Hello, or for a hub that was stopped in the midst of a transaction.
pub(crate) const SEEN: &str = concat!(
    "with current as (select s.cluster, s.session, case when said.clock is null then s.clock_ahead else \
     (greatest(said.clock - extract(epoch from now())::float8, 0) + least(said.most, 0))::bigint end as ahead \
     from cluster_sessions s \
     join unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
     $8::float8[], $9::float8[]) as said (cluster, session, reported, had_incarnation, had_version, sent_incarnation, \
     sent_version, clock, most) using (cluster, session) \
     join cluster_sets d on d.cluster = s.cluster ",
    older::not_older!(),
    " order by s.cluster for update of s skip locked) \
     update cluster_sessions s set last_seen_at = now(), open = true, \
     clock_ahead = case when abs(c.ahead - s.clock_ahead) > 5 then c.ahead else s.clock_ahead end from current c \
     where s.cluster = c.cluster and s.session = c.session returning s.cluster, s.session, s.last_seen_at as at"
);
pub(crate) const STORED: &str = concat!(
    "with current as (select s.cluster, s.session, s.regressed, said.incarnation, said.version, \
     said.set_hash, d.incarnation as desired_incarnation, d.version as desired_version from cluster_sessions s \
     join unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
     $8::bigint[], $9::bigint[], $10::text[]) as said (cluster, session, reported, had_incarnation, had_version, \
     sent_incarnation, sent_version, incarnation, version, set_hash) using (cluster, session) \
     join cluster_sets d on d.cluster = s.cluster ",
    older::not_older!(),
    " order by s.cluster for update of s skip locked) \
     update cluster_sessions s set last_seen_at = now(), open = true, stored_incarnation = c.incarnation, \
     stored_version = c.version, set_hash = c.set_hash, regressed = c.regressed and \
     (c.incarnation, c.version) < (c.desired_incarnation, c.desired_version) from current c \
     where s.cluster = c.cluster and s.session = c.session \
     returning s.cluster, s.session, c.desired_incarnation, c.desired_version, c.regressed and not s.regressed as caught_up"
);

row! {
    /// A session that is current, and the time.
    SeenRow { cluster: String, session: i64, at: Option<OffsetDateTime> }
}
row! {
    /// The same, what its cluster should hold, and whether it has just caught up with what it had.
    StoredRow {
        cluster: String, session: i64, desired_incarnation: i64, desired_version: i64, caught_up: Option<bool>,
    }
}

/// What a heartbeat says of its cluster's clock. It may be late: kept back by the network, by its agent's machine, by us. Then
/// `at` is long ago however right the clock is, so of `at` beside the database's time only this is proven: that the clock is
/// ahead by so much *at least*. What the agent says of both clocks at one moment is the same however late it comes; and since the
/// hub's time is never too late there, it proves that the clock is ahead by so much *at most*: behind, if that is less than
/// nothing. In between nothing is proven, and the clock counts as right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clock {
    /// By the cluster's clock, when it was said; none: it was not.
    pub at: Option<Timestamp>,
    /// What the agent knew of the database's time in that moment; none: nothing, or it is an older one.
    pub hub_at: Option<Timestamp>,
}

impl Clock {
    /// Seconds since the epoch.
    fn seconds(self) -> Option<f64> {
        self.at
            .map(|at| at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64())
    }

    /// Seconds that it is ahead at most.
    fn most(self) -> Option<f64> {
        let hub_at = self.hub_at?;
        self.at.map(|at| at.duration_since(hub_at).as_secs_f64())
    }
}

/// An agent was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whose session.
    pub cluster: ClusterName,
    /// Which.
    pub session: u64,
    /// What it has seen committed.
    pub committed: Committed,
    /// What it says of its clock.
    pub clock: Clock,
}

/// An agent has stored a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Whose session.
    pub cluster: ClusterName,
    /// Which.
    pub session: u64,
    /// What it has seen committed.
    pub committed: Committed,
    /// Of the set.
    pub fence: Fence,
    /// Of what it holds now.
    pub set_hash: String,
    /// Gates that it could not write, and why.
    pub problems: Vec<(RolloutName, String)>,
}

/// How a heartbeat was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// As every word.
    pub heard: Heard,
    /// The database's time then; none: it was not taken.
    pub at: Option<Timestamp>,
}

/// How a word of a session was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is committed.
    Current,
    /// That session is over, or has seen more than there is: end its stream.
    Over,
    /// Another transaction has locked the session; nothing is known of it, and nothing was written.
    Locked,
}

impl Heard {
    /// Whether its session is current.
    ///
    /// # Errors
    /// `Unavailable`: it was locked.
    pub fn current(self) -> Result<bool> {
        match self {
            Self::Current => Ok(true),
            Self::Over => Ok(false),
            Self::Locked => Err(locked()),
        }
    }
}

/// Nothing was done about one session; it is asked again.
#[must_use]
pub fn locked() -> Error {
    Error::Unavailable {
        message: "another transaction has locked the session of this cluster".to_owned(),
    }
}

impl Seen {
    fn word(&self) -> older::Word<'_> {
        (&self.cluster, self.session, &self.committed)
    }
}

impl Acknowledged {
    fn word(&self) -> older::Word<'_> {
        (&self.cluster, self.session, &self.committed)
    }
}

impl Store {
    /// Agents were heard.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses; then nobody is known to have been heard.
    pub async fn sessions_seen(&self, said: &[Seen]) -> Result<Vec<Beat>> {
        let clocks = said.iter().map(|one| one.clock.seconds());
        let most = said.iter().map(|one| one.clock.most());
        let rows: Vec<SeenRow> = older::asked(SEEN, said.iter().map(Seen::word))
            .bind(clocks.collect::<Vec<_>>())
            .bind(most.collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await?;
        let current: BTreeMap<_, _> = rows
            .iter()
            .map(|row| ((row.cluster.as_str(), row.session), row.at))
            .collect();
        let taken = |one: &Seen| {
            let place = (one.cluster.as_str(), number(one.session));
            current.get(&place).copied()
        };
        let over = said.iter().filter(|one| taken(one).is_none());
        let over: Vec<_> = over.map(Seen::word).collect();
        let mut looked = Looked::default();
        if !over.is_empty() {
            let mut tx = self.pool.begin().await?;
            looked = older::look(&mut tx, &over).await?;
            tx.commit().await?;
        }
        let answer = |one: &Seen| match taken(one) {
            Some(at) => Beat {
                heard: Heard::Current,
                at: from_db_opt(at),
            },
            None => Beat {
                heard: looked.answer(&one.cluster, one.session),
                at: None,
            },
        };
        Ok(said.iter().map(answer).collect())
    }

    /// Agents have stored sets.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses; then nothing is known to be stored.
    pub async fn sessions_acknowledged(&self, said: &[Acknowledged]) -> Result<Vec<Heard>> {
        let mut tx = self.pool.begin().await?;
        let fences = |part: fn(&Fence) -> u64| -> Vec<i64> {
            said.iter().map(|one| number(part(&one.fence))).collect()
        };
        let hashes: Vec<&str> = said.iter().map(|one| one.set_hash.as_str()).collect();
        let rows: Vec<StoredRow> = older::asked(STORED, said.iter().map(Acknowledged::word))
            .bind(fences(|fence| fence.incarnation))
            .bind(fences(|fence| fence.version))
            .bind(hashes)
            .fetch_all(&mut *tx)
            .await?;
        let row_of: BTreeMap<_, &StoredRow> = rows
            .iter()
            .map(|row| ((row.cluster.as_str(), row.session), row))
            .collect();
        let mut news = rows.iter().any(|row| row.caught_up == Some(true));
        let (mut facts, mut over) = (Vec::new(), Vec::new());
        for one in said {
            let Some(row) = row_of.get(&(one.cluster.as_str(), number(one.session))) else {
                over.push(one.word());
                continue;
            };
            let desired = fence(row.desired_incarnation, row.desired_version);
            news |= ahead(&mut tx, one, desired).await?;
            facts.extend(not_written(one));
        }
        let looked = older::look(&mut tx, &over).await?;
        news |= looked.held;
        history::add_all_now(&mut tx, facts).await?;
        // What agents have stored is decided on only where they had lost something.
        if news {
            hint::notify(&mut tx).await?;
        }
        tx.commit().await?;
        let is =
            |one: &Acknowledged| row_of.contains_key(&(one.cluster.as_str(), number(one.session)));
        let answer = |one: &Acknowledged| match is(one) {
            true => Heard::Current,
            false => looked.answer(&one.cluster, one.session),
        };
        Ok(said.iter().map(answer).collect())
    }

    /// One agent was heard, in a session that has seen nothing yet. False: the session is over.
    ///
    /// # Errors
    /// As `sessions_seen`.
    pub async fn session_seen(&self, cluster: &ClusterName, session: u64) -> Result<bool> {
        let said = Seen {
            cluster: cluster.clone(),
            session,
            committed: Committed::default(),
            clock: Clock::default(),
        };
        let heard = self.sessions_seen(&[said]).await?;
        heard.first().map_or(Ok(false), |beat| beat.heard.current())
    }

    /// One agent has stored a set, likewise. False: the session is over.
    ///
    /// # Errors
    /// As `sessions_acknowledged`.
    pub async fn session_ack(
        &self,
        cluster: &ClusterName,
        session: u64,
        fence: Fence,
        set_hash: &str,
        problems: &[(RolloutName, String)],
    ) -> Result<bool> {
        let said = Acknowledged {
            cluster: cluster.clone(),
            session,
            committed: Committed::default(),
            fence,
            set_hash: set_hash.to_owned(),
            problems: problems.to_vec(),
        };
        let heard = self.sessions_acknowledged(&[said]).await?;
        heard.first().map_or(Ok(false), |heard| heard.current())
    }
}

/// More than this database has: it was restored from a backup (gate.md L5).
async fn ahead(tx: &mut PgConnection, said: &Acknowledged, desired: Fence) -> Result<bool> {
    if said.fence <= desired {
        return Ok(false);
    }
    let why = crate::session::ahead(&said.cluster, said.fence, desired);
    recovery::hold(tx, &said.cluster, &why).await?;
    Ok(true)
}

fn not_written(said: &Acknowledged) -> impl Iterator<Item = Fact> + '_ {
    let cluster = &said.cluster;
    said.problems.iter().map(move |(rollout, message)| {
        let text = format!("{cluster} could not write the Gate of {rollout}: {message}");
        let actor = format!("agent:{cluster}");
        Fact::of_hub(Some(cluster), "GateNotWritten", &actor, text)
    })
}
