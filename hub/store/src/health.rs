//! How the hub and its database stand, for people. In: settings of the server, the lease, when clusters were heard. Out: facts.
//! It must not judge them.

use crate::row::row;
use crate::session::CONNECTED_SECONDS;
use crate::{Result, Store};

pub(crate) const HEALTH: &str = "select current_setting('server_version') as version, pg_is_in_recovery() as standby, \
     current_setting('fsync') = 'on' as fsync, current_setting('synchronous_commit') as synchronous_commit, \
     current_setting('synchronous_standby_names') as synchronous_standby_names, \
     l.holder, l.expires_at >= now() as leads, e.epoch, \
     (select count(*) from clusters where left_at is null and kube_system_uid is not null) as known, \
     (select count(*) from clusters c join cluster_sessions s on s.cluster = c.name \
     where c.left_at is null and s.open and s.last_seen_at > now() - $1 * interval '1 second') as connected \
     from hub_lease l, hub_epoch e";

row! {
    /// All of it.
    HealthRow {
        version: Option<String>, standby: Option<bool>, fsync: Option<bool>, synchronous_commit: Option<String>,
        synchronous_standby_names: Option<String>, holder: String, leads: Option<bool>, epoch: i64, known: Option<i64>,
        connected: Option<i64>,
    }
}

/// How the hub and its database stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Of PostgreSQL.
    pub version: String,
    /// The database takes no writes: it is a copy of another.
    pub standby: bool,
    /// What is committed survives a crash of the machine.
    pub fsync: bool,
    /// `synchronous_commit`, as the hub's connections have it.
    pub synchronous_commit: String,
    /// `synchronous_standby_names`; empty: a commit waits for no copy.
    pub synchronous_standby_names: String,
    /// Which hub decides; none: its lease is over.
    pub leader: Option<String>,
    /// Of the last takeover.
    pub epoch: u64,
    /// Clusters that have joined and not left.
    pub known: u64,
    /// Those of them that were heard a moment ago.
    pub connected: u64,
}

impl Store {
    /// How it stands now.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn health(&self) -> Result<Health> {
        let row: HealthRow = sqlx::query_as(HEALTH)
            .bind(f64::from(CONNECTED_SECONDS))
            .fetch_one(&self.pool)
            .await?;
        let count = |count: Option<i64>| count.unwrap_or(0).unsigned_abs();
        Ok(Health {
            version: row.version.unwrap_or_default(),
            standby: row.standby == Some(true),
            fsync: row.fsync == Some(true),
            synchronous_commit: row.synchronous_commit.unwrap_or_default(),
            synchronous_standby_names: row.synchronous_standby_names.unwrap_or_default(),
            leader: (row.leads == Some(true)).then_some(row.holder),
            epoch: row.epoch.unsigned_abs(),
            known: count(row.known),
            connected: count(row.connected),
        })
    }
}
