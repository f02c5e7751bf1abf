//! What has changed since the last decision. In: a transaction that sees one moment, the snapshot of the one before. Out:
//! the snapshot that it sees, rows by that measure. It must not be asked outside of such a transaction for what is kept.
//!
//! Every row says which transaction wrote it last (`changed_in`, set by a trigger to the number of the whole transaction, so
//! that a savepoint changes nothing). A row is as it was read if, and only if, that transaction was over in the snapshot in
//! which it was read: one that was running then, or began later, is not, whenever it commits; nor is the deciding transaction
//! itself, whose number comes after its snapshot. Numbers have 64 bits and are not given twice, but for those that a crash of
//! the server took back, and those in a copy of a database: [`Moment::place`] is another one then. What is not there any more
//! has no row that could say so: it is noticed by counting. Only the targets of a release that ended are not counted: no hub
//! deletes them.

use ::time::OffsetDateTime;
use hub_engine::RolloutName;
use sqlx::PgConnection;

use crate::Result;
use crate::remembered::Rows;
use crate::row::row;

/// All values are known when a statement is planned, so that few rows are found by the index and many without it, and nothing
/// is planned for whatever it may be called with.
pub(crate) const MOMENT: &str = "select now() as now, pg_current_snapshot()::text as snapshot, \
     (select token from hub_uncrashed) || (select ' ' || oid from pg_database where datname = current_database()) \
     || (select string_agg(' ' || coalesce(pg_relation_filenode(to_regclass(name))::text, '-'), '' order by name) \
     from unnest(array['clusters', 'gates', 'rollouts', 'releases', 'targets']) as tables (name)) as place \
     from set_config('plan_cache_mode', 'force_custom_plan', true)";
pub(crate) const UNCRASHED: &str =
    "insert into hub_uncrashed default values on conflict (single) do nothing";

/// A snapshot in which nothing is over.
pub(crate) const BEFORE_ALL: &str = "1:1:";

row! {
    /// What a transaction sees.
    MomentRow { now: OffsetDateTime, snapshot: Option<String>, place: Option<String> }
}

/// What a transaction sees.
#[derive(Debug)]
pub(crate) struct Moment {
    /// The database's time.
    pub(crate) now: OffsetDateTime,
    /// Which transactions are over.
    pub(crate) snapshot: String,
    /// In which tables of which database, between which crashes of its server; none: it could not be told apart from others.
    pub(crate) place: Option<String>,
}

pub(crate) async fn moment(tx: &mut PgConnection) -> Result<Moment> {
    let row: MomentRow = sqlx::query_as(MOMENT).fetch_one(tx).await?;
    Ok(Moment {
        now: row.now,
        snapshot: row.snapshot.unwrap_or_else(|| BEFORE_ALL.to_owned()),
        place: row.place,
    })
}

/// From now on this time between two crashes can be told apart.
pub(crate) async fn mark_uncrashed(tx: &mut PgConnection) -> Result<()> {
    sqlx::query(UNCRASHED).execute(tx).await?;
    Ok(())
}

/// Forgets the clusters that have no row of a Rollout any more, once what has changed is learnt.
pub(crate) async fn gone<T>(
    tx: &mut PgConnection,
    rollout: &RolloutName,
    [count, keys]: [&'static str; 2],
    memory: &mut Rows<String, T>,
) -> Result<()> {
    let count: Option<i64> = sqlx::query_scalar(count)
        .bind(&rollout.namespace)
        .bind(&rollout.name)
        .fetch_one(&mut *tx)
        .await?;
    if memory.are(count.unwrap_or(0)) {
        return Ok(());
    }
    let there: Vec<String> = sqlx::query_scalar(keys)
        .bind(&rollout.namespace)
        .bind(&rollout.name)
        .fetch_all(tx)
        .await?;
    memory.keep(&there.into_iter().collect());
    Ok(())
}
