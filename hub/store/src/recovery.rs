//! A restored database (gate.md L5). In: what agents hold that it does not know, its server's timeline, which tables of which
//! database these are, how many have been heard. Out: whether anything may be decided, and a person's word that it may again. It must not guess what was lost.

use ::time::OffsetDateTime;
use hub_engine::ClusterName;
use hub_engine::name::Person;
use sqlx::PgConnection;

use crate::busy::again;
use crate::history::{self, Fact};
use crate::row::row;
use crate::session::CONNECTED_SECONDS;
use crate::{Error, Result, Store, claim};

pub(crate) const STATE: &str = "select timeline, place, held_since is not null as held, why, recovered_at, \
     (select system_identifier::text from pg_control_system()) || '/' \
     || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as current, \
     (select oid::text from pg_database where datname = current_database()) || '/' \
     || to_regclass('hub_recovery')::oid::text as here, \
     pg_postmaster_start_time() as started from hub_recovery for share of hub_recovery";
/// An older hub beside this one, and the one that wrote what was migrated, know of no place.
pub(crate) const MEET: &str =
    "update hub_recovery set timeline = $1, place = $2 where timeline = '' or place = ''";
pub(crate) const HOLD: &str =
    "update hub_recovery set held_since = now(), why = $1 where held_since is null returning why";
pub(crate) const LIFT: &str = "update hub_recovery set held_since = null, why = '', timeline = $1, place = $2, recovered_at = now()";
/// Heartbeats come well within `$1` seconds.
pub(crate) const HEARD: &str = "select count(*) as known, count(*) filter (where one.heard) as heard, \
     count(*) filter (where s.open and not one.heard) as silent, \
     now() < pg_postmaster_start_time() + $1 * interval '1 second' as soon \
     from clusters c join cluster_sessions s on s.cluster = c.name cross join lateral \
     (select coalesce(greatest(s.last_seen_at, c.joined_at) >= pg_postmaster_start_time(), false) as heard) one \
     where c.left_at is null and c.kube_system_uid is not null and (c.revoked_at is null or c.joined_at > c.revoked_at)";
/// Above what any agent holds, and the second of the recovery: a database that is put back from the same copy twice never
/// gives the same number twice, whatever agents that nobody has heard hold of the first time. One that is a million above the
/// time (eleven days) and this database's own was given by no recovery, and could leave no number to continue with.
pub(crate) const INCARNATION: &str = "update hub_incarnation set incarnation = greatest( \
     extract(epoch from now())::bigint, 1 + greatest(incarnation, \
     (select coalesce(max(shown), 0) from cluster_sessions, \
     lateral (values (stored_incarnation), (claimed_incarnation)) as fences (shown) \
     where shown <= 1000000 + greatest(hub_incarnation.incarnation, extract(epoch from now())::bigint)))) \
     returning incarnation";
/// Locked in one order by all transactions, as in `desired::RAISE`.
pub(crate) const SETS: &str = "with mine as (select cluster from cluster_sets order by cluster for update) \
     update cluster_sets sets set incarnation = $1 from mine where sets.cluster = mine.cluster";
/// What agents were handed may be in the part that is lost: it is held against nobody until they bring what they were handed
/// since. And what they said may be, too: a session that was open before the copy would go on as the current one, so every
/// agent has to say Hello again. Sessions since the copy have numbers that it does not know: those of a hub that was stopped
/// meanwhile must not be given again, so they go on above the moment of the recovery, as `session::OPEN` counts it.
pub(crate) const FORGIVE: &str = "with mine as (select cluster from cluster_sessions order by cluster for update) \
     update cluster_sessions s set audit_head = '-', reported = 0, \
     session = greatest(s.session + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint) \
     from mine where s.cluster = mine.cluster";
/// In the place of a head, until then.
pub(crate) const FORGIVEN: &str = "-";
/// Writes to some rows of a table that are numbered in the future; its trigger gives them the number of now.
macro_rules! now_numbered {
    ($table:literal) => {
        concat!(
            "update ",
            $table,
            " set changed_in = '1' where ctid = any(array(select ctid from ",
            $table,
            " where changed_in >= pg_current_xact_id() limit $1))"
        )
    };
}

