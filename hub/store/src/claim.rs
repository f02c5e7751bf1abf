//! Fences above this database's that agents show without this hub's signature (gate.md L5). In: a Hello. Out: whether it is
//! believed. One agent that says so is not what it was, or is of a version that was given no signatures; when most of the
//! fleet says so the database was restored. It must not hold anything: `session` and `recovery` do.

use hub_engine::Fence;
use sqlx::PgConnection;

use crate::Result;
use crate::cluster::number;
use crate::row::row;
use crate::session::Hello;

/// Where the fleet is one cluster, most of it is that cluster, and its word about itself would hold whoever joins later. Kept
/// out it starts nothing either; and a real restore is a start of the server, after which nothing is decided before it was
/// heard (`recovery`).
const WITNESSES_MIN: i64 = 2;

pub(crate) const CLAIM: &str =
    "update cluster_sessions set claimed_incarnation = $2, claimed_version = $3 where cluster = $1";
pub(crate) const CLAIMS: &str = "select count(*) as known, \
     count(*) filter (where (s.claimed_incarnation, s.claimed_version) > (d.incarnation, d.version)) as claiming \
     from clusters c join cluster_sessions s on s.cluster = c.name join cluster_sets d on d.cluster = c.name \
     where c.left_at is null and c.kube_system_uid is not null and (c.revoked_at is null or c.joined_at > c.revoked_at)";

row! {
    /// Clusters that have joined, and those of them that claim more than this database has.
    ClaimsRow { known: Option<i64>, claiming: Option<i64> }
}

/// Notes what it claims. Why that is not believed; none: most of the fleet says so.
pub(crate) async fn unbelieved(
    tx: &mut PgConnection,
    hello: &Hello,
    desired: Fence,
) -> Result<Option<String>> {
    sqlx::query(CLAIM)
        .bind(hello.cluster.as_str())
        .bind(number(hello.fence.incarnation))
        .bind(number(hello.fence.version))
        .execute(&mut *tx)
        .await?;
    let (known, claiming) = counted(tx).await?;
    if claiming >= WITNESSES_MIN && claiming * 2 > known {
        return Ok(None);
    }
    let (cluster, fence) = (&hello.cluster, hello.fence);
    Ok(Some(format!(
        "{cluster} shows fence {fence}, more than the {desired} of this database, and no signature of this hub under it, as \
         {claiming} of {known} clusters do: nothing of it is taken. If its agent is not what it was: `groundswell cluster \
         revoke {cluster}`; if the database was restored: `groundswell hub recover --reason WHY`"
    )))
}

/// Clusters that have joined, and how many of them claim more than this database has.
pub(crate) async fn counted(tx: &mut PgConnection) -> Result<(i64, i64)> {
    let row: ClaimsRow = sqlx::query_as(CLAIMS).fetch_one(tx).await?;
    Ok((row.known.unwrap_or(0), row.claiming.unwrap_or(0)))
}
