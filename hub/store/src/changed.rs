//! What has changed since the last decision. In: a transaction that sees one moment, the snapshot of the one before. Out:
//! the snapshot that it sees, rows by that measure. It must not be asked outside of such a transaction for what is kept.
//!
//! Every row says which transaction wrote it last (`changed_in`, set by a trigger to the number of the whole transaction, so
//! that a savepoint changes nothing). A row is as it was read if, and only if, that transaction was over in the snapshot in
//! which it was read: one that was running then, or began later, is not, whenever it commits; nor is the deciding transaction
//! itself, whose number comes after its snapshot. Numbers have 64 bits and are not given twice, but for those that a crash of
//! the server took back, and those in a copy of a database: [`Moment::place`] is another one then. What is not there any more
//! has no row that could say so: the transaction that took it away, or gave it another key, is in `hub_gone`
//! (triggers too), and after such a one keys are listed. Of those the newest [`GONE_KEPT`] are kept: who remembers a moment at
//! which one that is not kept may have been running lists keys as well.

use ::time::OffsetDateTime;
use hub_engine::RolloutName;
use sqlx::PgConnection;

use crate::Result;
use crate::remembered::Rows;
use crate::row::row;

/// All values are known when a statement is planned, so that few rows are found by the index and many without it, and nothing
/// is planned for whatever it may be called with.
pub(crate) const MOMENT: &str = "select now() as now, (select since from hub_lease) as listening, pg_current_snapshot()::text as snapshot, \
     (select token from hub_uncrashed) || (select ' ' || oid from pg_database where datname = current_database()) \
     || (select string_agg(' ' || coalesce(pg_relation_filenode(to_regclass(name))::text, '-'), '' order by name) \
     from unnest(array['clusters', 'cluster_sets', 'gates', 'rollouts', 'releases', 'targets', 'hub_gone']) as tables (name)) as place \
     from set_config('plan_cache_mode', 'force_custom_plan', true)";
/// Where fewer than `$2` are there none was ever forgotten; and what was forgotten is below all that are there.
pub(crate) const GONE: &str = "select exists (select 1 from hub_gone where changed_in >= pg_snapshot_xmin($1::text::pg_snapshot) \
     and not pg_visible_in_snapshot(changed_in, $1::text::pg_snapshot)) \
     or (pg_snapshot_xmin($1::text::pg_snapshot) < (select changed_in from hub_gone order by changed_in limit 1) \
     and (select count(*) from hub_gone) >= $2)";
/// All but the newest `$1`, and none of which an older one may still be running: it would come below what was forgotten.
pub(crate) const PRUNE: &str = "delete from hub_gone where changed_in < pg_snapshot_xmin(pg_current_snapshot()) \
     and changed_in < (select changed_in from hub_gone order by changed_in desc offset $1::bigint - 1 limit 1)";
/// Between two decisions of one FleetRollout there are a few; a hub that decided last before all of these lists its keys once,
/// which takes milliseconds. Counting them takes less.
pub(crate) const GONE_KEPT: i64 = 1_000;
pub(crate) const UNCRASHED: &str =
    "insert into hub_uncrashed default values on conflict (single) do nothing";

/// A snapshot in which nothing is over.
pub(crate) const BEFORE_ALL: &str = "1:1:";

row! {
    /// What a transaction sees.
    MomentRow { now: OffsetDateTime, listening: Option<OffsetDateTime>, snapshot: Option<String>, place: Option<String> }
}

/// What a transaction sees.
#[derive(Debug)]
pub(crate) struct Moment {
    /// The database's time.
    pub(crate) now: OffsetDateTime,
    /// Since when a hub listens without a gap; none: it is not known.
    pub(crate) listening: Option<OffsetDateTime>,
    /// Which transactions are over.
    pub(crate) snapshot: String,
    /// In which tables of which database, between which crashes of its server; none: it could not be told apart from others.
    pub(crate) place: Option<String>,
}

pub(crate) async fn moment(tx: &mut PgConnection) -> Result<Moment> {
    let row: MomentRow = sqlx::query_as(MOMENT).fetch_one(tx).await?;
    Ok(Moment {
        now: row.now,
        listening: row.listening,
        snapshot: row.snapshot.unwrap_or_else(|| BEFORE_ALL.to_owned()),
        place: row.place,
    })
}

/// From now on this time between two crashes can be told apart.
pub(crate) async fn mark_uncrashed(tx: &mut PgConnection) -> Result<()> {
    sqlx::query(UNCRASHED).execute(tx).await?;
    Ok(())
}

/// Whether rows have gone away since then; where nothing is remembered, none has that could be missed.
pub(crate) async fn gone(tx: &mut PgConnection, since: &str) -> Result<bool> {
    if since == BEFORE_ALL {
        return Ok(false);
    }
    let gone: Option<bool> = sqlx::query_scalar(GONE)
        .bind(since)
        .bind(GONE_KEPT)
        .fetch_one(tx)
        .await?;
    Ok(gone == Some(true))
}

/// Forgets the clusters that have no row of a Rollout any more.
pub(crate) async fn keep<T>(
    tx: &mut PgConnection,
    rollout: &RolloutName,
    keys: &'static str,
    memory: &mut Rows<String, T>,
) -> Result<()> {
    let there: Vec<String> = sqlx::query_scalar(keys)
        .bind(&rollout.namespace)
        .bind(&rollout.name)
        .fetch_all(tx)
        .await?;
    memory.keep(&there.into_iter().collect());
    Ok(())
}
