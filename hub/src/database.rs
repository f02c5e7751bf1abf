//! The database at start. In: `embedded` or a URL. Out: a store with its schema, and the embedded server to stop. It must
//! not run statements: the store does.

use std::path::Path;
use std::time::Duration;

use hub_store::embedded::Embedded;
use hub_store::{Error as StoreError, MIGRATE_MAX, Store, within};

use crate::args::Database;

/// Between two tries while Postgres is away.
const RETRY: Duration = Duration::from_secs(1);

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The embedded server does not start.
    #[error(transparent)]
    Embedded(#[from] hub_store::embedded::Error),
    /// The URL or the schema is not one of ours.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Starts or reaches Postgres and brings its schema up to date. Waits for as long as Postgres is away, and says so.
pub async fn open(database: &Database, dir: &Path) -> Result<(Store, Option<Embedded>), Error> {
    let (url, embedded) = match database {
        Database::Url(url) => (url.clone(), None),
        Database::Embedded => {
            let embedded = Embedded::start(dir).await?;
            (embedded.url().to_owned(), Some(embedded))
        }
    };
    let store = Store::connect(&url)?;
    let mut said = false;
    loop {
        match within(MIGRATE_MAX, store.migrate()).await {
            Ok(()) => {
                if !store.history_is_add_only() {
                    let run = hub_store::ROLE_BY_HAND;
                    tracing::warn!(
                        "this database user may not take the role groundswell_hub: the history is guarded by its trigger alone; \
                         an administrator of the database can change that with: {run}"
                    );
                }
                return Ok((store, embedded));
            }
            Err(error @ StoreError::Unavailable { .. }) => {
                if !std::mem::replace(&mut said, true) {
                    tracing::error!(%error, "waiting for the database");
                }
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