/// On a server whose transactions have not come so far, what a dump brought counts as changed for as long as that takes, and
/// every decision would read all of it. Each table's trigger writes the number of now. Some at a time: a statement has a limit.
pub(crate) const RENUMBER: [&str; 7] = [
    now_numbered!("clusters"),
    now_numbered!("cluster_sets"),
    now_numbered!("gates"),
    now_numbered!("rollouts"),
    now_numbered!("releases"),
    now_numbered!("targets"),
    "delete from hub_gone where ctid = any(array( \
     select ctid from hub_gone where changed_in >= pg_current_xact_id() limit $1))",
];
/// Rows of one such statement, a few hundred milliseconds.
const RENUMBERED_AT_ONCE: i64 = 5_000;
/// A recovery locks every cluster, and may meet whoever has locked some of them.
const TRIES: usize = 5;
pub(crate) const NOTES: &str =
    "update clusters set note = '' where note like 'ClusterAhead:%' or note like 'UnprovenFence:%'";

row! {
    /// Whether it is held, and on which server and in which tables it is.
    StateRow {
        timeline: String, place: String, held: Option<bool>, why: String, recovered_at: Option<OffsetDateTime>,
        current: Option<String>, here: Option<String>, started: Option<OffsetDateTime>,
    }
}
row! {
    /// Clusters that have joined, those of them heard since the server started, those not heard whose stream was open, and
    /// whether it started a moment ago.
    HeardRow { known: Option<i64>, heard: Option<i64>, silent: Option<i64>, soon: Option<bool> }
}

/// What a person does who knows what was lost.
const NEXT: &str = "nothing is decided until `groundswell hub recover --reason WHY`";

/// Second statement of every deciding transaction: whoever finds out that the database was restored waits for it. Answers
/// which server this is, since which start of it.
pub(crate) async fn guard(store: &Store, tx: &mut PgConnection) -> Result<String> {
    let state: StateRow = sqlx::query_as(STATE).fetch_one(&mut *tx).await?;
    let server = format!("{:?} {:?}", state.current, state.started);
    match obstacle(store, tx, state).await? {
        Some(why) => Err(Error::Held { why }),
        None => Ok(server),
    }
}

/// Why nothing may be decided; none: it may.
async fn obstacle(store: &Store, tx: &mut PgConnection, state: StateRow) -> Result<Option<String>> {
    if state.held == Some(true) {
        return Ok(Some(format!("{}; {NEXT}", state.why)));
    }
    let current = state.current.unwrap_or_default();
    let here = state.here.unwrap_or_default();
    if !state.timeline.is_empty() && state.timeline != current {
        return Ok(Some(format!(
            "the database is on timeline {current}, and was on {}: it was restored or failed over; {NEXT}",
            state.timeline
        )));
    }
    if !state.place.is_empty() && state.place != here {
        return Ok(Some(format!(
            "these tables are {here} of their server (database/table), and were {}: they were put back from a dump or moved; \
             {NEXT}",
            state.place
        )));
    }
    if state.timeline.is_empty() || state.place.is_empty() {
        sqlx::query(MEET)
            .bind(&current)
            .bind(&here)
            .execute(&mut *tx)
            .await?;
    }
    // Files can only be put back under a server that starts anew.
    if store.heard_since(state.started) || state.recovered_at >= state.started {
        return Ok(None);
    }
    let waited = waited_for(tx, CONNECTED_SECONDS).await?;
    if waited.is_none() {
        store.set_heard_since(state.started);
    }
    Ok(waited)
}

/// Whom a decision waits for since the server started; none: it may be made. Beside most of the fleet it is every stream that
/// goes on: its next word says what it was sent, before a number is given that it was sent already.
pub(crate) async fn waited_for(tx: &mut PgConnection, patience: i32) -> Result<Option<String>> {
    let row: HeardRow = sqlx::query_as(HEARD)
        .bind(f64::from(patience))
        .fetch_one(tx)
        .await?;
    let (known, heard) = (row.known.unwrap_or(0), row.heard.unwrap_or(0));
    let wanted = (known + 1) / 2;
    if heard < wanted {
        return Ok(Some(format!(
            "{heard} of {known} clusters have been heard since the database started; deciding waits for {wanted}, so that \
             a restored database is noticed, or for `groundswell hub recover --reason WHY`"
        )));
    }
    let silent = row.silent.unwrap_or(0);
    let waits = silent > 0 && row.soon == Some(true);
    Ok(waits.then(|| {
        format!(
            "{silent} of {known} clusters were connected and have not been heard since the database started; deciding waits \
             for them until {patience} s after that, so that a restored database is noticed"
        )
    }))
}

