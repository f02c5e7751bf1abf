//! A cluster that comes under another name (gate.md L1, L4). In: the name, the UID of its kube-system namespace. Out: its sets
//! numbered above all that its agent can have been sent under other names. It must not touch what another name holds: agents
//! of one cluster that look at a namespace each (`--namespaced`) are members beside each other.

use hub_engine::ClusterName;
use sqlx::PgConnection;

use crate::Result;
use crate::row::row;

pub(crate) const OTHERS: &str = "select c.name, d.version from clusters c join cluster_sets d on d.cluster = c.name \
     where c.kube_system_uid = $2 and c.name <> $1 order by c.name";
/// Its gates with it: each is written by the agent only if it is newer than what is there. What the agent stored under this
/// name before is nothing that it lost: it went on from there under the other.
pub(crate) const ABOVE: &str = "with raised as (update cluster_sets set version = $2 where cluster = $1 and version < $2 \
     returning cluster, version), \
     entries as (update gates set version = raised.version from raised where gates.cluster = raised.cluster), \
     known as (update cluster_sessions s set stored_incarnation = 0, stored_version = 0, set_hash = '', regressed = false \
     from raised where s.cluster = raised.cluster) \
     select count(*) from raised";

row! {
    /// Another name of the same cluster.
    OtherRow { name: String, version: i64 }
}

/// Numbers its set above those of the cluster's other names, which it answers. Once the name's row is there.
pub(crate) async fn above(
    tx: &mut PgConnection,
    name: &ClusterName,
    uid: &str,
) -> Result<Vec<String>> {
    let others: Vec<OtherRow> = sqlx::query_as(OTHERS)
        .bind(name.as_str())
        .bind(uid)
        .fetch_all(&mut *tx)
        .await?;
    let Some(most) = others.iter().map(|other| other.version).max() else {
        return Ok(Vec::new());
    };
    sqlx::query(ABOVE)
        .bind(name.as_str())
        .bind(most.saturating_add(1))
        .execute(tx)
        .await?;
    Ok(others.into_iter().map(|other| other.name).collect())
}
