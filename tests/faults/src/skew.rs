//! A database whose clock is not the hubs'. In: seconds. Out: `now()` of that database, moved by so much, for everything that
//! asks it without a schema. The machine's clock stays as it is.

use tests_fleet::{Error, Result, RunDir};

use crate::database::Database;
use crate::world::{Setting, World};

/// Before a hub comes: what it migrates has to find this `now()`, too.
const PREPARE: [&str; 4] = [
    "create schema skew",
    "create table skew.by (seconds double precision not null)",
    "insert into skew.by values (0)",
    "create function skew.now() returns timestamptz language sql stable as \
     'select pg_catalog.now() + (select seconds from skew.by) * interval ''1 second'''",
];

impl World {
    /// A world whose database has a clock that the test sets.
    pub async fn skewed(setting: Setting) -> Result<Self> {
        let run = RunDir::temporary(setting.test)?;
        let database = Database::shared().await?;
        database.psql(&PREPARE).await?;
        // A schema that is named stands where it is named; pg_catalog would be first otherwise.
        let path = format!(
            "alter database {} set search_path = public, skew, pg_catalog",
            database.name()
        );
        let open = [
            "grant usage on schema skew to public",
            "grant select on skew.by to public",
        ];
        database.psql(&[&path, open[0], open[1]]).await?;
        Self::hubs_on(setting, run, database).await
    }

    /// The database's clock jumps to this distance from the machine's.
    pub async fn jump(&self, seconds: i64) -> Result<()> {
        let set = format!("update skew.by set seconds = {seconds}");
        self.database.psql(&[&set]).await?;
        let shown = self
            .database
            .psql(&["select extract(epoch from now() - pg_catalog.now())"])
            .await?;
        let shown: f64 = shown.trim().parse().map_err(|_| Error::Check(shown))?;
        if (shown - seconds as f64).abs() < 1.0 {
            Ok(())
        } else {
            Err(Error::Check(format!("the clock is {shown} s away")))
        }
    }
}