/// Clusters that were kept out because they claim more than this database has: a person may know better.
async fn claimed(tx: &mut PgConnection) -> Result<Option<String>> {
    let (known, claiming) = claim::counted(tx).await?;
    let why = format!("{claiming} of {known} clusters show a fence above this database's");
    Ok((claiming > 0).then_some(why))
}

/// Nothing is decided from now on; the first reason stays.
pub(crate) async fn hold(tx: &mut PgConnection, cluster: &ClusterName, why: &str) -> Result<()> {
    let held: Option<String> = sqlx::query_scalar(HOLD)
        .bind(why)
        .fetch_optional(&mut *tx)
        .await?;
    if held.is_none() {
        return Ok(());
    }
    let message = format!("{why}; {NEXT}");
    let fact = Fact::of_hub(Some(cluster), "DatabaseRestored", "hub", message);
    history::add_now(tx, fact).await
}

impl Store {
    /// Why nothing may be decided now; none: it may.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn held(&self) -> Result<Option<String>> {
        let mut tx = self.pool.begin().await?;
        let state = sqlx::query_as(STATE).fetch_one(&mut *tx).await?;
        obstacle(self, &mut tx, state).await
    }

    /// A person knows what was lost: every set is numbered above what any agent holds, and deciding goes on. `sign` gives the
    /// hub's signature under what the row says. Answers the new incarnation.
    ///
    /// # Errors
    /// `Refused`: nothing is held; `Unavailable`.
    pub async fn recover(
        &self,
        person: &Person,
        reason: &str,
        sign: &(dyn Fn(&str) -> String + Send + Sync),
    ) -> Result<u64> {
        again(TRIES, || self.recover_once(person, reason, sign)).await
    }

    /// After a recovery: gives rows that are numbered above every transaction of this server the number of now. Answers how many.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses; what is left costs time and nothing else.
    pub async fn renumber(&self) -> Result<u64> {
        let mut all = 0;
        for statement in RENUMBER {
            loop {
                let query = sqlx::query(statement).bind(RENUMBERED_AT_ONCE);
                let some = query.execute(&self.pool).await?.rows_affected();
                all += some;
                if some == 0 {
                    break;
                }
            }
        }
        Ok(all)
    }

    async fn recover_once(
        &self,
        person: &Person,
        reason: &str,
        sign: &(dyn Fn(&str) -> String + Send + Sync),
    ) -> Result<u64> {
        let mut tx = self.pool.begin().await?;
        let state = sqlx::query_as(STATE).fetch_one(&mut *tx).await?;
        let why = match obstacle(self, &mut tx, state).await? {
            Some(why) => Some(why),
            None => claimed(&mut tx).await?,
        };
        let Some(why) = why else {
            let message =
                "the hub decides; there is nothing to recover from, see `groundswell get clusters`"
                    .to_owned();
            return Err(Error::Refused { message });
        };
        let state: StateRow = sqlx::query_as(STATE).fetch_one(&mut *tx).await?;
        sqlx::query(LIFT)
            .bind(state.current.unwrap_or_default())
            .bind(state.here.unwrap_or_default())
            .execute(&mut *tx)
            .await?;
        let incarnation: i64 = sqlx::query_scalar(INCARNATION).fetch_one(&mut *tx).await?;
        sqlx::query(SETS)
            .bind(incarnation)
            .execute(&mut *tx)
            .await?;
        sqlx::query(NOTES).execute(&mut *tx).await?;
        sqlx::query(FORGIVE).execute(&mut *tx).await?;
        let signed = format!("{person} recovered into incarnation {incarnation}: {reason}");
        let fact = Fact {
            evidence: serde_json::json!({
                "incarnation": incarnation, "was": why, "reason": reason, "signature": sign(&signed),
            }),
            ..Fact::of_hub(None, "DatabaseRecovered", person.as_str(), signed)
        };
        history::add_now(&mut tx, fact).await?;
        crate::hint::notify(&mut tx).await?;
        tx.commit().await?;
        Ok(incarnation.unsigned_abs())
    }
}
