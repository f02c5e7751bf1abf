//! Digests that failed, for people (gate.md G17). In: nothing but what deciding transactions wrote. Out: what is barred where,
//! and by which release. It must not lift a bar: a person's start or retry does.

use hub_engine::name::Digest;
use hub_engine::{FleetRolloutName, ReleaseId};

use crate::row::row;
use crate::{Result, Store};

pub(crate) const ALL: &str =
    "select fleet_rollout, digest, release from barred order by fleet_rollout, release, digest";

row! {
    /// A digest that failed, in one FleetRollout.
    AllRow { fleet_rollout: String, digest: String, release: i64 }
}

impl Store {
    /// Every barred digest with the release that it failed in first, by FleetRollout.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn barred_list(&self) -> Result<Vec<(ReleaseId, Digest)>> {
        let rows: Vec<AllRow> = sqlx::query_as(ALL).fetch_all(&self.pool).await?;
        let one = |row: AllRow| {
            let release = ReleaseId {
                fleet_rollout: FleetRolloutName(row.fleet_rollout),
                number: row.release.unsigned_abs(),
            };
            (release, Digest(row.digest))
        };
        Ok(rows.into_iter().map(one).collect())
    }
}
